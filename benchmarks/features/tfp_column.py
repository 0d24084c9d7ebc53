# SPDX-License-Identifier: Apache-2.0
"""The column of TensorFlow Probability: `tfb.Glow`, `tfb.RealNVP`, and other bijectors for what these lack.

The docstring of a function is the note of its cell.
"""

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from tf_keras.layers import Activation, BatchNormalization, Conv2D, Dense

from benchmarks.features.probes import IMAGE, SHAPE, SMALL, uniform
from benchmarks.features.tensorflow_flow import TensorFlowFlow as Flow
from benchmarks.features.tensorflow_flow import inference_run, loss_and_gradients, save_model

tfb, tfd = tfp.bijectors, tfp.distributions
NETWORK_CALL = (tfb.GlowDefaultNetwork, "call")
REVERSIBLE: dict[str, str] = {}


def glow(num_steps: int = 2, shape: Sequence[int] = SHAPE, network: Callable | None = None) -> Flow:
    """tfb.Glow"""
    bijector = tfb.Glow(
        shape, num_glow_blocks=2, num_steps_per_block=num_steps, exit_bijector_fn=network or tfb.GlowDefaultExitNetwork,
        coupling_bijector_fn=network or functools.partial(tfb.GlowDefaultNetwork, num_hidden=4))
    dtype = tf_keras.backend.floatx()
    base = tfd.MultivariateNormalDiag(tf.zeros(int(np.prod(shape)), dtype))
    flow = Flow(tfd.TransformedDistribution(base, bijector))
    flow.log_prob(uniform(16, *shape).astype(dtype))  # Builds the networks and initializes.
    return flow


def part_of_glow(name: str) -> type:
    """Returns a class of TFP that has no public name, found among the parts of a Glow."""
    return next(type(part) for part in glow(shape=SMALL).flow.submodules if type(part).__name__ == name)


def realnvp(num_masked: int, network: Callable) -> tfp.bijectors.Bijector:
    """Returns a coupling whose network returns shift and log-scale, or a shift only."""
    def shift_and_log_scale(kept, units, **conditions):
        raw = network(kept, **conditions)
        return (raw, None) if raw.shape[-1] == units else tf.split(raw, 2, axis=-1)

    part = tfb.RealNVP(num_masked, shift_and_log_scale_fn=shift_and_log_scale)
    part.network = network  # The bijector finds variables in its attributes.
    return part


def dense(outputs: int) -> tf_keras.Model:
    """Returns a network of vectors."""
    return tf_keras.Sequential([Dense(8, "relu"), Dense(outputs)])


def act_norm() -> Flow:
    """part of tfb.Glow, set by its first call"""
    return Flow(part_of_glow("ActivationNormalization")(2))


no_accident = act_norm


def invertible_conv() -> list[Flow]:
    """part of tfb.Glow; tfb.ScaleMatvecLinearOperator"""
    matrix = tf.Variable(np.linalg.qr(uniform(2, 2))[0])
    full = tfb.ScaleMatvecLinearOperator(tf.linalg.LinearOperatorFullMatrix(matrix))
    return [Flow(part_of_glow("OneByOneConv")(2)), Flow(full)]


def coupling() -> Iterable[tuple[int, Flow]]:
    """tfb.RealNVP"""
    for kept, num_masked in enumerate((1, -1)):
        for outputs in (2, 1):
            network = [Conv2D(4, 3, padding="same", activation="relu"), Conv2D(outputs, 3, padding="same")]
            yield kept, Flow(realnvp(num_masked, tf_keras.Sequential(network)))


def checkerboard() -> Flow:
    """tfb.RealNVP between tfb.Reshape and tfb.Permute"""
    board = np.broadcast_to(np.indices((4, 4)).sum(axis=0)[..., np.newaxis] % 2, IMAGE)
    order = tfb.Permute(np.argsort(board.reshape(-1), kind="stable"))
    flat = tfb.Reshape(event_shape_in=IMAGE, event_shape_out=[32])
    return Flow(tfb.Chain([tfb.Invert(flat), tfb.Invert(order), realnvp(16, dense(32)), order, flat]))


def squeeze() -> Flow:
    """part of tfb.Glow"""
    return Flow(part_of_glow("Expand")((2, 2, 4)))


def split_prior() -> tuple[Flow, Sequence[Any]]:
    """exit_bijector_fn"""
    flow = glow(shape=SMALL)
    networks = [part.exit_layer for part in flow.flow.submodules if getattr(part, "exit_layer", None) is not None]
    return flow, [v for network in networks for v in network.trainable_variables]


def logit(alpha: float = 0.05) -> Flow:
    """tfb.Chain of tfb.Scale, tfb.Shift and tfb.Sigmoid"""
    return Flow(tfb.Chain([tfb.Scale(1.0 / (1.0 - 2.0 * alpha)), tfb.Shift(-alpha), tfb.Sigmoid()]))


def batch_norm() -> Iterable[tuple]:
    """tfb.BatchNormalization"""
    for shape in ((3,), IMAGE):
        layer = BatchNormalization(epsilon=1e-4)
        yield shape, *(Flow(tfb.BatchNormalization(layer, training=training)) for training in (True, False))


def context() -> Callable[[np.ndarray], Flow]:
    """tfb.RealNVP, with a network of one's own"""
    network = dense(4)
    part = realnvp(2, lambda kept, context: network(tf.concat([kept, context], axis=-1)))
    return lambda values: Flow(part, context=values)


def classes() -> Callable[[list[int]], Any]:
    """a base distribution made for each batch"""
    means, part = uniform(3, 4), realnvp(2, dense(4))
    return lambda labels: tfd.TransformedDistribution(
        tfd.MultivariateNormalDiag(means[labels], tf.ones(4)), part).log_prob(uniform(2, 4))


def vectors() -> Flow:
    """the same classes"""
    norm, convolution = (part_of_glow(name)(6) for name in ("ActivationNormalization", "OneByOneConv"))
    return Flow(tfb.Chain([norm, convolution, realnvp(3, dense(6))]))


def float64() -> Flow:
    """tf_keras.backend.set_floatx"""
    tf_keras.backend.set_floatx("float64")
    try:
        return glow(shape=SMALL)
    finally:
        tf_keras.backend.set_floatx("float32")


def mixed() -> Flow:
    """networks of one's own, which end in float32"""
    def network(shape, output_chan=None):
        sizes = (4, 2 * (output_chan or shape[-1]))
        layers = [Conv2D(size, 3, padding="same", dtype="mixed_bfloat16") for size in sizes]
        return tf_keras.Sequential([*layers, Activation("linear", dtype="float32")])

    return glow(network=network)


class Model(keras.Model):
    """A Keras 3 model of a distribution and its networks."""

    def __init__(self, flow: tfp.distributions.Distribution, networks: list) -> None:
        super().__init__()
        self.flow, self.networks = flow, networks

    def call(self, y: tf.Tensor) -> tf.Tensor:
        return self.flow.log_prob(y)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> tf.Tensor:
        return -tf.reduce_mean(y_pred)


def fit() -> tuple[keras.Model, Sequence[Any], np.ndarray]:
    """keras.Model"""
    networks = []

    def network(shape, output_chan=None):
        outputs = 2 * (output_chan or shape[-1])
        networks.append(keras.Sequential([keras.Input(shape), keras.layers.Conv2D(outputs, 3, padding="same")]))
        return networks[-1]

    flow = glow(network=network)
    model = Model(flow.flow, networks)
    model.compile(keras.optimizers.Adam(1e-2))
    of_networks = [v.value for part in networks for v in part.trainable_variables]
    return model, list({id(v): v for v in [*flow.variables, *of_networks]}.values()), uniform(48, *SHAPE)


def replicas() -> Iterator[Iterable[Any]]:
    """tf.distribute.MirroredStrategy, a loop of one's own"""
    # Collective operations of several strategies would disturb each other in one process.
    reduction = tf.distribute.ReductionToOneDevice()
    for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], reduction)):
        with strategy.scope():
            tf_keras.utils.set_random_seed(0)
            flow = glow().flow
            optimizer = tf_keras.optimizers.SGD(1e-2 / strategy.num_replicas_in_sync)
            optimizer.build(flow.trainable_variables)

        def step(y, flow=flow, optimizer=optimizer):
            gradients = loss_and_gradients(flow, y)[1]
            optimizer.apply_gradients(zip(gradients, flow.trainable_variables, strict=True))

        data = tf.data.Dataset.from_tensor_slices(uniform(8, *SHAPE)).batch(8)
        run = tf.function(functools.partial(strategy.run, step), autograph=False)
        run(args=[next(iter(strategy.experimental_distribute_dataset(data)))])
        yield [v.numpy() for v in flow.trainable_variables]


def export(flow: Flow, path: str) -> str:
    """SavedModel, for batches of one size"""
    return save_model(flow, path, 3)


def inference() -> tuple[Sequence[Any], Any]:
    """tfp.vi, tfp.mcmc.TransformedTransitionKernel"""
    return inference_run(tfb.Chain([realnvp(num_masked, dense(2)) for num_masked in (1, -1)]))
