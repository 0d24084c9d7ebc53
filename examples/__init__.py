# SPDX-License-Identifier: Apache-2.0
"""Flows together with the rest of TensorFlow Probability: `python -m examples.NAME` runs an example."""
