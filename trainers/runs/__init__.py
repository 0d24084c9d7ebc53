# SPDX-License-Identifier: Apache-2.0
"""Run directories: configuration, checkpoints, files that are written whole, and the model they hold."""
