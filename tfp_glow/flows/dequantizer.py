# SPDX-License-Identifier: Apache-2.0
"""Variational dequantisation (Ho, Chen, Srinivas, Duan and Abbeel, Flow++, 2019)."""

import dataclasses

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_float_dtype, check_int, check_shape
from tfp_glow.bijectors.pixels import check_num_bits
from tfp_glow.flows._config import PresetDistribution, check_seed_and_policy, register_config
from tfp_glow.networks import ConvNet, ImageFeatures

tfb, tfd = tfp.bijectors, tfp.distributions


def dequantizer(image_shape, num_steps=4, width=32, *, num_bits=8, seed=None, dtype="float32", network_dtype=None):
    """Builds noise that fits the image it is added to: a distribution `q(u | x)` of `u` in (0, 1), given an image `x`.

    An image of whole numbers stands for a cube of points `x + u`, and for any `q`

        log P(x) >= E[log p(x + u) - log q(u | x)],  u ~ q,

    with equality where `q` is the density within the cube, normalised. Uniform noise is the `q` of density 1. This one
    is uniform noise `v`, moved by a flow: `u = sigmoid(f(logit(v); x))`, where `f` is affine couplings over
    checkerboards of alternating colour, which see the image through one `tfp_glow.networks.ImageFeatures`. As couplings
    start as the identity, it starts uniform. `tfp_glow.FlowModel(distribution, dequantizer=...)` trains it with the
    density.

    Args:
      image_shape: `(height, width, channels)`, of two pixels at least.
      num_steps: couplings.
      width: hidden channels of the networks.
      num_bits: bits of a pixel; images are in `[0, 2**num_bits)`.
      seed: an int for reproducible weights, or None.
      dtype: float32 or float64, of noise, densities and parameters.
      network_dtype: dtype or policy of the networks, `dtype` by default; `"mixed_bfloat16"` is possible.

    Returns:
      A `tfd.TransformedDistribution` with `event_shape` `image_shape`, of noise in pixel units; every call needs
      `bijector_kwargs={"context": x}`, with whole-numbered images in pixel units.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Ho, Chen, Srinivas, Duan and Abbeel, *Flow++*, 2019, section 3.1. There the couplings are mixtures of
    logistics with attention, and the latents normal.

    >>> noise = tfp_glow.dequantizer((8, 8, 1), num_steps=2, width=8)
    >>> noise.sample(3, bijector_kwargs={"context": tf.zeros((3, 8, 8, 1))}).shape
    TensorShape([3, 8, 8, 1])
    """
    shape = tuple(check_shape("image_shape", image_shape, ranks=(3,)))
    return DequantizerConfig(shape, num_steps, width, num_bits, seed, dtype, network_dtype).build()


@register_config("dequantizer")
@dataclasses.dataclass(frozen=True)
class DequantizerConfig:
    """The arguments of `dequantizer`, checked."""

    image_shape: tuple
    num_steps: int = 4
    width: int = 32
    num_bits: int = 8
    seed: int | None = None
    dtype: str = "float32"
    network_dtype: str | None = None

    def __post_init__(self):
        height, width, _ = check_shape("image_shape", self.image_shape, ranks=(3,))
        for argument in ("num_steps", "width"):
            check_int(argument, getattr(self, argument))
        check_num_bits(self.num_bits)
        check_float_dtype(self.dtype)
        check_seed_and_policy(self)
        if height * width < 2:
            raise ValueError("Argument `image_shape` must have at least 2 pixels, of which one tells a coupling how to "
                             f"change the other; received {tuple(self.image_shape)}.")

    def build(self):
        """Makes the distribution, with fresh weights."""
        seed = keras.random.SeedGenerator(self.seed)
        features = ImageFeatures(self.width, 2**self.num_bits, seed, dtype=self.network_dtype or self.dtype)
        couplings = tfgb.Steps([self._coupling(index, seed) for index in range(self.num_steps)])
        flow = tfgb.Steps([
            tfb.Sigmoid(), tfgb.MapContext(couplings, features, self.image_shape), tfb.Invert(tfb.Sigmoid()),
        ], name="dequantizer")
        # Of uniform numbers in [0, 1), one in 2**23 is 0 in float32, and the logit of 0 is infinite.
        low = tf.fill(self.image_shape, tf.constant(np.finfo(self.dtype).eps / 2, self.dtype))
        base = tfd.Independent(tfd.Uniform(low, tf.ones([], self.dtype)), 3)
        return PresetDistribution(self, base, flow, name="dequantizer")

    def _coupling(self, index, seed):
        network = ConvNet(self.width, 2 * self.image_shape[-1], seed=seed, dtype=self.network_dtype or self.dtype)
        return tfgb.AffineCoupling(
            self.image_shape, network, ("checkerboard", "checkerboard_reversed")[index % 2], scale="tanh",
            context_shape=(*self.image_shape[:-1], self.width), dtype=self.dtype)
