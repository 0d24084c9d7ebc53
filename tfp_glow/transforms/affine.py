# SPDX-License-Identifier: Apache-2.0
"""The affine elementwise transform of RealNVP, Glow and Jet."""

import math

import tensorflow as tf

from tfp_glow._checks import check_choice
from tfp_glow.transforms.elementwise import check_raw


class Affine:
    """Scales and shifts each element by numbers that the conditioner computes.

    * forward: `y = x * exp(log_scale) + shift`, log-determinant `log_scale`;
    * inverse: `x = (y - shift) * exp(-log_scale)`, log-determinant `-log_scale`.

    The log-determinants are per element: they have the shape of `x` and `y` and are not summed.

    The conditioner's output `raw` is `[..., 2 * size]` for elements `[..., size]`. Its last axis is a concatenation:
    the first half is `shift`, the second half is `raw_scale`, which defines `log_scale`.

    Args:
      scale: the function that computes `log_scale` from `raw_scale`:

        * `"sigmoid"` (the default): `log_scale = -log(sigmoid(raw_scale + 2))`. The inverse then multiplies by a factor
          in (0, 1), as in Glow's published code. The factor has no lower bound. On inputs unlike the training data it
          can be so small that `forward` amplifies rounding errors; `FlowModel.encode` then raises an error.
        * `"double_sigmoid"`: `log_scale = -log(2 * sigmoid(raw_scale))`, as in Jet. The inverse then multiplies by a
          factor in (0, 2), which is 1 for `raw_scale = 0`.
        * `"exp"`: `log_scale = raw_scale`. Nothing bounds `log_scale` here, so the conditioner must bound it. RealNVP's
          conditioners end in a learned factor times tanh (`tfp_glow.networks.ScaledTanh`).
        * `"tanh"`: `log_scale = tanh(raw_scale)`, which is in (-1, 1).

    Raises:
      ValueError: if `scale` is not one of these strings.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, section 3.2; Kingma and Dhariwal,
      *Glow*, 2018, section 3.3; Kolesnikov, Pinto and Tschannen, *Jet*, 2024, section 2.2.

    Example:

    >>> transform = tfp_glow.transforms.Affine("exp")
    >>> shift, raw_scale = tf.constant([10.0, 20.0]), tf.constant([0.0, 1.0])
    >>> y, log_det = transform.forward(tf.constant([3.0, 0.0]), tf.concat([shift, raw_scale], axis=-1))
    >>> y.numpy().tolist(), log_det.numpy().tolist()
    ([13.0, 20.0], [0.0, 1.0])
    """

    num_parameters = 2

    def __init__(self, scale: str = "sigmoid"):
        self.scale = check_choice("scale", scale, ("exp", "sigmoid", "double_sigmoid", "tanh"))

    def forward(self, x: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps latents to data.

        Args:
          x: floats `[..., size]`.
          raw: output of the conditioner, `[..., 2 * size]`: all shifts, followed by all raw scales.

        Returns:
          `(y, log_scale)`, both `[..., size]`. The second tensor is the log-determinant per element, `log dy/dx`.
        """
        check_raw(self, x, raw)
        shift, log_scale = self._shift_and_log_scale(raw)
        return x * tf.exp(log_scale) + shift, log_scale

    def inverse(self, y: tf.Tensor, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Maps data to latents.

        Args:
          y: floats `[..., size]`.
          raw: output of the conditioner, `[..., 2 * size]`: all shifts, followed by all raw scales.

        Returns:
          `(x, -log_scale)`, both `[..., size]`. The second tensor is the log-determinant per element, `log dx/dy`.
        """
        check_raw(self, y, raw)
        shift, log_scale = self._shift_and_log_scale(raw)
        return (y - shift) * tf.exp(-log_scale), -log_scale

    def _shift_and_log_scale(self, raw: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        shift, raw_scale = tf.split(raw, 2, axis=-1)
        if self.scale == "sigmoid":
            return shift, tf.nn.softplus(-(raw_scale + 2.0))
        if self.scale == "double_sigmoid":
            return shift, tf.nn.softplus(-raw_scale) - math.log(2.0)
        return shift, tf.tanh(raw_scale) if self.scale == "tanh" else raw_scale
