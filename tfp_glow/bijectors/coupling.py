# SPDX-License-Identifier: Apache-2.0
"""Couplings: bijectors that keep one part of an event and change the other part as a function of the kept part."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._checks import check_choice, check_shape
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import DTypeLike, Shape, ShapeLike
from tfp_glow.bijectors._conditioner import Conditioner
from tfp_glow.bijectors.flow_bijector import FlowBijector, like_log_det
from tfp_glow.bijectors.masks import MASKS, make_mask
from tfp_glow.transforms import Additive, Affine, ElementwiseTransform, check_transform


class Coupling(FlowBijector):
    """Keeps one part of an event and applies an elementwise transform to the other part.

    The network is the conditioner: it computes the parameters of the transform from the kept part.

    * forward: `kept, changed = split(x)`, `y = merge(kept, transform.forward(changed, network(kept)))`;
    * inverse: `kept, changed = split(y)`, `x = merge(kept, transform.inverse(changed, network(kept)))`.

    The log-determinant is the sum of the transform's log-determinants over the changed elements. `x` and `y` have the
    same kept part, so a pass in either direction evaluates the network once.

    With a `context_shape` the network is called as `network([kept, context])`. Every call of the bijector then requires
    `context=...` (in a distribution: `bijector_kwargs={"context": ...}`), a tensor `[..., *context_shape]` whose batch
    shape broadcasts to the batch shape of the events.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      network: a Keras layer or model that maps kept parts to parameters of the transform. For a channel mask and `C`
        channels (or vector elements), it maps `[batch, ..., C // 2]` to
        `[batch, ..., transform.num_parameters * (C - C // 2)]`. For a checkerboard mask, it maps `[batch, ..., C]`,
        with zeros in the place of changed elements, to `[batch, ..., transform.num_parameters * C]`. The parameters of
        kept elements are ignored. For the pixel mask and `N` pixels, it maps `[batch, N // 2, C]` to
        `[batch, N - N // 2, transform.num_parameters * C]`. The constructor builds the network if it is not built. If
        the network has a method `initialize`, `tfp_glow.initialize` calls it with the inputs of the network.
        Any other callable works, including legacy `tf_keras` layers and functions. Its `tf.Variable`s are tracked if
        `tf.Module` finds them or if a call reads them while they are trainable. `Repeat` accepts Keras 3 layers only.
      transform: an elementwise transform: `tfp_glow.transforms.Additive()`, `Affine(...)` or `LogisticMixture(...)`.
      mask: the kept part. `"channel"` (the default) keeps the first `C // 2` channels, `"channel_reversed"` the last
        `C // 2`. `"checkerboard"` keeps the pixels whose row + column is odd, `"checkerboard_reversed"` those where it
        is even. In a vector the index takes the place of row + column. `"pixel"` keeps the first half of the pixels of
        an image, counted row by row; only these pixels enter the network. `Reordered` selects other pixels or channels.
      context_shape: shape of the context of one event, `(size,)` or `(height, width, channels)`. None (the default)
        means no context.
      dtype: float32 (the default) or float64, of events. The network may compute in another dtype, such as bfloat16.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.
      parameters: dict of the arguments of a subclass's constructor, for the method `copy`. The default is None.

    Raises:
      ValueError: if an argument violates its description above, or the network's output does not have the shape that
        the transform requires. In a call: if `context` is missing or has the wrong shape.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 3.3; masks: section 3.4.

    Example:

    >>> transform = tfp_glow.transforms.Affine("exp")
    >>> coupling = tfp_glow.bijectors.Coupling((4,), keras.layers.Dense(4), transform)
    >>> coupling.inverse(tf.zeros((2, 4))).shape
    TensorShape([2, 4])
    >>> coupling = tfp_glow.bijectors.Coupling((4,), tfp_glow.networks.MLP(4), transform, context_shape=(3,))
    >>> coupling.inverse(tf.zeros((2, 4)), context=tf.zeros((2, 3))).shape
    TensorShape([2, 4])
    """

    def __init__(self, shape: ShapeLike, network: Callable, transform: ElementwiseTransform, mask: str = "channel",
                 context_shape: ShapeLike | None = None, dtype: DTypeLike = "float32", validate_args: bool = False,
                 name: str = "coupling", parameters: dict[str, Any] | None = None):
        parameters = {**locals(), "parameters": None} if parameters is None else parameters
        shape = check_shape("shape", shape, ranks=(1, 3))
        check_choice("mask", mask, MASKS)
        check_transform(transform)
        if context_shape is not None:
            context_shape = check_shape("context_shape", context_shape, ranks=(1, 3))
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._mask = untracked(self, make_mask(mask, shape))
        self._transform = transform
        self._context_shape = untracked(self, context_shape)
        output_shape = (*self._mask.changed_shape[:-1], transform.num_parameters * self._mask.num_changed)
        self._conditioner = untracked(
            self, Conditioner(name, network, self._mask.kept_shape, context_shape, output_shape, self.dtype))
        if isinstance(network, keras.Layer):
            self._network = self._add_network(network)
        else:
            self._network, self._network_variables = network, list(self._conditioner.variables)

    @property
    def network(self) -> Callable:
        """The network that the constructor received: a Keras layer or another callable."""
        return self._network

    @property
    def context_shape(self) -> Shape | None:
        """Shape of the additional input `context` for one event: a tuple of ints, or None for no context."""
        return self._context_shape

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        kept, changed = self._mask.split(x)
        changed, log_det = self._change("forward", changed, self._conditioner(kept, **conditions))
        return self._mask.merge(kept, changed), log_det

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        kept, changed = self._mask.split(y)
        changed, log_det = self._change("inverse", changed, self._conditioner(kept, **conditions))
        return self._mask.merge(kept, changed), log_det

    def _change(self, direction: str, changed: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Transforms the changed part with parameters `raw`. Returns the result and the summed log-determinant."""
        transform = self._transform.forward if direction == "forward" else self._transform.inverse
        changed, log_det = transform(changed, raw)
        if log_det is None:
            return changed, tf.zeros([], self.dtype)
        axes = list(range(-len(self._mask.changed_shape), 0))
        return changed, tf.reduce_sum(self._mask.only_changed(log_det), axis=axes)

    def _initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        if hasattr(self._network, "initialize"):
            kept, _ = self._mask.split(y)
            self._network.initialize(self._conditioner.inputs(kept, conditions.get("context")))
        return super()._initialize(y, **conditions)

    def _inverse_vjp(self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor,
                     **conditions: Any) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        kept, changed_x = self._mask.split(x)
        d_kept, d_changed_x = self._mask.split(dx)
        sources = self._sources(**conditions)
        with tf.GradientTape(watch_accessed_variables=False) as network_tape:
            network_tape.watch([kept, sources])
            raw = self._conditioner(kept, **conditions)
        changed_y = tf.stop_gradient(self._change("forward", changed_x, raw)[0])
        with tf.GradientTape(watch_accessed_variables=False) as transform_tape:
            transform_tape.watch([changed_y, raw])
            outputs = self._change("inverse", changed_y, raw)
        zero = tf.UnconnectedGradients.ZERO
        cotangents = [d_changed_x, like_log_det(outputs[1], dlog_det)]
        d_changed_y, d_raw = transform_tape.gradient(outputs, [changed_y, raw], cotangents, zero)
        d_kept_by_network, d_sources = network_tape.gradient(raw, [kept, sources], d_raw, zero)
        dy = self._mask.merge_gradients(d_kept + d_kept_by_network, d_changed_y)
        return self._mask.merge(kept, changed_y), dy, d_sources


class AffineCoupling(Coupling):
    """A coupling that scales and shifts the changed part: `y = x * exp(log_scale) + shift`.

    It is `Coupling` with the transform `tfp_glow.transforms.Affine(scale)`. In the forward direction, its
    log-determinant is the sum of `log_scale` over the changed elements.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      network: a Keras layer or model, or another callable as for `Coupling`. For a channel mask and `C` channels (or
        vector elements), it maps `[batch, ..., C // 2]` to `[batch, ..., 2 * (C - C // 2)]`. For a checkerboard mask it
        maps `[batch, ..., C]` to `[batch, ..., 2 * C]`. The first half of the output's last axis is `shift`, the second
        half is `raw_scale`.
      mask: the kept part: `"channel"` (the default) or `"channel_reversed"`, the first or the last `C // 2` channels;
        `"checkerboard"` or `"checkerboard_reversed"`, the pixels whose row + column is odd or even; or `"pixel"`, as
        for `Coupling`.
      scale: the function that computes `log_scale`: `"sigmoid"` (the default, as in Glow) for
        `-log(sigmoid(raw_scale + 2))`, `"double_sigmoid"` (as in Jet) for `-log(2 * sigmoid(raw_scale))`, `"exp"` for
        `raw_scale`, or `"tanh"` for `tanh(raw_scale)`.
      context_shape: shape of the context of one event, `(size,)` or `(height, width, channels)`. None (the default)
        means no context.
      dtype: float32 (the default) or float64, of events. The network may compute in another dtype, such as bfloat16.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if an argument violates its description above, or the network's output has another shape. In a call:
        if `context` is missing or has the wrong shape.

    References:
      Kingma and Dhariwal, *Glow*, 2018, section 3.3.

    Example:

    >>> tfp_glow.bijectors.AffineCoupling((2, 2, 4), keras.layers.Conv2D(4, 3, padding="same")).event_shape
    (2, 2, 4)
    """

    def __init__(self, shape: ShapeLike, network: Callable, mask: str = "channel", scale: str = "sigmoid",
                 context_shape: ShapeLike | None = None, dtype: DTypeLike = "float32", validate_args: bool = False,
                 name: str = "affine_coupling"):
        parameters = dict(locals())
        super().__init__(shape, network, Affine(scale), mask, context_shape, dtype, validate_args, name,
                         parameters)


class AdditiveCoupling(Coupling):
    """A coupling that shifts the changed part: `y = x + shift`. The log-determinant is 0.

    It is `Coupling` with the transform `tfp_glow.transforms.Additive()`.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      network: a Keras layer or model, or another callable as for `Coupling`, whose output is `shift`. For a channel
        mask and `C` channels (or vector elements), it maps `[batch, ..., C // 2]` to `[batch, ..., C - C // 2]`. For a
        checkerboard mask it maps `[batch, ..., C]` to `[batch, ..., C]`.
      mask: the kept part: `"channel"` (the default) or `"channel_reversed"`, the first or the last `C // 2` channels;
        `"checkerboard"` or `"checkerboard_reversed"`, the pixels whose row + column is odd or even; or `"pixel"`, as
        for `Coupling`.
      context_shape: shape of the context of one event, `(size,)` or `(height, width, channels)`. None (the default)
        means no context.
      dtype: float32 (the default) or float64, of events. The network may compute in another dtype, such as bfloat16.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if an argument violates its description above, or the network's output has another shape. In a call:
        if `context` is missing or has the wrong shape.

    References:
      Dinh, Krueger and Bengio, *NICE*, 2015, section 3.2.

    Example:

    >>> tfp_glow.bijectors.AdditiveCoupling((4,), keras.layers.Dense(2)).event_shape
    (4,)
    """

    def __init__(self, shape: ShapeLike, network: Callable, mask: str = "channel",
                 context_shape: ShapeLike | None = None, dtype: DTypeLike = "float32", validate_args: bool = False,
                 name: str = "additive_coupling"):
        parameters = dict(locals())
        super().__init__(shape, network, Additive(), mask, context_shape, dtype, validate_args, name,
                         parameters)
