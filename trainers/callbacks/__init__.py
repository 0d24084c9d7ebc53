# SPDX-License-Identifier: Apache-2.0
"""Keras callbacks of a training run. `run_callbacks` returns them in the required order."""
