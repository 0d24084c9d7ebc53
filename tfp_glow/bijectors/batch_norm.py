# SPDX-License-Identifier: Apache-2.0
"""`BatchNorm`: the batch normalization of RealNVP as a bijector."""

import math
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._checks import check_number, check_shape
from tfp_glow._types import DTypeLike, ShapeLike
from tfp_glow.bijectors.flow_bijector import FlowBijector


class BatchNorm(FlowBijector):
    """Normalizes every channel, with batch statistics in training and with running statistics otherwise.

    `mean` and `variance` have one value per channel. At each of the `H * W` pixels (a vector counts as one pixel):

    * inverse: `x = (y - mean) / sqrt(variance + epsilon)`, log-determinant
      `-H * W / 2 * sum(log(variance + epsilon))`;
    * forward: `y = x * sqrt(variance + epsilon) + mean`, log-determinant `H * W / 2 * sum(log(variance + epsilon))`.

    In training, `inverse` computes `mean` and `variance` from the batch, over pixels and over all replicas. Gradients
    flow through these batch statistics. The running statistics become
    `momentum * running + (1 - momentum) * batch`. The log-determinant treats the batch statistics as constants.
    `forward` always uses the running statistics, so it is the inverse of `inverse` outside training only.

    Training mode comes from the argument `training` of a call, or from Keras (`fit`) if the argument is left out.
    `tfp_glow.initialize` sets the running statistics to the mean and the variance of a batch.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      momentum: fraction of the running statistics that a training step keeps, a float in [0, 1). The default is 0.9.
      epsilon: a positive float that is added to every variance. The default is 1e-4.
      dtype: float32 (the default) or float64, of events and parameters.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` has neither 1 nor 3 positive sizes, `momentum` is not in [0, 1), `epsilon` is not positive,
        or `dtype` is neither float32 nor float64. In a training call: if the event is a vector without a batch axis.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 3.7. The default momentum and
      epsilon are the values of the published code.

    Example:

    >>> norm = tfp_glow.bijectors.BatchNorm((4, 4, 3))
    >>> norm.inverse(tf.random.normal((8, 4, 4, 3), mean=5.0), training=True).numpy().mean().round(3).item()
    0.0
    """

    def __init__(self, shape: ShapeLike, momentum: float = 0.9, epsilon: float = 1e-4, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "batch_norm"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        momentum = check_number("momentum", momentum, "be in [0, 1)", lambda value: 0.0 <= value < 1.0)
        epsilon = check_number("epsilon", epsilon, "be positive", lambda value: value > 0.0)
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._epsilon = epsilon
        self.statistics = self._add_network(
            BatchStatistics(shape[-1], momentum, dtype=self.dtype.name, name=f"{name}_statistics"))

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        # With an explicit `training=None`, Keras would not use the mode of the surrounding call.
        training = conditions.get("training")
        mean, variance = self.statistics(y) if training is None else self.statistics(y, training=training)
        log_scale = 0.5 * tf.math.log(variance + self._epsilon)
        return (y - mean) * tf.exp(-log_scale), -self._log_det(log_scale)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        mean, variance = self.statistics(x, training=False)
        log_scale = 0.5 * tf.math.log(variance + self._epsilon)
        return x * tf.exp(log_scale) + mean, self._log_det(log_scale)

    def _log_det(self, log_scale: tf.Tensor) -> tf.Tensor:
        return math.prod(self.event_shape[:-1]) * tf.reduce_sum(log_scale)

    def _initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        self.statistics.initialize(y)
        return super()._initialize(y, **conditions)


class BatchStatistics(keras.Layer):
    """Returns mean and variance of every channel, from the batch in training and from running statistics otherwise.

    It is a Keras layer because Keras passes the training mode to layers only.

    Args:
      channels: number of channels, an int.
      momentum: fraction of the running statistics that a training step keeps, a float in [0, 1).
      **kwargs: further arguments of `keras.Layer`.

    Input shape:
      `[..., channels]`, with at least one batch or pixel axis.

    Output shape:
      A tuple of two tensors `[channels]`: mean and variance.

    Raises:
      ValueError: in a training call, if the inputs have no axis except the channel axis.
    """

    def __init__(self, channels: int, momentum: float, **kwargs: Any):
        super().__init__(**kwargs)
        self.momentum = momentum
        shared = {"shape": (channels,), "trainable": False, "autocast": False, "aggregation": "mean"}
        self.mean = self.add_weight(name="mean", initializer="zeros", **shared)
        self.variance = self.add_weight(name="variance", initializer="ones", **shared)
        self.initialized = self.add_weight(name="initialized", shape=(), initializer="zeros", dtype="bool",
                                           trainable=False)
        self.built = True

    def call(self, inputs: tf.Tensor, training: Any = None) -> tuple[tf.Tensor, tf.Tensor]:
        if not training:
            return tf.convert_to_tensor(self.mean), tf.convert_to_tensor(self.variance)
        mean, variance = self._moments(inputs)
        for average, new in ((self.mean, mean), (self.variance, variance)):
            average.assign(average * self.momentum + (1.0 - self.momentum) * tf.stop_gradient(new))
        return mean, variance

    def initialize(self, inputs: tf.Tensor) -> None:
        """Sets the running statistics to mean and variance of a batch, `[..., channels]`, in the first call only."""
        if not bool(self.initialized.numpy()):
            mean, variance = self._moments(inputs)
            self.mean.assign(mean)
            self.variance.assign(variance)
            self.initialized.assign(True)

    @staticmethod
    def _moments(inputs: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        if inputs.shape.rank == 1:
            raise ValueError("Batch normalization of vectors requires a batch axis to compute statistics over; "
                             f"received shape {tuple(inputs.shape)}.")
        mean = _mean_over_replicas(inputs)
        return mean, _mean_over_replicas(tf.math.squared_difference(inputs, mean))


def _mean_over_replicas(values: tf.Tensor) -> tf.Tensor:
    """Computes the mean over all axes except the last, and over replicas. Replicas must have equal batch sizes."""
    mean = tf.reduce_mean(values, axis=list(range(values.shape.rank - 1)))
    replica = tf.distribute.get_replica_context()
    if replica is None or replica.num_replicas_in_sync == 1:
        return mean
    return replica.all_reduce(tf.distribute.ReduceOp.SUM, mean) / replica.num_replicas_in_sync
