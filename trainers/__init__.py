# SPDX-License-Identifier: Apache-2.0
"""Training and evaluation of flows: presets, data, run directories and seven command-line programs."""

import importlib.util
import os
import sys

# TensorFlow reads this level while it is imported. The level "3" hides all C++ log lines except fatal errors. Before
# TensorFlow 2.21 reads the level, it writes up to six start-up lines (about oneDNN, missing CUDA drivers and absl). No
# documented setting hides them, so they stay on stderr, before the lines of the program.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# `python -m trainers.train` imports this package first, with "-m" as the name of the program.
if sys.argv[:1] == ["-m"]:
    from .runs import stop_signals

    stop_signals.exit_at_once()
    if importlib.util.find_spec("absl") is None:
        sys.exit("error: the package absl-py is not installed; run the command with .venv/bin/python, or pip install "
                 "'tfp_glow[train]'")
