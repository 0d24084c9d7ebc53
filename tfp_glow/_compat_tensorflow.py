# SPDX-License-Identifier: Apache-2.0
"""The private APIs of TensorFlow that this package uses, each with its reason.

Checked with TensorFlow 2.21.
"""

from typing import Any

import tensorflow as tf
from tensorflow.python.eager.record import could_possibly_record, should_record_backprop, stop_recording

__all__ = ["could_possibly_record", "should_record_backprop", "stop_recording", "untracked"]

PRIVATE_APIS = {
    "tensorflow.python.eager.record":
        "The pass cache must find out whether a gradient tape records a tensor; `tf.GradientTape` has no public way.",
    "tf.Module._no_dependency":
        "Keeps tuples and lists of a bijector as they are. Otherwise TensorFlow wraps them and adds their elements to "
        "checkpoints a second time. TFP's bijectors use it, too.",
}


def untracked(module: tf.Module, value: Any) -> Any:
    """Marks a value for an attribute of `module`, so that TensorFlow neither wraps nor tracks it."""
    return module._no_dependency(value)
