# SPDX-License-Identifier: Apache-2.0
"""Masked autoregressive flow, on TFP's, with a Keras network."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow._checks import check_shape
from tfp_glow.transforms.elementwise import Affine, Elementwise, check_rule
from tfp_glow.bijectors.flow_bijector import FlowBijector

tfb = tfp.bijectors


class MaskedAutoregressive(FlowBijector):
    """Changes every element of a vector by a rule, usually a scale and shift, as functions of those before it.

    With `raw = network(y)`, of element `i` a function of `y[:i]`, and for the default rule `shift, log_scale = raw`:

    * inverse: `x = (y - shift) * exp(-log_scale)`, log-det `-sum(log_scale)`, by one evaluation of the network;
    * forward: `y[i] = x[i] * exp(log_scale[i]) + shift[i]`, log-det `sum(log_scale)`, one element after the other, by
      `size + 1` evaluations.

    The passes are `tfb.MaskedAutoregressiveFlow`'s; this class adds that Keras and TFP find the variables, and that
    value and log-det share an evaluation. The inverse autoregressive flow is `tfb.Invert` of it: then `forward` is the
    parallel direction.

    Args:
      shape: event shape, `(size,)`.
      network: a Keras layer or model that maps `[batch, size]` to `[batch, size, rule.num_parameters]` (shift and
        log-scale) and is autoregressive, such as `tfp_glow.networks.MADE(size)`.
      dtype: float32 or float64, of events; the network may compute in another.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.
      rule: an elementwise rule, `Affine("exp")` by default; see `tfp_glow.bijectors.Coupling`.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*, 2017; Kingma et
    al., *Improving variational inference with inverse autoregressive flow*, 2016.

    >>> flow = MaskedAutoregressive((3,), tfp_glow.networks.MADE(3))
    >>> flow.forward(tf.zeros((5, 3))).shape, tfp.bijectors.Invert(flow).forward(tf.zeros((5, 3))).shape
    (TensorShape([5, 3]), TensorShape([5, 3]))
    """

    def __init__(self, shape, network, dtype="float32", validate_args=False, name="masked_autoregressive", rule=None):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1,))
        if not isinstance(network, keras.Layer):
            raise ValueError(f"Argument `network` must be a Keras 3 layer or model; received {network!r}.")
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._rule = Affine("exp") if rule is None else check_rule(rule)
        expected = (*shape, self._rule.num_parameters)
        received = tuple(network(keras.KerasTensor((None, *shape), dtype=self.dtype.name)).shape)[1:]
        if received != expected:
            raise ValueError(f"Argument `network` must map vectors of shape {shape} to outputs of shape {expected}; "
                             f"received one with outputs of shape {received}.")
        self._network = self._add_network(network)

    @property
    def network(self):
        """The network, a Keras layer."""
        return self._network

    def _evaluate(self, y, context=None, training=None):
        """The rule's parameters side by side, as rules want them: `[..., num_parameters * size]`."""
        arguments = {} if training is None else {"training": training}
        raw = tf.cast(self._network(tf.reshape(y, (-1, *self.event_shape)), **arguments), self.dtype)
        raw = tf.linalg.matrix_transpose(raw)
        return tf.reshape(raw, tf.concat([tf.shape(y)[:-1], [self._rule.num_parameters * self.event_shape[0]]], axis=0))

    def _inverse_and_log_det(self, y, **conditions):
        x, log_scale = self._rule.inverse(y, self._evaluate(y, **conditions))
        return x, tf.zeros([], self.dtype) if log_scale is None else tf.reduce_sum(log_scale, axis=-1)

    def _forward_and_log_det(self, x, **conditions):
        def given(y):
            return Elementwise(self._rule, self._evaluate(y, **conditions))

        y = tfb.MaskedAutoregressiveFlow(bijector_fn=given, is_constant_jacobian=False).forward(x)
        y = tf.ensure_shape(y, x.shape)
        return y, -self._inverse_and_log_det(y, **conditions)[1]
