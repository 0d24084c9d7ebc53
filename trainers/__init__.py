# SPDX-License-Identifier: Apache-2.0
"""Training and evaluation of flows: presets, data, run directories and seven command-line programs."""

import os

# TensorFlow reads this level while it is imported: "3" keeps every C++ log line below a fatal error off the screen.
# TensorFlow 2.21 writes up to six start-up lines before it reads the level (oneDNN, missing CUDA drivers, absl's own
# warning), and it documents no setting that silences them. They stay on stderr, before the lines of the program.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
