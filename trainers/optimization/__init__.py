# SPDX-License-Identifier: Apache-2.0
"""Optimizers with learning rate schedules, averaged weights, and steps that are skipped if they are not finite."""
