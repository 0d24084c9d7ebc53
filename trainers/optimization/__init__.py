# SPDX-License-Identifier: Apache-2.0
"""Optimizers: learning rate schedules, averaged weights and the handling of non-finite gradients."""
