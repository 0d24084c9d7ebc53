# SPDX-License-Identifier: Apache-2.0
"""The elementwise rules of coupling layers: what is done to `changed`, given what a network made of `kept`."""

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow._checks import check_choice

tfb = tfp.bijectors


class Additive:
    """Adds a shift: forward `y = x + shift`, inverse `x = y - shift`, log-det 0.

    Reference: Dinh, Krueger and Bengio, *NICE*, 2015, section 3.2.
    """

    num_parameters = 1

    def forward(self, x, raw):
        """Returns `(y, log_scale)`; `raw` is the network's output, of the shape of `x`; log_scale is None for 0."""
        return x + raw, None

    def inverse(self, y, raw):
        """Returns `(x, log_scale)` of the inverse."""
        return y - raw, None


class Affine:
    """Scales and shifts: forward `y = x * exp(log_scale) + shift`, inverse `x = (y - shift) * exp(-log_scale)`.

    The log-det of the forward direction is the sum of `log_scale`. The network's output is `shift` and `raw` side by
    side on the last axis, and `scale` says what becomes of `raw`:

    * `"exp"`: `log_scale = raw` (RealNVP's, whose network ends in a learned factor times tanh);
    * `"sigmoid"`: `log_scale = -log sigmoid(raw + 2)`, so that latents are images times a factor in (0, 1) (Glow's
      published code);
    * `"tanh"`: `log_scale = tanh(raw)`, bounded by 1.

    Raises:
      ValueError: if `scale` is none of these.
    """

    num_parameters = 2

    def __init__(self, scale="sigmoid"):
        self.scale = check_choice("scale", scale, ("exp", "sigmoid", "tanh"))

    def forward(self, x, raw):
        """Returns `(y, log_scale)`; `raw` is the network's output, twice as wide as `x` on the last axis."""
        shift, log_scale = self._parameters(raw)
        return x * tf.exp(log_scale) + shift, log_scale

    def inverse(self, y, raw):
        """Returns `(x, -log_scale)`: the inverse and the log of its own scale."""
        shift, log_scale = self._parameters(raw)
        return (y - shift) * tf.exp(-log_scale), -log_scale

    def _parameters(self, raw):
        shift, raw = tf.split(raw, 2, axis=-1)
        if self.scale == "sigmoid":
            return shift, tf.nn.softplus(-(raw + 2.0))
        return shift, tf.tanh(raw) if self.scale == "tanh" else raw


class Elementwise(tfb.Bijector):
    """A rule with its parameters, as TFP's machinery wants it: a bijector over single elements."""

    def __init__(self, rule, raw, name="elementwise"):
        parameters = dict(locals())
        super().__init__(forward_min_event_ndims=0, dtype=raw.dtype, parameters=parameters, name=name)
        self._rule, self._raw = rule, raw

    def _forward(self, x):
        return self._rule.forward(x, self._raw)[0]

    def _inverse(self, y):
        return self._rule.inverse(y, self._raw)[0]

    def _inverse_log_det_jacobian(self, y):
        log_scale = self._rule.inverse(y, self._raw)[1]
        return tf.zeros_like(y) if log_scale is None else log_scale


def check_rule(rule):
    """Returns `rule`, or raises `ValueError` if it is no elementwise rule."""
    parts = ("forward", "inverse", "num_parameters")
    if isinstance(rule, type) or not all(hasattr(rule, part) for part in parts):
        raise ValueError(f"Argument `rule` must be an elementwise rule such as Additive() or Affine(); "
                         f"received {rule!r}.")
    return rule
