# SPDX-License-Identifier: Apache-2.0
"""`Elementwise`: an elementwise transform whose parameters are learned numbers, not outputs of a network."""

from typing import Any

import tensorflow as tf

from tfp_glow._checks import check_int, check_shape
from tfp_glow._types import DTypeLike, ShapeLike
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.transforms import ElementwiseTransform, check_transform


class Elementwise(FlowBijector):
    """Applies an elementwise transform with learned parameters to the first channels, or elements of a vector.

    With `n = num_changed` and the learned parameters `raw`, `[transform.num_parameters * n]`, at every pixel:

    * inverse: `x[..., :n] = transform.inverse(y[..., :n], raw)`, and the other channels stay;
    * forward: `y[..., :n] = transform.forward(x[..., :n], raw)`, and the other channels stay.

    The log-determinant is the sum of the transform's log-determinants over the changed elements. The parameters start
    at zero.

    Neural spline flows transform the part that a coupling keeps in this way.

    Args:
      shape: event shape, `(height, width, channels)` or `(size,)`.
      transform: an elementwise transform, such as `tfp_glow.transforms.RationalQuadraticSpline()`.
      num_changed: number of changed channels, an int from 1 to `shape[-1]`. None (the default) means all channels.
      dtype: float32 (the default) or float64, of events and parameters.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      Durkan, Bekasov, Murray and Papamakarios, *Neural spline flows*, 2019, section 3.2.

    Example:

    >>> spline = tfp_glow.transforms.RationalQuadraticSpline(num_bins=4)
    >>> bijector = tfp_glow.bijectors.Elementwise((3,), spline, num_changed=2)
    >>> bijector.inverse([1.0, 2.0, 9.0]).numpy().round(4).tolist()
    [1.0, 2.0, 9.0]
    """

    def __init__(self, shape: ShapeLike, transform: ElementwiseTransform, num_changed: int | None = None,
                 dtype: DTypeLike = "float32", validate_args: bool = False, name: str = "elementwise"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1, 3))
        check_transform(transform)
        num_changed = shape[-1] if num_changed is None else check_int("num_changed", num_changed)
        if num_changed > shape[-1]:
            raise ValueError(f"Argument `num_changed` must be at most the number of channels, {shape[-1]}; "
                             f"received {num_changed}.")
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._transform, self._sizes = transform, (num_changed, shape[-1] - num_changed)
        self.raw = self._add_parameter("raw", (transform.num_parameters * num_changed,))

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self._apply("forward", x)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self._apply("inverse", y)

    def _apply(self, direction: str, value: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        changed, kept = tf.split(value, self._sizes, axis=-1)
        # Without batch axes, so that the transform computes what depends only on the parameters once per pass.
        transform = self._transform.forward if direction == "forward" else self._transform.inverse
        changed, log_det = transform(changed, self._read(self.raw))
        value = tf.concat([changed, kept], axis=-1)
        if log_det is None:
            return value, tf.zeros([], self.dtype)
        # The log-determinants of affine transforms depend on the parameters only.
        log_det = tf.broadcast_to(log_det, tf.shape(changed))
        return value, tf.reduce_sum(log_det, axis=list(range(-len(self.event_shape), 0)))
