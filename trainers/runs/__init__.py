# SPDX-License-Identifier: Apache-2.0
"""Run directories: their configuration, checkpoints, atomic file writes and trained models."""
