# SPDX-License-Identifier: Apache-2.0
"""The private APIs of TensorFlow that this package uses, each with its reason.

`tfp_glow._versions` checks that they exist.
"""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf
from tensorflow.python.eager.record import could_possibly_record, stop_recording
from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2
from tensorflow.python.ops.gradients_util import PossibleTapeGradientTypes

__all__ = ["could_possibly_record", "derivative_order", "frozen", "stop_recording", "untracked"]

PRIVATE_APIS = {
    "tensorflow.python.eager.record":
        "The pass cache must find out whether a gradient tape or a forward accumulator is active.",
    "tensorflow.python.framework.convert_to_constants":
        "Exports to other runtimes replace variables by constants, also inside loops. The public function does this "
        "for graphs of TensorFlow 1 only.",
    "tensorflow.python.ops.gradients_util":
        "The pass cache must find out which tensors the active gradient tapes and forward accumulators record; "
        "`tf.GradientTape` and `tf.autodiff.ForwardAccumulator` have no public way.",
    "tf.Module._no_dependency":
        "Keeps tuples and lists of a bijector as they are. Otherwise TensorFlow wraps them and adds their elements to "
        "checkpoints a second time. TFP's bijectors use it, too.",
}


def derivative_order(tensors: Sequence[tf.Tensor]) -> int:
    """Returns the order of the derivatives of any of `tensors` that active tapes and accumulators can compute.

    Args:
      tensors: a sequence of tensors, which may include handles of variables.

    Returns:
      0 if no active `tf.GradientTape` or `tf.autodiff.ForwardAccumulator` records one of the tensors. 1 if exactly one
      does, and it is not persistent. Otherwise 2.
    """
    return PossibleTapeGradientTypes(list(tensors))


def frozen(concrete_function: Any) -> Any:
    """Returns the graph of a function with constants in place of variables, and without calls of other functions.

    Args:
      concrete_function: the result of `tf.function(...).get_concrete_function(...)`.

    Returns:
      A `GraphDef`. Its placeholders and results have the same names as in the graph of the function.
    """
    return convert_variables_to_constants_v2(
        concrete_function, lower_control_flow=False, aggressive_inlining=True).graph.as_graph_def()


def untracked(module: tf.Module, value: Any) -> Any:
    """Marks a value that is assigned to an attribute of a module: `module.x = untracked(module, value)`.

    The attribute then holds the value as it is: TensorFlow does not wrap it, and checkpoints do not save it.

    Args:
      module: the `tf.Module` with the attribute.
      value: any object, such as a tuple of ints or a list of layers.

    Returns:
      A wrapper of `value`, which the assignment unwraps.
    """
    return module._no_dependency(value)
