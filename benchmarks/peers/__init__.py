# SPDX-License-Identifier: Apache-2.0
"""The peers' Glow on the same work; each module runs in an environment of its own, see `benchmarks/environments.py`."""
