# SPDX-License-Identifier: Apache-2.0
"""Glow (Kingma and Dhariwal, 2018)."""

import keras
from tensorflow_probability import distributions as tfd

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_bool, check_choice, check_int, check_num_bits, check_num_classes, check_shape
from tfp_glow._types import DTypeLike, PolicyLike, Shape, ShapeLike
from tfp_glow.bijectors.squeeze import squeezed_shape
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._shared import check_common, check_divisible, flow_distribution
from tfp_glow.networks import ConvNet, ZeroConv2D


@register_flow("glow")
def glow(image_shape: ShapeLike, num_levels: int = 3, num_steps: int = 32, width: int = 512, *,
         scale: str = "sigmoid", learn_top: bool = True, num_bits: int = 8, backprop: str = "stored",
         seed: int | None = None, dtype: DTypeLike = "float32", network_dtype: PolicyLike = None,
         coupling: str = "affine", permutation: str = "lu", num_classes: int | None = None,
         ) -> tfd.TransformedDistribution:
    """Builds Glow, a distribution over images in pixel units.

    Each level is a squeeze, `num_steps` steps of flow (actnorm, invertible 1x1 convolution, affine coupling) and,
    except at the last level, a split. The split factors out half of the channels, whose prior is a normal distribution
    conditioned on the other half. Sampling is the `forward` direction of `distribution.bijector`, from flat latents
    `[..., H * W * C]`; encoding is `inverse`.

    `tfp_glow.FlowModel.fit` runs the data-dependent initialization. Before training by hand, call
    `tfp_glow.initialize(distribution, batch)`.

    Args:
      image_shape: `(height, width, channels)`; height and width must be divisible by `2**num_levels`.
      num_levels: number of levels, the paper's L.
      num_steps: number of steps of flow per level, the paper's K.
      width: number of hidden channels of the coupling networks.
      scale: scale of the affine couplings: `"sigmoid"` (the default, as in the published code), `"exp"` or `"tanh"`;
        see `tfp_glow.transforms.Affine`.
      learn_top: whether the mean and the scale of the last level's latents are learned, per channel. Default: True.
      num_bits: bits per channel value, an int from 1 to 16; values are in `[0, 2**num_bits)`. Default: 8.
      backprop: `"stored"` (the default) or `"reversible"`, see `tfp_glow.bijectors.Repeat`.
      seed: an int of at least 0 for reproducible weights. None (the default) draws a new seed.
      dtype: float32 (the default) or float64, of images, latents, densities and parameters.
      network_dtype: dtype or Keras dtype policy of the coupling networks, such as `"mixed_bfloat16"`. None (the
        default) is `dtype`.
      coupling: `"affine"` (the default) or `"additive"`.
      permutation: how channels are mixed between couplings: `"lu"` (the default), the 1x1 convolution in its LU
        parametrization; `"dense"`, a 1x1 convolution with a dense matrix; `"shuffle"`, a fixed random permutation; or
        `"reverse"`.
      num_classes: number of classes of a class-conditional flow, at least 2. The last level's latents then have a mean
        and a scale for each class and channel. The context is the one-hot label:
        `flow.log_prob(x, bijector_kwargs={"context": tf.one_hot(labels, num_classes)})`. None (the default) means no
        classes.

    Returns:
      A `tfd.TransformedDistribution` with event shape `image_shape` and no batch shape. `log_prob` is in nats per
      image and refers to pixel units.

    Raises:
      ValueError: if an argument violates its description above, for example if height or width is not divisible by `2**num_levels`.

    References:
      Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018, figure 2.

    Example:

    >>> flow = tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=2, width=16)
    >>> flow.sample(3).shape
    TensorShape([3, 8, 8, 1])
    """
    image_shape = check_shape("image_shape", image_shape, ranks=(3,))
    num_levels, num_steps = check_int("num_levels", num_levels), check_int("num_steps", num_steps)
    width = check_int("width", width)
    check_choice("scale", scale, ("sigmoid", "exp", "tanh"))
    check_bool("learn_top", learn_top)
    check_num_bits(num_bits)
    check_choice("backprop", backprop, ("stored", "reversible"))
    check_choice("coupling", coupling, ("affine", "additive"))
    check_choice("permutation", permutation, ("lu", "dense", "shuffle", "reverse"))
    check_num_classes(num_classes)
    check_common(dtype, network_dtype, seed)
    check_divisible(image_shape, 2**num_levels, "2**num_levels")
    generator = keras.random.SeedGenerator(seed)
    network_dtype = network_dtype or dtype

    def mix_channels(shape: Shape) -> tfgb.FlowBijector:
        """Section 3.2: the invertible 1x1 convolution, or one of the permutations of section 6.1."""
        if permutation == "reverse":
            return tfgb.Reverse(shape, dtype=dtype)
        kinds = {"lu": tfgb.InvertibleConv1x1, "dense": tfgb.DenseConv1x1, "shuffle": tfgb.Shuffle}
        return kinds[permutation](shape, seed=generator, dtype=dtype)

    def step(shape: Shape) -> tfgb.Steps:
        """Figure 2a: actnorm, invertible 1x1 convolution, affine coupling; or the chosen variants of the last two."""
        network = ConvNet(width, shape[-1] if coupling == "affine" else shape[-1] // 2, seed=generator,
                          dtype=network_dtype)
        if coupling == "affine":
            change = tfgb.AffineCoupling(shape, network, scale=scale, dtype=dtype)
        else:
            change = tfgb.AdditiveCoupling(shape, network, dtype=dtype)
        return tfgb.Steps([tfgb.ActNorm(shape, dtype=dtype), mix_channels(shape), change])

    def top_prior(shape: Shape) -> list[tfgb.FlowBijector]:
        """The learned prior of the last level's latents, and its class-conditional part."""
        prior: list[tfgb.FlowBijector] = []
        if learn_top:
            prior.append(tfgb.ActNorm(shape, data_dependent=False, dtype=dtype, name="top_prior"))
        if num_classes is not None:
            prior.append(tfgb.ConditionalAffine(shape, (num_classes,), dtype=dtype, name="class_prior"))
        return prior

    def level(shape: Shape, levels_left: int) -> tfgb.Multiscale:
        """Figure 2b: squeeze, steps of flow, split, and the next level on the half that is kept."""
        squeeze = tfgb.Squeeze(shape, dtype=dtype)
        shape = squeezed_shape(shape)
        steps = tfgb.Repeat(lambda: step(shape), num_steps, backprop, name="steps")
        if levels_left == 1:
            return tfgb.Multiscale(tfgb.Steps([squeeze, steps, *top_prior(shape)]))
        prior = ZeroConv2D(shape[-1], dtype=network_dtype)
        split_prior = tfgb.AffineCoupling(shape, prior, scale="exp", dtype=dtype, name="split_prior")
        next_level = level((*shape[:-1], shape[-1] // 2), levels_left - 1)
        return tfgb.Multiscale(tfgb.Steps([squeeze, steps, split_prior]), next_level)

    pixels = tfgb.AffinePixels(image_shape, num_bits, dtype=dtype)
    return flow_distribution([pixels, level(image_shape, num_levels)], name="glow")
