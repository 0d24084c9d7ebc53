# SPDX-License-Identifier: Apache-2.0
"""Several Glows and our best flow, the same images and the same minutes of training: `python -m benchmarks.budget`.

`loop.py` trains and evaluates all of them; each of `normflows_glow.py`, `tfb_glow.py` and `ours.py` says what one step
of its system is, and runs in an environment of its own.
"""
