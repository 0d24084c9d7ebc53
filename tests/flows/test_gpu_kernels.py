# SPDX-License-Identifier: Apache-2.0
"""Every operation of a training step and of an exported signature has a kernel for GPUs in the installed TensorFlow.

No GPU is needed: the kernels are registered without one.
"""

import functools

import numpy as np
import pytest
import tensorflow as tf
from gpu_kernels import has_gpu_support, saved_graph, without_gpu_kernel
from small_flows import SMALL_FLOWS, events

import tfp_glow
from trainers import presets
from trainers.optimization.optimizers import make_optimizer

pytestmark = pytest.mark.skipif(
    not has_gpu_support(), reason="The installed TensorFlow was built without kernels for GPUs.")


IMAGE, DTYPES = (4, 4, 2), ("float32", "mixed_bfloat16")
glow = functools.partial(tfp_glow.glow, IMAGE, num_levels=2, num_steps=2, width=6)
realnvp = functools.partial(tfp_glow.realnvp, IMAGE, num_scales=2, num_blocks=1, width=4)

# Functions that build the flows, by name.
FLOWS = {
    **{f"{name}, {dtype}": functools.partial(build, network_dtype=dtype)
       for name, build in SMALL_FLOWS.items() for dtype in DTYPES},
    **{f"glow, {permutation}, {coupling}, {backprop}, {dtype}": functools.partial(
        glow, permutation=permutation, coupling=coupling, backprop=backprop, network_dtype=dtype)
       for permutation in ("lu", "dense", "shuffle", "reverse") for coupling in ("additive", "affine")
       for backprop in ("stored", "reversible") for dtype in DTYPES},
    "glow, scale exp": functools.partial(glow, scale="exp"),
    "glow, scale tanh": functools.partial(glow, scale="tanh"),
    "glow, float64": functools.partial(glow, dtype="float64"),
    "glow, bfloat16 weights": functools.partial(glow, network_dtype="bfloat16"),
    "glow, classes": functools.partial(glow, num_classes=3, backprop="reversible", network_dtype="mixed_bfloat16"),
    "iaf, loop": functools.partial(tfp_glow.iaf, 5, num_layers=2, hidden_sizes=(8,)),
    "nsf, reversible": functools.partial(SMALL_FLOWS["nsf"], backprop="reversible"),
    "glow, dequantizer": glow,
    "jet, reversible": functools.partial(
        SMALL_FLOWS["jet"], backprop="reversible", network_dtype="mixed_bfloat16"),
    "realnvp, two scales": realnvp,
    "realnvp, classes": functools.partial(realnvp, num_classes=3),
}
QUICK = {"glow_dense, mixed_bfloat16", "glow_additive_shuffle, float32", "iaf, float32"}
NAMES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in FLOWS]


def initialized(name):
    """Returns an initialized model and a batch of data. A dequantizer and a classifier are added where they apply."""
    flow = FLOWS[name]()
    dequantizer = tfp_glow.dequantizer(IMAGE, network_dtype="mixed_bfloat16") if "dequantizer" in name else None
    model = tfp_glow.FlowModel(flow, dequantizer=dequantizer, weight_y=0.1 if name == "glow, classes" else 0.0)
    x = events(flow)
    y = [] if model.condition_spec is None else [np.arange(len(x)) % 3]
    model.initialize(x, *y)
    return model, tuple(map(tf.constant, (x, *y)))


def assert_no_host_kernels(graph, name):
    missing = without_gpu_kernel(graph)
    assert not missing, f"{name}: no kernel for GPUs: {dict(missing)}"


def check_training_step(name, preset):
    """Checks the step of the model in a run of a preset: guarded, with clipped gradients and averaged weights."""
    model, data = initialized(name)
    training = dict(vars(presets.get(preset)))
    if name == "glow, bfloat16 weights":
        training["clip_norm"] = None  # Keras does not clip gradients of several dtypes together.
    model.compile(make_optimizer(training, epochs=2, steps_per_epoch=2))
    step = tf.function(model.train_step, autograph=False).get_concrete_function(data)
    assert_no_host_kernels(step.graph.as_graph_def(), name)


@pytest.mark.parametrize("name", NAMES)
def test_training_steps_run_on_gpus(name):
    check_training_step(name, "fashion_mnist_best")


@pytest.mark.slow
def test_training_steps_of_adamax_run_on_gpus():
    check_training_step("glow, classes", "glow_cifar10")


@pytest.mark.slow
def test_training_steps_of_adamw_run_on_gpus():
    check_training_step("jet, float32", "jet_imagenet64")


@pytest.mark.slow
@pytest.mark.parametrize("name", FLOWS)
def test_signatures_run_on_gpus(name, tmp_path):
    model, _ = initialized(name)
    tfp_glow.export_saved_model(model, tmp_path / "1")
    assert_no_host_kernels(saved_graph(tmp_path / "1"), name)


def graph_of(function, *arguments):
    return tf.function(function).get_concrete_function(*arguments).graph.as_graph_def()


def test_operations_without_kernels_for_gpus_are_found():
    """Also in the functions of a loop, and by the dtypes of a kernel."""
    matrix = tf.eye(2)

    def loop():
        return tf.while_loop(lambda i, _: i < 2, lambda i, m: (i + 1, tf.linalg.sqrtm(m)), (0, matrix))

    assert dict(without_gpu_kernel(graph_of(loop))) == {"MatrixSquareRoot(float32)": 1}
    assert not without_gpu_kernel(graph_of(lambda: tf.sort(tf.constant([1.0, 2.0]))))
    assert not without_gpu_kernel(graph_of(lambda: tf.debugging.assert_all_finite(matrix, "finite")))
    for dtype, found in ((tf.int64, {}), (tf.int32, {"ReadVariableOp(int32)": 1})):
        variable = tf.Variable([1, 0], dtype=dtype)
        assert dict(without_gpu_kernel(graph_of(lambda variable=variable: tf.gather(matrix, variable)))) == found
