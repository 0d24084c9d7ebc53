# SPDX-License-Identifier: Apache-2.0
"""Hides the log lines of TensorFlow's C++ code in the command `tfp-glow`.

TensorFlow reads the level while it is imported, and the command imports this package before any other module of its
own. In other programs the level stays as it is.
"""

import os
import pathlib
import sys

if sys.argv and pathlib.PurePath(sys.argv[0]).name.startswith("tfp-glow"):
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
