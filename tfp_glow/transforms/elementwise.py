# SPDX-License-Identifier: Apache-2.0
"""The protocol of elementwise transforms, and a TFP bijector that applies one."""

from typing import Any, Protocol, runtime_checkable

import tensorflow as tf
from tensorflow_probability import bijectors as tfb


@runtime_checkable
class ElementwiseTransform(Protocol):
    """An invertible function of one number, whose parameters a conditioner computes.

    Couplings and autoregressive bijectors apply it to each changed element. Any object with the attribute
    `num_parameters` and the methods `forward` and `inverse` is an elementwise transform. It needs no base class.

    For elements `[..., size]` the conditioner returns `raw`, `[..., num_parameters * size]`. The last axis of `raw` is
    a concatenation of `num_parameters` blocks: `raw[..., j * size + i]` is parameter `j` of element `i`.

    Attributes:
      num_parameters: number of parameters per element, an int.
    """

    num_parameters: int

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Maps latents to data.

        Args:
          x: floats `[..., size]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(y, log |dy/dx|)`, both `[..., size]`: the log-determinant is per element, not summed. None in its place
          means 0.
        """

    def inverse(self, y: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Maps data to latents.

        Args:
          y: floats `[..., size]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(x, log |dx/dy|)`, both `[..., size]`: the log-determinant is per element, not summed. None in its place
          means 0.
        """


class ElementwiseBijector(tfb.Bijector):
    """A `tfb.Bijector` over single numbers that applies an elementwise transform with fixed parameters.

    Args:
      transform: an `ElementwiseTransform`.
      raw: parameters of the transform for inputs `[..., size]`, a tensor `[..., transform.num_parameters * size]`.
      name: name of the bijector.
    """

    def __init__(self, transform: ElementwiseTransform, raw: tf.Tensor, name: str = "elementwise"):
        parameters = dict(locals())
        super().__init__(forward_min_event_ndims=0, dtype=raw.dtype, parameters=parameters, name=name)
        self._transform, self._raw = transform, raw

    def _forward(self, x: tf.Tensor) -> tf.Tensor:
        return self._transform.forward(x, self._raw)[0]

    def _inverse(self, y: tf.Tensor) -> tf.Tensor:
        return self._transform.inverse(y, self._raw)[0]

    def _inverse_log_det_jacobian(self, y: tf.Tensor) -> tf.Tensor:
        log_det = self._transform.inverse(y, self._raw)[1]
        return tf.zeros_like(y) if log_det is None else log_det


def check_transform(transform: Any) -> ElementwiseTransform:
    """Returns `transform`, or raises `ValueError` if it does not have the members of `ElementwiseTransform`."""
    if isinstance(transform, type) or not isinstance(transform, ElementwiseTransform):
        raise ValueError("Argument `transform` must be an elementwise transform, such as Additive() or "
                         f"Affine(); received {transform!r}.")
    return transform
