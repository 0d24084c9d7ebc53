# SPDX-License-Identifier: Apache-2.0
"""What an elementwise transform is, and its form as a TFP bijector."""

from typing import Any, Protocol, runtime_checkable

import tensorflow as tf
from tensorflow_probability import bijectors as tfb


@runtime_checkable
class ElementwiseTransform(Protocol):
    """An invertible function of single numbers, whose parameters a conditioner computes.

    A coupling and an autoregressive bijector apply it to each changed element. Any object with these members is an
    elementwise transform; it needs no base class.

    Attributes:
      num_parameters: number of parameters per element. A conditioner returns `raw`, whose last axis holds
        `num_parameters` blocks, each as wide as the last axis of the changed elements.
    """

    num_parameters: int

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Maps latents to data.

        Args:
          x: floats `[..., size]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(y, log dy/dx)`, both `[..., size]`. None in place of the log-derivative means 0.
        """

    def inverse(self, y: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Maps data to latents.

        Args:
          y: floats `[..., size]`.
          raw: output of the conditioner, `[..., num_parameters * size]`.

        Returns:
          `(x, log dx/dy)`, both `[..., size]`. None in place of the log-derivative means 0.
        """


class ElementwiseBijector(tfb.Bijector):
    """An elementwise transform with given parameters, as a `tfb.Bijector` over single numbers.

    Args:
      transform: an `ElementwiseTransform`.
      raw: its parameters, `[..., num_parameters * size]`.
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
    """Returns `transform`, or raises `ValueError` if it is no elementwise transform."""
    if isinstance(transform, type) or not isinstance(transform, ElementwiseTransform):
        raise ValueError("Argument `transform` must be an elementwise transform, such as Additive() or "
                         f"Affine(); received {transform!r}.")
    return transform
