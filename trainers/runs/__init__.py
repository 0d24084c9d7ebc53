# SPDX-License-Identifier: Apache-2.0
"""Run directories: configuration, checkpoints, atomic file writes and trained models."""
