# SPDX-License-Identifier: Apache-2.0
"""Compositions of flows with the rest of TensorFlow Probability: `python -m examples.NAME`."""
