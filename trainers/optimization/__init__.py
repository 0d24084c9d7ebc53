# SPDX-License-Identifier: Apache-2.0
"""Optimizers with learning rate schedules, and averaged weights."""
