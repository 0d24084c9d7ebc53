# SPDX-License-Identifier: Apache-2.0
"""A pyramid of subsampled images, each pixel given those before it by a mixture of logistics."""

import dataclasses
import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_float_dtype, check_int, check_shape
from tfp_glow.bijectors.squeeze import squeezed_shape
from tfp_glow.flows._config import PresetDistribution, check_seed_and_policy, register_config
from tfp_glow.networks import MADE, PixelInputs, PlacedResNet
from tfp_glow._checks import check_activation, check_ints

tfb, tfd = tfp.bijectors, tfp.distributions


def pyramid(image_shape, num_levels=2, width=64, num_blocks=3, *, num_components=5, top_sizes=(256, 256),
            second_kernel=1, activation="relu", num_bits=8, seed=None, dtype="float32", network_dtype=None):
    """Builds a pyramid flow, a `tfd.TransformedDistribution` over images in pixel units.

    A level squeezes: the image of every second pixel (in both directions) is kept for the next level, and three
    couplings give the other pixels, diagonal neighbours first, each given all before it. At the top a masked
    autoregressive network goes through the pixels that are left, one after the other. Every conditional is a
    discretised mixture of logistics whose distribution function maps the pixel to a normal latent
    (`tfp_glow.bijectors.LogisticMixture`), so that densities of dequantised images are the probabilities of their
    levels: no noise has to be modelled.

    `log_prob` evaluates every network once, side by side; sampling, 3 networks for each level and channel and the top's
    as often as it has elements.

    Args:
      image_shape: `(height, width, channels)`; height and width must be divisible by `2**num_levels`.
      num_levels: how often the image is subsampled.
      width: hidden channels of the first level's networks, or a sequence with those of every level.
      num_blocks: residual blocks of a network, or a sequence with those of every level.
      num_components: logistics in a mixture.
      top_sizes: sizes of the hidden layers of the top's network.
      second_kernel, activation: as for `tfp_glow.networks.PlacedResNet`.
      num_bits: bits of a pixel; images are in `[0, 2**num_bits)`.
      seed: an int for reproducible weights, or None.
      dtype: float32 or float64, of images, latents, densities and parameters.
      network_dtype: dtype or policy of the networks, `dtype` by default; `"mixed_bfloat16"` is possible.

    Returns:
      A `tfd.TransformedDistribution` with `event_shape` `image_shape` and no batch shape; `log_prob` is in nats per
      image, of the density over pixel units.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Reed et al., *Parallel multiscale autoregressive density estimation*, 2017, for the order of pixels;
    Salimans et al., *PixelCNN++*, 2017, for the mixtures; Ho et al., *Flow++*, 2019, for both as a flow.

    >>> flow = tfp_glow.pyramid((8, 8, 1), num_levels=2, width=8, num_blocks=1, top_sizes=(16,))
    >>> flow.sample(3).shape
    TensorShape([3, 8, 8, 1])
    """
    return PyramidConfig(tuple(check_shape("image_shape", image_shape, ranks=(3,))), num_levels, width, num_blocks,
                         num_components, top_sizes, second_kernel, activation, num_bits, seed, dtype,
                         network_dtype).build()


@register_config("pyramid")
@dataclasses.dataclass(frozen=True)
class PyramidConfig:
    """The arguments of `pyramid`, checked."""

    image_shape: tuple
    num_levels: int = 2
    width: int | tuple = 64
    num_blocks: int | tuple = 3
    num_components: int = 5
    top_sizes: tuple = (256, 256)
    second_kernel: int = 1
    activation: str = "relu"
    num_bits: int = 8
    seed: int | None = None
    dtype: str = "float32"
    network_dtype: str | None = None

    def __post_init__(self):
        height, width, _ = check_shape("image_shape", self.image_shape, ranks=(3,))
        check_int("num_levels", self.num_levels)
        for argument in ("width", "num_blocks"):
            value = getattr(self, argument)
            if isinstance(value, (tuple, list)) and len(check_ints(argument, value)) != self.num_levels:
                raise ValueError(f"Argument `{argument}` must be a whole number, or one for each of the "
                                 f"{self.num_levels} levels; received {value!r}.")
            if not isinstance(value, (tuple, list)):
                check_int(argument, value)
        check_ints("top_sizes", self.top_sizes)
        if self.second_kernel not in (1, 3):
            raise ValueError(f"Argument `second_kernel` must be 1 or 3; received {self.second_kernel!r}.")
        check_activation("activation", self.activation)
        tfgb.LogisticMixture(self.num_components, self.num_bits)
        check_float_dtype(self.dtype)
        check_seed_and_policy(self)
        if height % 2**self.num_levels or width % 2**self.num_levels:
            raise ValueError(f"Argument `image_shape` must have height and width divisible by 2**num_levels = "
                             f"{2**self.num_levels}; received {tuple(self.image_shape)}.")

    def build(self):
        """Makes the distribution, with fresh weights."""
        flow = tfgb.Steps([
            tfgb.RawPixels(self.image_shape, self.num_bits, dtype=self.dtype),
            self._level(tuple(self.image_shape), 0, keras.random.SeedGenerator(self.seed)),
        ], name="pyramid")
        size = math.prod(self.image_shape)
        base = tfd.Independent(tfd.Normal(tf.zeros([size], self.dtype), tf.ones([], self.dtype)), 1)
        return PresetDistribution(self, base, flow, name="pyramid")

    def _level(self, shape, level, seed):
        """Squeeze, the pixels between given those that are kept, and the next level on these; or the top."""
        if level == self.num_levels:
            return tfgb.Multiscale(self._top(shape, seed), name="top")
        kept, squeezed = shape[-1], squeezed_shape(shape)
        networks = [self._network(level, seed, name=f"network_{k}") for k in range(kept, squeezed[-1])]
        body = tfgb.Steps([
            tfgb.Squeeze(shape, order="space_to_depth", dtype=self.dtype),
            tfgb.Permute(squeezed, _diagonal_first(kept), dtype=self.dtype),
            tfgb.ChannelAutoregressive(squeezed, networks, self._rule(), kept, dtype=self.dtype),
        ])
        next_level = self._level((*squeezed[:-1], kept), level + 1, seed)
        return tfgb.Multiscale(body, next_level, num_kept=kept, name=f"level_{level}")

    def _network(self, level, seed, name):
        width, num_blocks = (
            value[level] if isinstance(value, (tuple, list)) else value for value in (self.width, self.num_blocks))
        policy = self.network_dtype or self.dtype
        return keras.Sequential([
            PixelInputs(self.num_bits, mark_black=True, dtype=self.dtype),
            PlacedResNet(width, self._rule().num_parameters, num_blocks, self.second_kernel, self.activation, seed=seed,
                         dtype=policy)], name=name)

    def _top(self, shape, seed):
        size, rule = math.prod(shape), self._rule()
        network = keras.Sequential([
            PixelInputs(self.num_bits, dtype=self.dtype),
            MADE(size, self.top_sizes, self.activation, rule.num_parameters, seed=seed, dtype=self.dtype)], name="top")
        flatten = tfgb.Flatten(shape, dtype=self.dtype)
        return tfgb.Steps([
            flatten, tfgb.MaskedAutoregressive((size,), network, self.dtype, rule=rule), tfb.Invert(flatten)])

    def _rule(self):
        return tfgb.LogisticMixture(self.num_components, self.num_bits)


def _diagonal_first(channels):
    """Order of the `4 * channels` of a squeeze: a block's first pixel, its diagonal neighbour, and the others."""
    return [place * channels + channel for place in (0, 3, 1, 2) for channel in range(channels)]
