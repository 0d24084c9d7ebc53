# SPDX-License-Identifier: Apache-2.0
"""The additive elementwise transform of NICE."""

import tensorflow as tf

from tfp_glow.transforms.elementwise import check_raw


class Additive:
    """Adds a shift that the conditioner computes. The log-determinant is 0.

    * forward: `y = x + shift`;
    * inverse: `x = y - shift`.

    The conditioner returns one number per element, the shift. So its output `raw` has the shape of `x` and `y`.

    References:
      Dinh, Krueger and Bengio, *NICE*, 2015, section 3.2.

    Example:

    >>> tfp_glow.transforms.Additive().forward(tf.constant([1.0, 2.0]), tf.constant([0.5, 0.5]))[0].numpy()
    array([1.5, 2.5], dtype=float32)
    """

    num_parameters = 1

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Returns `(x + raw, None)`. `raw`, the shift, has the shape of `x`. None means a log-determinant of 0."""
        check_raw(self, x, raw)
        return x + raw, None

    def inverse(self, y: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, None]:
        """Returns `(y - raw, None)`. `raw`, the shift, has the shape of `y`. None means a log-determinant of 0."""
        check_raw(self, y, raw)
        return y - raw, None
