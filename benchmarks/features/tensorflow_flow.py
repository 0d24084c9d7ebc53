# SPDX-License-Identifier: Apache-2.0
"""A flow of TensorFlow as `probes` describes it, and what the columns of this package and of TFP share."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from benchmarks.features import graph_figures
from benchmarks.features.probes import SHAPE, images

tfd = tfp.distributions
_CPU = tf.config.list_physical_devices("CPU")[0]
if tf.config.get_logical_device_configuration(_CPU) is None:  # Two devices, for `replicas`.
    tf.config.set_logical_device_configuration(_CPU, [tf.config.LogicalDeviceConfiguration()] * 2)


class TensorFlowFlow:
    """A flow, made of a `tfb.Bijector` or a `tfd.TransformedDistribution`, with keyword arguments for its methods."""

    unit = 1.0
    assign = staticmethod(lambda variable, value: variable.assign(value))
    as_tensor = staticmethod(tf.convert_to_tensor)

    def __init__(self, flow: Any, **conditions: Any) -> None:
        self.flow, self.conditions = flow, conditions
        self.bijector = flow.bijector if isinstance(flow, tfd.Distribution) else flow

    @property
    def variables(self) -> Sequence[tf.Variable]:
        return self.flow.trainable_variables

    def initialize(self, y: Any) -> None:
        self.inverse(y)  # The first call initializes.

    def inverse(self, y: Any) -> tuple[tf.Tensor, tf.Tensor]:
        y = tf.convert_to_tensor(y)
        latents = self.bijector.inverse(y, **self.conditions)
        log_det = self.bijector.inverse_log_det_jacobian(tf.identity(y), y.shape.rank - 1, **self.conditions)
        return latents, tf.broadcast_to(log_det, y.shape[:1])  # A bijector may return one number for a batch.

    def forward(self, x: Any) -> tf.Tensor:
        return self.bijector.forward(tf.convert_to_tensor(x), **self.conditions)

    def jacobian(self, y: Any) -> tf.Tensor:
        y = tf.convert_to_tensor(y)
        with tf.GradientTape(persistent=True) as tape:
            tape.watch(y)
            x = self.bijector.inverse(y, **self.conditions)
        size = int(np.prod(y.shape[1:]))
        return tf.reshape(tape.batch_jacobian(x, y, experimental_use_pfor=False), (-1, size, size))

    def log_prob(self, y: Any) -> tf.Tensor:
        return self.flow.log_prob(tf.convert_to_tensor(y))

    def sample_and_log_prob(self, number: int) -> tf.Tensor:
        return self.flow.log_prob(self.flow.sample(number))

    def save(self, path: str) -> str:
        return tf.train.Checkpoint(flow=self.flow).write(path)

    def load(self, path: str) -> None:
        tf.train.Checkpoint(flow=self.flow).read(path)

    def num_graphs(self, batch_sizes: Iterable[int]) -> list[int]:
        """Returns how many times `log_prob` is traced, counted after a batch of each size."""
        graph, counts = tf.function(self.flow.log_prob, [tf.TensorSpec((None, *SHAPE))], autograph=False), []
        for batch_size in batch_sizes:
            y = images(self, batch_size)
            np.testing.assert_allclose(graph(y), self.log_prob(y), rtol=1e-3)
            counts.append(graph.experimental_get_tracing_count())
        return counts

    def num_nodes(self) -> int:
        """Returns the number of nodes in the graph of a loss and its gradients, and in the functions of the graph."""
        return graph_figures.num_nodes(self._loss_and_gradients, tf.convert_to_tensor(images(self, 2)))

    def kept_bytes(self) -> int:
        """Returns the bytes of the tensors of the loss that depend on the batch and that its gradients read."""
        return graph_figures.kept_bytes(self._loss_and_gradients, tf.convert_to_tensor(images(self, 8)))

    def _loss_and_gradients(self, y: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
        return loss_and_gradients(self.flow, y)


def loss_and_gradients(flow: Any, y: tf.Tensor) -> tuple[tf.Tensor, list[tf.Tensor]]:
    """Returns the mean negative log-likelihood and its gradients."""
    with tf.GradientTape() as tape:
        loss = -tf.reduce_mean(flow.log_prob(y))
    return loss, tape.gradient(loss, flow.trainable_variables)


CLIENT = """
import sys
for module in ("tfp_glow", "tensorflow_probability", "keras", "tf_keras"):
    sys.modules[module] = None
import numpy as np
import tensorflow as tf
path, data, out = sys.argv[1:]
model = tf.saved_model.load(path)
np.save(out, np.concatenate([model.log_prob(tf.constant(part)) for part in np.split(np.load(data), 2)]))
"""


def save_model(flow: TensorFlowFlow, path: str, batch_size: int | None) -> str:
    """Saves `log_prob` for batches of one size, or of any size, and returns the code of a client."""
    module = tf.Module()
    module.state = flow.flow.variables
    module.log_prob = tf.function(flow.flow.log_prob, [tf.TensorSpec((batch_size, *SHAPE))], autograph=False)
    tf.saved_model.save(module, path)
    return CLIENT


def inference_run(bijector: tfp.bijectors.Bijector) -> tuple[list[tf.Tensor | None], tf.Tensor]:
    """Returns gradients of variational inference, and draws of Hamiltonian Monte Carlo in the latents of a bijector."""
    def target(z: tf.Tensor) -> tf.Tensor:
        return -0.5 * tf.reduce_sum((z - 1.0) ** 2, axis=-1)

    posterior = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), bijector)
    posterior.sample(1)  # Builds the networks.
    with tf.GradientTape() as tape:
        loss = tfp.vi.monte_carlo_variational_loss(target, posterior, sample_size=8, seed=1)
    kernel = tfp.mcmc.TransformedTransitionKernel(
        tfp.mcmc.HamiltonianMonteCarlo(target, step_size=0.1, num_leapfrog_steps=2), bijector)
    return (tape.gradient(loss, posterior.trainable_variables),
            tfp.mcmc.sample_chain(3, tf.zeros((2, 2)), kernel=kernel, trace_fn=None, seed=1))
