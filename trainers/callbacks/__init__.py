# SPDX-License-Identifier: Apache-2.0
"""Keras callbacks of a run."""
