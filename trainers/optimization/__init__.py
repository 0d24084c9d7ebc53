# SPDX-License-Identifier: Apache-2.0
"""Optimizers of the presets, averaged weights, and steps that are skipped because they are not finite."""
