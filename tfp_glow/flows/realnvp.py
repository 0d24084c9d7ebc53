# SPDX-License-Identifier: Apache-2.0
"""RealNVP (Dinh, Sohl-Dickstein and Bengio, 2017)."""

import dataclasses
import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_bool, check_float_dtype, check_int, check_number, check_shape
from tfp_glow.bijectors.masks import make_mask
from tfp_glow.bijectors.pixels import check_num_bits
from tfp_glow.bijectors.squeeze import squeezed_shape
from tfp_glow.flows._config import PresetDistribution, check_num_classes, check_seed_and_policy, register_config
from tfp_glow.networks import ResNet

tfd = tfp.distributions


def realnvp(image_shape, num_scales=2, num_blocks=8, width=64, *, batch_norm=True, alpha=0.05, l2=5e-5, num_bits=8,
            seed=None, dtype="float32", network_dtype=None, num_classes=None):
    """Builds RealNVP, a `tfd.TransformedDistribution` over images in pixel units.

    A scale is three affine couplings with checkerboard masks, squeeze and three with channel masks; half of the result
    is factored out, the other half goes on to the next scale. The last scale is four checkerboard couplings. Each
    coupling is followed by batch norm (a bijector with running averages) and gets shift and log-scale from a residual
    network of its own. The defaults are the paper's for CIFAR-10; its others are `num_scales=4, num_blocks=4, width=32`
    for images of 32x32 and `num_scales=5, num_blocks=2, width=32` for 64x64.

    Nothing but the masks knows height and width, so the weights fit a flow over larger images.

    Args:
      image_shape: `(height, width, channels)`; height and width must be divisible by `2**(num_scales - 1)`.
      num_scales: one more than how often the resolution is halved.
      num_blocks: residual blocks of a coupling network.
      width: hidden channels of the first couplings; they double with each squeeze.
      batch_norm: whether there is batch norm, between couplings and in networks.
      alpha: of the logit map of pixels, see `tfp_glow.bijectors.LogitPixels`.
      l2: coefficient of the networks' squared weight-norm scales, in a loss in nats per image as the paper's.
      num_bits: bits of a pixel; images are in `[0, 2**num_bits)`.
      seed: an int for reproducible weights, or None.
      dtype: float32 or float64, of images, latents, densities and parameters.
      network_dtype: dtype or policy of the networks, `dtype` by default; `"mixed_bfloat16"` is possible.
      num_classes: an int of at least 2 for class-conditional couplings, whose networks read the one-hot label beside
        every pixel: the flow's context, as in `tfp_glow.glow`. None for no classes.

    Returns:
      A `tfd.TransformedDistribution` with `event_shape` `image_shape` and no batch shape; `log_prob` is in nats per
      image, of the density over pixel units.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, sections 3.6 and 4.1. Widths,
    the order of masks and which half is factored out are the published code's.

    >>> flow = tfp_glow.realnvp((8, 8, 1), num_scales=2, num_blocks=1, width=8)
    >>> flow.sample(3).shape
    TensorShape([3, 8, 8, 1])
    """
    return RealNVPConfig(tuple(check_shape("image_shape", image_shape, ranks=(3,))), num_scales, num_blocks, width,
                         batch_norm, alpha, l2, num_bits, seed, dtype, network_dtype, num_classes).build()


@register_config("realnvp")
@dataclasses.dataclass(frozen=True)
class RealNVPConfig:
    """The arguments of `realnvp`, checked."""

    image_shape: tuple
    num_scales: int = 2
    num_blocks: int = 8
    width: int = 64
    batch_norm: bool = True
    alpha: float = 0.05
    l2: float = 5e-5
    num_bits: int = 8
    seed: int | None = None
    dtype: str = "float32"
    network_dtype: str | None = None
    num_classes: int | None = None

    def __post_init__(self):
        shape = check_shape("image_shape", self.image_shape, ranks=(3,))
        for argument in ("num_scales", "num_blocks", "width"):
            check_int(argument, getattr(self, argument))
        check_bool("batch_norm", self.batch_norm)
        check_number("l2", self.l2, "not be negative", lambda value: value >= 0.0)
        check_num_bits(self.num_bits)
        check_float_dtype(self.dtype)
        check_seed_and_policy(self)
        check_num_classes(self.num_classes)
        tfgb.LogitPixels(shape, self.num_bits, self.alpha)
        divisor = 2 ** (self.num_scales - 1)
        if shape[0] % divisor or shape[1] % divisor or max(shape[:2]) < 2 * divisor:
            raise ValueError("Argument `image_shape` must have height and width divisible by 2**(num_scales - 1) = "
                             f"{divisor}, one of them more than once; received {tuple(self.image_shape)}.")

    def build(self):
        """Makes the distribution, with fresh weights."""
        seed = keras.random.SeedGenerator(self.seed)
        flow = tfgb.Steps([
            tfgb.LogitPixels(self.image_shape, self.num_bits, self.alpha, dtype=self.dtype),
            self._scale(self.image_shape, self.width, self.num_scales, seed),
        ], name="realnvp")
        size = math.prod(self.image_shape)
        base = tfd.Independent(tfd.Normal(tf.zeros([size], self.dtype), tf.ones([], self.dtype)), 1)
        return PresetDistribution(self, base, flow, name="realnvp")

    def _scale(self, shape, width, scales_left, seed):
        """Section 3.6: three checkerboards, squeeze, three channel masks, and the next scale on half; or the last."""
        board, other = "checkerboard_reversed", "checkerboard"
        if scales_left == 1:
            return tfgb.Multiscale(self._couplings(shape, width, (board, other, board, other), seed))
        halved = squeezed_shape(shape)
        body = tfgb.Steps([
            self._couplings(shape, width, (board, other, board), seed),
            tfgb.Squeeze(shape, dtype=self.dtype),
            self._couplings(halved, 2 * width, ("channel", "channel_reversed", "channel"), seed),
            tfgb.Permute(halved, _diagonal_first(shape[-1]), dtype=self.dtype),
        ])
        return tfgb.Multiscale(body, self._scale((*halved[:-1], halved[-1] // 2), 2 * width, scales_left - 1, seed))

    def _couplings(self, shape, width, masks, seed):
        steps = []
        for mask in masks:
            steps.append(self._coupling(shape, width, mask, seed))
            steps += [tfgb.BatchNorm(shape, dtype=self.dtype)] * self.batch_norm
        return tfgb.Steps(steps)

    def _coupling(self, shape, width, mask, seed):
        board = mask.startswith("checkerboard")
        # The loss of `FlowModel` is in bits per dimension, the paper's in nats per image.
        l2 = keras.regularizers.L2(self.l2 / (math.prod(self.image_shape) * math.log(2.0)))
        network = ResNet(
            width, 2 * shape[-1] if board else shape[-1], self.num_blocks,
            mask=make_mask(mask, shape).kept if board else None, batch_norm=self.batch_norm,
            factor=0.0 if board else 1.0, regularizer=l2, seed=seed, dtype=self.network_dtype or self.dtype)
        labels = None if self.num_classes is None else (self.num_classes,)
        return tfgb.AffineCoupling(shape, network, mask, scale="exp", context_shape=labels, dtype=self.dtype)


def _diagonal_first(channels):
    """Order that puts first, of the `4 * channels` of a squeeze, those of every block's main diagonal.

    They are the half that goes on: pixels of all channels, a checkerboard of the image.
    """
    return [4 * channel + place for place in (0, 3, 1, 2) for channel in range(channels)]
