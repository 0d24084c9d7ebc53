# SPDX-License-Identifier: Apache-2.0
"""The protocol of elementwise transforms, its check, and the parameters of several groups of elements."""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import tensorflow as tf


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


def check_transform(transform: Any) -> ElementwiseTransform:
    """Returns `transform`, or raises `ValueError` if it does not have the members of `ElementwiseTransform`."""
    if isinstance(transform, type) or not isinstance(transform, ElementwiseTransform):
        raise ValueError("Argument `transform` must be an elementwise transform, such as Additive() or "
                         f"Affine(); received {transform!r}.")
    return transform


def check_raw(transform: ElementwiseTransform, value: tf.Tensor, raw: tf.Tensor) -> None:
    """Raises `ValueError` unless `raw` has `num_parameters` numbers per element of `value`, as far as sizes are known.

    Without it, TensorFlow might broadcast, and log-determinants would be those of fewer elements.
    """
    size, number = value.shape[-1], raw.shape[-1]
    if size is not None and number is not None and number != transform.num_parameters * size:
        raise ValueError(f"Argument `raw` must have {transform.num_parameters} * {size} numbers in its last axis, for "
                         f"{size} elements; received shape {tuple(raw.shape)}.")


def joined_parameters(transform: ElementwiseTransform, raws: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the conditioner output for the concatenation of groups of elements.

    Args:
      transform: the elementwise transform of all groups.
      raws: outputs of conditioners, each `[..., num_parameters * size]` for a group of elements `[..., size]`.

    Returns:
      `[..., num_parameters * total]`, where `total` is the sum of all sizes.

    Example:

    >>> transform = tfp_glow.transforms.Affine("exp")  # blocks: shifts, log-scales
    >>> joined_parameters(transform, [tf.constant([1., 2.]), tf.constant([3., 4., 5., 6.])]).numpy().tolist()
    [1.0, 3.0, 4.0, 2.0, 5.0, 6.0]
    """
    count = transform.num_parameters
    blocks = [tf.reshape(raw, tf.concat([tf.shape(raw)[:-1], [count, raw.shape[-1] // count]], axis=0)) for raw in raws]
    joined = tf.concat(blocks, axis=-1)
    return tf.reshape(joined, tf.concat([tf.shape(joined)[:-2], [count * joined.shape[-1]]], axis=0))
