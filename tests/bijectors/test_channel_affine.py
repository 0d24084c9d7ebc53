# SPDX-License-Identifier: Apache-2.0
"""GPUs do not round the factors of products of channels to TensorFloat-32.

No GPU is needed: the dtypes of the graph show it.
"""

import pytest
import tensorflow as tf

from tfp_glow import bijectors as tfgb

BIJECTORS = {
    "lu": lambda: tfgb.InvertibleConv1x1((2, 2, 3), seed=1),
    "lu, vector": lambda: tfgb.InvertibleConv1x1((3,), seed=1),
    "dense": lambda: tfgb.DenseConv1x1((2, 2, 3), seed=1),
    "folded": lambda: tfgb.Repeat(
        lambda: tfgb.Steps([tfgb.ActNorm((2, 2, 3)), tfgb.InvertibleConv1x1((2, 2, 3), seed=1)]), 2),
}


def products(function, x):
    """Returns the dtypes of the matrix products in the graph of a function and of its library."""
    graph = tf.function(function, autograph=False).get_concrete_function(x).graph.as_graph_def()
    nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
    return {tf.as_dtype(node.attr["T"].type).name for node in nodes if "MatMul" in node.op}


@pytest.fixture
def tensor_float_32():
    enabled = tf.config.experimental.tensor_float_32_execution_enabled()
    yield tf.config.experimental.enable_tensor_float_32_execution
    tf.config.experimental.enable_tensor_float_32_execution(enabled)


@pytest.mark.parametrize("name", BIJECTORS)
def test_products_of_channels_are_exact_on_gpus(name, monkeypatch, tensor_float_32):
    bijector = BIJECTORS[name]()
    x = tf.ones(3) if name == "lu, vector" else tf.random.stateless_normal((2, *bijector.event_shape), (1, 2))
    for direction in (bijector.inverse, bijector.forward):
        expected = direction(tf.identity(x))
        for gpus, enabled, dtype in (([], True, "float32"), (["GPU"], False, "float32"), (["GPU"], True, "float64")):
            with monkeypatch.context() as patch:
                patch.setattr(tf.config, "get_visible_devices", lambda kind, gpus=gpus: gpus)
                tensor_float_32(enabled)
                assert products(direction, x) == {dtype}
                if gpus:  # Otherwise a real GPU rounds.
                    tf.debugging.assert_near(direction(tf.identity(x)), expected, rtol=1e-6, atol=1e-6)
                tensor_float_32(False)
