# SPDX-License-Identifier: Apache-2.0
"""Features: this package's bijectors beside TFP's and normflows', each answer found by running it."""
