# SPDX-License-Identifier: Apache-2.0
"""Keras callbacks of a training run; `run_callbacks` lists them in their order."""
