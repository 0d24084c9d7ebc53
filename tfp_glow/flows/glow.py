# SPDX-License-Identifier: Apache-2.0
"""Glow (Kingma and Dhariwal, 2018)."""

import dataclasses
import math

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_bool, check_choice, check_float_dtype, check_int, check_shape
from tfp_glow.bijectors.pixels import check_num_bits
from tfp_glow.bijectors.squeeze import squeezed_shape
from tfp_glow.flows._config import PresetDistribution, check_num_classes, check_seed_and_policy, register_config
from tfp_glow.networks import ConvNet, ZeroConv2D

tfd = tfp.distributions


def glow(image_shape, num_levels=3, num_steps=32, width=512, *, scale="sigmoid", learn_top=True, num_bits=8,
         backprop="stored", seed=None, dtype="float32", network_dtype=None, coupling="affine", permutation="lu",
         num_classes=None):
    """Builds Glow, a `tfd.TransformedDistribution` over images in pixel units.

    A level is squeeze, `num_steps` steps of flow (actnorm, invertible 1x1 convolution, affine coupling) and, but for
    the last, a split whose factored-out half has a normal prior conditioned on the other. Sampling is the `forward`
    direction of `distribution.bijector`, from flat latents `[..., H * W * C]`; encoding is `inverse`. Call
    `tfp_glow.initialize(distribution, batch)` before training by hand; `tfp_glow.FlowModel.fit` does it by itself.

    Args:
      image_shape: `(height, width, channels)`; height and width must be divisible by `2**num_levels`.
      num_levels: the paper's L.
      num_steps: the paper's K, steps of flow a level.
      width: hidden channels of the coupling networks.
      scale: scale rule of the couplings, `"sigmoid"` (the published code's), `"exp"` or `"tanh"`.
      learn_top: whether mean and scale of the last level's latents are learned, per channel.
      num_bits: bits of a pixel; images are in `[0, 2**num_bits)`.
      backprop: `"stored"` or `"reversible"`, see `tfp_glow.bijectors.Repeat`.
      seed: an int for reproducible weights, or None.
      dtype: float32 or float64, of images, latents, densities and parameters.
      network_dtype: dtype or policy of the coupling networks, `dtype` by default; `"mixed_bfloat16"` is possible.
      coupling: `"affine"` or `"additive"`; `scale` is the affine ones'.
      permutation: what mixes channels between couplings: `"lu"`, the 1x1 convolution in its LU parametrisation;
        `"dense"`, the same with a dense matrix; `"shuffle"`, a fixed random permutation; or `"reverse"`.
      num_classes: an int of at least 2 for a prior of the last level's latents with a mean and a scale for each class
        and channel, beside the learned top; its context is the one-hot label, as
        `flow.log_prob(x, bijector_kwargs={"context": tf.one_hot(labels, num_classes)})`. None for no classes.

    Returns:
      A `tfd.TransformedDistribution` with `event_shape` `image_shape` and no batch shape; `log_prob` is in nats per
      image, of the density over pixel units.

    Raises:
      ValueError: if an argument is not as said.

    Reference: Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018, figure 2.

    >>> flow = tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=2, width=16)
    >>> flow.sample(3).shape
    TensorShape([3, 8, 8, 1])
    """
    return GlowConfig(tuple(check_shape("image_shape", image_shape, ranks=(3,))), num_levels, num_steps, width, scale,
                      learn_top, num_bits, backprop, seed, dtype, network_dtype, coupling, permutation,
                      num_classes).build()


@register_config("glow")
@dataclasses.dataclass(frozen=True)
class GlowConfig:
    """The arguments of `glow`, checked."""

    image_shape: tuple
    num_levels: int = 3
    num_steps: int = 32
    width: int = 512
    scale: str = "sigmoid"
    learn_top: bool = True
    num_bits: int = 8
    backprop: str = "stored"
    seed: int | None = None
    dtype: str = "float32"
    network_dtype: str | None = None
    coupling: str = "affine"
    permutation: str = "lu"
    num_classes: int | None = None

    def __post_init__(self):
        height, width, _ = check_shape("image_shape", self.image_shape, ranks=(3,))
        for argument in ("num_levels", "num_steps", "width"):
            check_int(argument, getattr(self, argument))
        check_choice("scale", self.scale, ("sigmoid", "exp", "tanh"))
        check_num_bits(self.num_bits)
        check_choice("backprop", self.backprop, ("stored", "reversible"))
        check_choice("coupling", self.coupling, ("affine", "additive"))
        check_choice("permutation", self.permutation, ("lu", "dense", "shuffle", "reverse"))
        check_float_dtype(self.dtype)
        check_bool("learn_top", self.learn_top)
        check_seed_and_policy(self)
        check_num_classes(self.num_classes)
        if height % 2**self.num_levels or width % 2**self.num_levels:
            raise ValueError(f"Argument `image_shape` must have height and width divisible by 2**num_levels = "
                             f"{2**self.num_levels}; received {tuple(self.image_shape)}.")

    def build(self):
        """Makes the distribution, with fresh weights."""
        seed = keras.random.SeedGenerator(self.seed)
        flow = tfgb.Steps([
            tfgb.AffinePixels(self.image_shape, self.num_bits, dtype=self.dtype),
            self._level(self.image_shape, self.num_levels, seed),
        ], name="glow")
        size = math.prod(self.image_shape)
        base = tfd.Independent(tfd.Normal(tf.zeros([size], self.dtype), tf.ones([], self.dtype)), 1)
        return PresetDistribution(self, base, flow, name="glow")

    def _level(self, shape, levels_left, seed):
        """Figure 2b: squeeze, steps of flow, split, and the next level on the half that is kept."""
        squeeze = tfgb.Squeeze(shape, dtype=self.dtype)
        shape = squeezed_shape(shape)
        steps = tfgb.Repeat(lambda: self._step(shape, seed), self.num_steps, self.backprop, name="steps")
        if levels_left == 1:
            top = [tfgb.ActNorm(shape, data_dependent=False, dtype=self.dtype, name="top_prior")] * self.learn_top
            if self.num_classes is not None:
                top.append(tfgb.ConditionalAffine(shape, (self.num_classes,), dtype=self.dtype, name="class_prior"))
            return tfgb.Multiscale(tfgb.Steps([squeeze, steps, *top]))
        prior = ZeroConv2D(shape[-1], dtype=self.network_dtype or self.dtype)
        split_prior = tfgb.AffineCoupling(shape, prior, scale="exp", dtype=self.dtype, name="split_prior")
        next_level = self._level((*shape[:-1], shape[-1] // 2), levels_left - 1, seed)
        return tfgb.Multiscale(tfgb.Steps([squeeze, steps, split_prior]), next_level)

    def _step(self, shape, seed):
        """Figure 2a: actnorm, invertible 1x1 convolution, affine coupling; or what stands for the last two."""
        outputs = shape[-1] if self.coupling == "affine" else shape[-1] // 2
        network = ConvNet(self.width, outputs, seed=seed, dtype=self.network_dtype or self.dtype)
        if self.coupling == "affine":
            coupling = tfgb.AffineCoupling(shape, network, scale=self.scale, dtype=self.dtype)
        else:
            coupling = tfgb.AdditiveCoupling(shape, network, dtype=self.dtype)
        return tfgb.Steps([tfgb.ActNorm(shape, dtype=self.dtype), self._permutation(shape, seed), coupling])

    def _permutation(self, shape, seed):
        if self.permutation == "reverse":
            return tfgb.Reverse(shape, dtype=self.dtype)
        kinds = {"lu": tfgb.InvertibleConv1x1, "dense": tfgb.DenseConv1x1, "shuffle": tfgb.Shuffle}
        return kinds[self.permutation](shape, seed=seed, dtype=self.dtype)
