# SPDX-License-Identifier: Apache-2.0
"""RealNVP's batch normalisation, a bijector."""

import math

import keras
import tensorflow as tf

from tfp_glow._checks import check_number, check_shape
from tfp_glow.bijectors.flow_bijector import FlowBijector


class BatchNorm(FlowBijector):
    """Normalises every channel of a coupling's whole output: by the batch in training, by running averages otherwise.

    With per-channel `mean` and `variance`, at every pixel:

    * inverse: `x = (y - mean) / sqrt(variance + epsilon)`, log-det `-H * W / 2 * sum(log(variance + epsilon))`;
    * forward: `y = x * sqrt(variance + epsilon) + mean`, log-det `H * W / 2 * sum(log(variance + epsilon))`.

    In training the inverse takes them from the batch, over pixels and all replicas, lets gradients flow through them,
    and moves the running averages; then the log-det is that of the affine map with these statistics. `forward` always
    uses the running averages, and undoes the inverse outside of training. What is training says Keras (`fit`), or the
    argument `training` of a call. `tfp_glow.initialize` starts the running averages with a batch's statistics.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      momentum: how much of the running averages a step keeps, in [0, 1).
      epsilon: what is added to variances, positive.
      dtype: float32 or float64, of events and parameters.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said, or a vector comes without a batch in training.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 3.7; momentum and
    epsilon are the published code's.

    >>> norm = BatchNorm((4, 4, 3))
    >>> norm.inverse(tf.random.normal((8, 4, 4, 3), mean=5.0), training=True).numpy().mean().round(3).item()
    0.0
    """

    def __init__(self, shape, momentum=0.9, epsilon=1e-4, dtype="float32", validate_args=False, name="batch_norm"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        check_number("momentum", momentum, "be in [0, 1)", lambda value: 0.0 <= value < 1.0)
        check_number("epsilon", epsilon, "be positive", lambda value: value > 0.0)
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._epsilon = epsilon
        self.statistics = self._add_network(
            BatchStatistics(shape[-1], momentum, dtype=self.dtype.name, name=f"{name}_statistics"))

    def _inverse_and_log_det(self, y, context=None, training=None):
        # An explicit None would count as an answer, and Keras would not look around.
        mean, variance = self.statistics(y) if training is None else self.statistics(y, training=training)
        log_scale = 0.5 * tf.math.log(variance + self._epsilon)
        return (y - mean) * tf.exp(-log_scale), -self._log_det(log_scale)

    def _forward_and_log_det(self, x, **conditions):
        mean, variance = self.statistics(x, training=False)
        log_scale = 0.5 * tf.math.log(variance + self._epsilon)
        return x * tf.exp(log_scale) + mean, self._log_det(log_scale)

    def _log_det(self, log_scale):
        return math.prod(self.event_shape[:-1]) * tf.reduce_sum(log_scale)

    def _initialize(self, y, **conditions):
        self.statistics.start(y)
        return super()._initialize(y, **conditions)


class BatchStatistics(keras.Layer):
    """Mean and variance of every channel: the batch's in training, running averages otherwise.

    A Keras layer, so that Keras tells it whether it is training. Inputs `[..., channels]`, outputs two `[channels]`.
    """

    def __init__(self, channels, momentum, **kwargs):
        super().__init__(**kwargs)
        self.momentum = momentum
        shared = {"shape": (channels,), "trainable": False, "autocast": False, "aggregation": "mean"}
        self.mean = self.add_weight(name="mean", initializer="zeros", **shared)
        self.variance = self.add_weight(name="variance", initializer="ones", **shared)
        self.initialized = self.add_weight(name="initialized", shape=(), initializer="zeros", dtype="bool",
                                           trainable=False)
        self.built = True

    def call(self, inputs, training=None):
        if not training:
            return tf.convert_to_tensor(self.mean), tf.convert_to_tensor(self.variance)
        mean, variance = self._moments(inputs)
        for average, new in ((self.mean, mean), (self.variance, variance)):
            average.assign(average * self.momentum + (1.0 - self.momentum) * tf.stop_gradient(new))
        return mean, variance

    def start(self, inputs):
        """Starts the running averages with a batch's statistics, unless that was done before."""
        if not bool(self.initialized.numpy()):
            mean, variance = self._moments(inputs)
            self.mean.assign(mean)
            self.variance.assign(variance)
            self.initialized.assign(True)

    @staticmethod
    def _moments(inputs):
        if inputs.shape.rank == 1:
            raise ValueError("Batch norm of vectors needs a batch to take statistics from; "
                             f"received shape {tuple(inputs.shape)}.")
        mean = _mean_over_replicas(inputs)
        return mean, _mean_over_replicas(tf.math.squared_difference(inputs, mean))


def _mean_over_replicas(values):
    """Mean over all axes but the last, and over the replicas of a distribution strategy, which hold as much each."""
    mean = tf.reduce_mean(values, axis=list(range(values.shape.rank - 1)))
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return mean
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, mean) / replica.num_replicas_in_sync
