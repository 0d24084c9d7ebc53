# SPDX-License-Identifier: Apache-2.0
"""Benchmarks: this package and its peers, side by side in one run."""
