# SPDX-License-Identifier: Apache-2.0
"""Coupling layers: one part of an event is kept, and tells a network how to change the other."""

import keras
import tensorflow as tf

from tfp_glow.transforms import elementwise
from tfp_glow._checks import check_choice, check_shape
from tfp_glow.bijectors._conditioner import Conditioner
from tfp_glow.bijectors.flow_bijector import FlowBijector, of_shape_of
from tfp_glow.bijectors.masks import MASKS, make_mask


class Coupling(FlowBijector):
    """Keeps one part of an event and applies an elementwise rule to the other, with parameters from a network.

    * forward: `kept, changed = split(x)`, `y = merge(kept, rule.forward(changed, network(kept)))`;
    * inverse: `kept, changed = split(y)`, `x = merge(kept, rule.inverse(changed, network(kept)))`.

    The log-det is the sum of the rule's log-scale over the changed part. `kept` is the same on both sides, so either
    direction evaluates the network once. With a `context_shape` the network is `network([kept, context])`, and every
    call needs `context=...` (through distributions: `bijector_kwargs={"context": ...}`), a tensor
    `[..., *context_shape]` whose batch broadcasts to that of the events.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      network: a Keras layer or model that maps `kept`, `[batch, *kept_shape]`, to the rule's parameters,
        `[batch, ..., rule.num_parameters * num_changed]`. For channel masks `kept_shape` has half the channels (fewer
        of an odd number); for checkerboards it is `shape`, with zeros on the changed places. Built here if it is not.
        A method `initialize` it may have is called with its inputs by `tfp_glow.initialize`. Any other callable will
        do, such as a legacy `tf_keras` layer or a function: those of its `tf.Variable`s are found that `tf.Module`
        finds, or that are trainable and read in a call.
      rule: an elementwise rule, `tfp_glow.bijectors.Additive()`, `Affine(...)` or `LogisticMixture(...)`.
      mask: `"channel"` (first half kept), `"channel_reversed"`, `"checkerboard"` or `"checkerboard_reversed"`.
      context_shape: shape of the context of one event, `(size,)` or `(height, width, channels)`; None for no context.
      dtype: float32 or float64, of events; the network may compute in another (bfloat16, say).
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said, or the network's output shape is not what the rule needs;
        in a call, if `context` is missing or of a wrong shape.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 3.3; masks 3.4.

    >>> network = keras.layers.Dense(4)
    >>> coupling = Coupling((4,), network, elementwise.Affine("exp"))
    >>> coupling.inverse(tf.zeros((2, 4))).shape
    TensorShape([2, 4])
    >>> network = tfp_glow.networks.MLP(4)
    >>> coupling = Coupling((4,), network, elementwise.Affine("exp"), context_shape=(3,))
    >>> coupling.inverse(tf.zeros((2, 4)), context=tf.zeros((2, 3))).shape
    TensorShape([2, 4])
    """

    def __init__(self, shape, network, rule, mask="channel", context_shape=None, dtype="float32", validate_args=False,
                 name="coupling"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        check_choice("mask", mask, MASKS)
        elementwise.check_rule(rule)
        if context_shape is not None:
            context_shape = check_shape("context_shape", context_shape, ranks=(1, 3))
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._mask = self._no_dependency(make_mask(mask, shape))
        self._rule = rule
        self._context_shape = self._no_dependency(context_shape)
        output_shape = (*shape[:-1], rule.num_parameters * self._mask.num_changed)
        self._conditioner = self._no_dependency(
            Conditioner(name, network, self._mask.kept_shape, context_shape, output_shape, self.dtype))
        if isinstance(network, keras.Layer):
            self._network = self._add_network(network)
        else:
            self._network, self._network_variables = network, list(self._conditioner.variables)

    @property
    def network(self):
        """The network: a Keras layer, or whatever callable was given."""
        return self._network

    @property
    def context_shape(self):
        """Shape of the context of one event, a tuple, or None."""
        return self._context_shape

    def _evaluate(self, kept, **conditions):
        """The network's output at `kept`, for any batch shape, in the bijector's dtype."""
        return self._conditioner(kept, **conditions)

    def _forward_and_log_det(self, x, **conditions):
        kept, changed = self._mask.split(x)
        changed, log_det = self._change(self._rule.forward, changed, self._evaluate(kept, **conditions))
        return self._mask.merge(kept, changed), log_det

    def _inverse_and_log_det(self, y, **conditions):
        kept, changed = self._mask.split(y)
        changed, log_det = self._change(self._rule.inverse, changed, self._evaluate(kept, **conditions))
        return self._mask.merge(kept, changed), log_det

    def _change(self, rule, changed, raw):
        changed, log_scale = rule(changed, raw)
        if log_scale is None:
            return changed, tf.zeros([], self.dtype)
        return changed, tf.reduce_sum(self._mask.only_changed(log_scale), axis=list(range(-len(self.event_shape), 0)))

    def _initialize(self, y, **conditions):
        if hasattr(self._network, "initialize"):
            kept, _ = self._mask.split(y)
            self._network.initialize(self._conditioner.inputs(kept, conditions.get("context")))
        return super()._initialize(y, **conditions)

    def _inverse_vjp(self, x, dx, dlog_det, **conditions):
        kept, changed_x = self._mask.split(x)
        d_kept, d_changed_x = self._mask.split(dx)
        sources = self._sources(**conditions)
        with tf.GradientTape(watch_accessed_variables=False) as network_tape:
            network_tape.watch([kept, sources])
            raw = self._evaluate(kept, **conditions)
        changed_y = tf.stop_gradient(self._change(self._rule.forward, changed_x, raw)[0])
        with tf.GradientTape(watch_accessed_variables=False) as rule_tape:
            rule_tape.watch([changed_y, raw])
            outputs = self._change(self._rule.inverse, changed_y, raw)
        zero = tf.UnconnectedGradients.ZERO
        cotangents = [d_changed_x, of_shape_of(outputs[1], dlog_det)]
        d_changed_y, d_raw = rule_tape.gradient(outputs, [changed_y, raw], cotangents, zero)
        d_kept_too, d_sources = network_tape.gradient(raw, [kept, sources], d_raw, zero)
        dy = self._mask.merge_gradients(d_kept + d_kept_too, d_changed_y)
        return self._mask.merge(kept, changed_y), dy, d_sources


class AffineCoupling(Coupling):
    """A `Coupling` that scales and shifts: `y = x * exp(log_scale) + shift` on the changed part.

    Args:
      shape, network, mask, context_shape, dtype, validate_args, name: as for `Coupling`; the network's last axis holds
        the shift and the raw scale side by side.
      scale: how `raw` becomes `log_scale`: `"sigmoid"` (Glow), `"exp"` or `"tanh"`; see `Affine`.

    Raises:
      ValueError: as `Coupling`, or if `scale` is none of these.

    Reference: Kingma and Dhariwal, *Glow*, 2018, section 3.3.

    >>> AffineCoupling((2, 2, 4), keras.layers.Conv2D(4, 3, padding="same")).event_shape
    (2, 2, 4)
    """

    def __init__(self, shape, network, mask="channel", scale="sigmoid", context_shape=None, dtype="float32",
                 validate_args=False, name="affine_coupling"):
        parameters = dict(locals())
        super().__init__(shape, network, elementwise.Affine(scale), mask, context_shape, dtype, validate_args, name)
        self._parameters = self._no_dependency(parameters)


class AdditiveCoupling(Coupling):
    """A `Coupling` that shifts: `y = x + shift` on the changed part, volume-preserving.

    Args:
      shape, network, mask, context_shape, dtype, validate_args, name: as for `Coupling`.

    Raises:
      ValueError: as `Coupling`.

    Reference: Dinh, Krueger and Bengio, *NICE*, 2015, section 3.2.

    >>> AdditiveCoupling((4,), keras.layers.Dense(2)).event_shape
    (4,)
    """

    def __init__(self, shape, network, mask="channel", context_shape=None, dtype="float32", validate_args=False,
                 name="additive_coupling"):
        parameters = dict(locals())
        super().__init__(shape, network, elementwise.Additive(), mask, context_shape, dtype, validate_args, name)
        self._parameters = self._no_dependency(parameters)
