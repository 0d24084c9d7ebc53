# SPDX-License-Identifier: Apache-2.0
"""The affine elementwise transform of RealNVP and Glow."""

import tensorflow as tf

from tfp_glow._checks import check_choice


class Affine:
    """Scales and shifts by numbers that the conditioner computes.

    * forward: `y = x * exp(log_scale) + shift`, log-determinant `log_scale`;
    * inverse: `x = (y - shift) * exp(-log_scale)`, log-determinant `-log_scale`.

    The last axis of the conditioner's output holds `shift` and `raw`, side by side.

    Args:
      scale: how `raw` becomes `log_scale`:

        * `"sigmoid"` (the default): `log_scale = -log sigmoid(raw + 2)`, so that the inverse multiplies by a factor in
          (0, 1), as in Glow's published code;
        * `"exp"`: `log_scale = raw`, as in RealNVP, whose conditioner ends in a learned factor times tanh;
        * `"tanh"`: `log_scale = tanh(raw)`, bounded by 1.

    Raises:
      ValueError: if `scale` is none of these.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 3.2; Kingma and Dhariwal,
      *Glow*, 2018, section 3.3.

    Example:

    >>> transform = tfp_glow.transforms.Affine("exp")
    >>> y, log_det = transform.forward(tf.constant([3.0]), tf.constant([10.0, 0.0]))
    >>> y.numpy().tolist(), log_det.numpy().tolist()
    ([13.0], [0.0])
    """

    num_parameters = 2

    def __init__(self, scale: str = "sigmoid"):
        self.scale = check_choice("scale", scale, ("exp", "sigmoid", "tanh"))

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `(y, log_scale)`; the last axis of `raw` is twice as wide as that of `x`."""
        shift, log_scale = self._shift_and_log_scale(raw)
        return x * tf.exp(log_scale) + shift, log_scale

    def inverse(self, y: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns `(x, -log_scale)`; the last axis of `raw` is twice as wide as that of `y`."""
        shift, log_scale = self._shift_and_log_scale(raw)
        return (y - shift) * tf.exp(-log_scale), -log_scale

    def _shift_and_log_scale(self, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shift, raw = tf.split(raw, 2, axis=-1)
        if self.scale == "sigmoid":
            return shift, tf.nn.softplus(-(raw + 2.0))
        return shift, tf.tanh(raw) if self.scale == "tanh" else raw
