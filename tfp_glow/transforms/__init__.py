# SPDX-License-Identifier: Apache-2.0
"""Elementwise transforms: what a coupling does to each changed element."""
