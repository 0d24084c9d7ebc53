# SPDX-License-Identifier: Apache-2.0
"""The column of BayesFlow on TensorFlow, for the rows of `why`. The docstring of a function is the note of its cell."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow"

from collections.abc import Callable, Sequence
from typing import Any

import bayesflow as bf
import numpy as np
import tensorflow as tf

from benchmarks.features import graph_figures
from benchmarks.features.probes import uniform

REVERSIBLE: dict[str, str] = {}
SIZE = 4


class Flow:
    """A flow over vectors as `probes` describes it, made of a `CouplingFlow`."""

    unit = 1.0
    assign = staticmethod(lambda variable, value: variable.assign(value))

    def __init__(self, network: Any, context: np.ndarray | None = None):
        self.network = network
        self.conditions = None if context is None else tf.convert_to_tensor(context)

    @property
    def variables(self) -> list[Any]:
        return self.network.trainable_variables

    def inverse(self, y: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self._inverse(tf.convert_to_tensor(y))

    def _inverse(self, y: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        latents, density = self.network(y, conditions=self.conditions, density=True)
        return latents, density - self.network.base_distribution.log_prob(latents)

    def forward(self, x: Any) -> tf.Tensor:
        return self.network(tf.convert_to_tensor(x), conditions=self.conditions, inverse=True)

    def jacobian(self, y: Any) -> tf.Tensor:
        y = tf.convert_to_tensor(y)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(y)
            x, _ = self._inverse(y)
        return tape.batch_jacobian(x, y, experimental_use_pfor=False)

    def _loss_and_gradients(self, y: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        variables = [variable.value for variable in self.variables]
        with tf.GradientTape() as tape:
            loss = -tf.reduce_mean(self.network.log_prob(y, conditions=self.conditions))
        return loss, tape.gradient(loss, variables)

    def num_nodes(self) -> int:
        return graph_figures.num_nodes(self._loss_and_gradients, tf.convert_to_tensor(uniform(2, SIZE)))

    def kept_bytes(self) -> int:
        return graph_figures.kept_bytes(self._loss_and_gradients, tf.convert_to_tensor(uniform(8, SIZE)))


def _network(depth: int, context_size: int | None = None) -> Any:
    network = bf.networks.CouplingFlow(depth=depth, transform="affine", subnet_kwargs={"widths": (8, 8)})
    network.build((None, SIZE), None if context_size is None else (None, context_size))
    return network


def glow(num_steps: int = 2, shape: Sequence[int] | None = None) -> Flow:
    """CouplingFlow"""
    if shape is not None:
        flows = [name for name in dir(bf.networks) if "Flow" in name]
        raise LookupError(f"all networks with a density are over vectors: {', '.join(flows)}")
    return Flow(_network(num_steps))


def context() -> Callable[[np.ndarray], Flow]:
    """CouplingFlow with conditions"""
    network = _network(2, 3)
    return lambda values: Flow(network, values)


def fit() -> tuple[Any, list[Any], Any]:
    """ContinuousApproximator.fit"""
    network = bf.networks.CouplingFlow(depth=2, transform="affine", subnet_kwargs={"widths": (8, 8)})
    approximator = bf.approximators.ContinuousApproximator(inference_network=network, standardize=None)
    y = uniform(64, SIZE)
    approximator.build_from_data({"inference_variables": tf.convert_to_tensor(y)})
    approximator.compile("adam")
    return _Fit(approximator), approximator.trainable_variables, y


class _Fit:
    def __init__(self, approximator: Any):
        self.approximator = approximator

    def fit(self, y: np.ndarray, batch_size: int, verbose: int) -> None:
        batches = tf.data.Dataset.from_tensor_slices({"inference_variables": y}).batch(batch_size)
        self.approximator.fit(dataset=batches, epochs=3, verbose=verbose)
