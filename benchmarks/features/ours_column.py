# SPDX-License-Identifier: Apache-2.0
"""The column of this package. The docstring of a function is the note of its cell."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any
from unittest import mock

import keras
import numpy as np
import tensorflow as tf

import tfp_glow
from benchmarks.features.probes import IMAGE, SHAPE, SMALL, images, move
from benchmarks.features.tensorflow_flow import TensorFlowFlow, inference_run, save_model
from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP, ConvNet

NETWORK_CALL = (ConvNet, "call")
REVERSIBLE = {"backprop": "reversible"}


class Flow(TensorFlowFlow):
    unit = 256.0

    def initialize(self, y: Any) -> None:
        tfp_glow.initialize(self.flow, tf.constant(y))


def glow(num_steps: int = 2, shape: tuple[int, ...] = SHAPE, **arguments: Any) -> Flow:
    """glow"""
    return Flow(tfp_glow.glow(shape, num_levels=2, num_steps=num_steps, width=4, **arguments))


def act_norm() -> Flow:
    """ActNorm, tfp_glow.initialize"""
    return Flow(tfgb.ActNorm(IMAGE))


no_accident = act_norm


def invertible_conv() -> list[Flow]:
    """InvertibleConv1x1, DenseConv1x1"""
    return [Flow(kind(IMAGE)) for kind in (tfgb.InvertibleConv1x1, tfgb.DenseConv1x1)]


def coupling() -> Iterable[tuple[int, Flow]]:
    """AffineCoupling, AdditiveCoupling"""
    return [(kept, Flow(kind(IMAGE, ConvNet(4, outputs), mask)))
            for kept, mask in enumerate(("channel", "channel_reversed"))
            for kind, outputs in ((tfgb.AffineCoupling, 2), (tfgb.AdditiveCoupling, 1))]


def checkerboard() -> Flow:
    """mask="checkerboard\""""
    return Flow(tfgb.AffineCoupling(IMAGE, ConvNet(4, 4), "checkerboard"))


def squeeze() -> Flow:
    """Squeeze"""
    return Flow(tfgb.Squeeze(SMALL))


def split_prior() -> tuple[Flow, Sequence[Any]]:
    """part of glow"""
    flow = glow(shape=SMALL)
    return flow, next(part for part in flow.flow.submodules if part.name == "split_prior").trainable_variables


def logit() -> Flow:
    """LogitPixels"""
    return Flow(tfgb.LogitPixels((2, 2, 1)))


def batch_norm() -> Iterable[tuple]:
    """BatchNorm, of vectors and of images"""
    norms = [(shape, tfgb.BatchNorm(shape)) for shape in ((3,), IMAGE)]
    return [(shape, Flow(norm, training=True), Flow(norm, training=False)) for shape, norm in norms]


def context() -> Callable[[np.ndarray], Flow]:
    """AffineCoupling(context_shape=...)"""
    part = tfgb.AffineCoupling((4,), MLP(4, (8,)), context_shape=(3,))
    return lambda values: Flow(part, context=values)


def classes() -> Callable[[list[int]], Any]:
    """glow(num_classes=...)"""
    flow = glow(num_classes=3)
    move(flow)
    return lambda labels: flow.flow.log_prob(images(flow, 2), bijector_kwargs={"context": tf.one_hot(labels, 3)})


def vectors() -> Flow:
    """the same classes"""
    return Flow(tfgb.Steps([tfgb.ActNorm((6,)), tfgb.InvertibleConv1x1((6,)), tfgb.AffineCoupling((6,), MLP(6, (8,)))]))


def float64() -> Flow:
    """dtype="float64\""""
    flow = glow(shape=SMALL, dtype="float64", seed=0)
    flow.initialize(images(flow, 32, SMALL).astype("float64"))
    return flow


def reversible() -> None:
    """backprop="reversible\""""


def mixed() -> Flow:
    """network_dtype="mixed_bfloat16\""""
    flow = glow(network_dtype="mixed_bfloat16")
    with mock.patch.object(ConvNet, "call", autospec=True, side_effect=ConvNet.call) as call:
        flow.log_prob(images(flow, 2))
    assert all(args[1].dtype == tf.bfloat16 for args, _ in call.call_args_list)
    return flow


def fit() -> tuple[keras.Model, Sequence[Any], np.ndarray]:
    """FlowModel"""
    flow = glow()
    model = tfp_glow.FlowModel(flow.flow)
    model.compile(keras.optimizers.Adam(1e-2))
    return model, flow.variables, images(flow, 48)


def replicas() -> Iterator[Iterable[Any]]:
    """tf.distribute.MirroredStrategy, fit"""
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
        with strategy.scope():
            model = tfp_glow.FlowModel(glow(seed=0).flow)
            model.initialize(images(Flow, 8))
            model.compile(keras.optimizers.SGD(1e-2))
        model.fit(images(Flow, 8), batch_size=8, verbose=0)
        yield [v.numpy() for v in model.trainable_variables]


def export(flow: Flow, path: str) -> str:
    """SavedModel, for batches of any size"""
    return save_model(flow, path, None)


def inference() -> tuple[Sequence[Any], Any]:
    """tfp.vi, tfp.mcmc.TransformedTransitionKernel"""
    masks = ("channel", "channel_reversed")
    return inference_run(tfgb.Steps([tfgb.AffineCoupling((2,), MLP(2, (8,)), mask) for mask in masks]))
