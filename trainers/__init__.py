# SPDX-License-Identifier: Apache-2.0
"""Training, evaluating and sampling flows: the data, the presets and the three mains."""

import os

# Before TensorFlow is imported anywhere: its notes about the machine are not the user's concern.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
