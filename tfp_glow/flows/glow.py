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
from tfp_glow.transforms import LogisticMixtureCDF


@register_flow("glow")
def glow(image_shape: ShapeLike, num_levels: int = 3, num_steps: int = 32, width: int = 512, *,
         scale: str = "sigmoid", learn_top: bool = True, num_bits: int = 8, backprop: str = "stored",
         seed: int | None = None, dtype: DTypeLike = "float32", network_dtype: PolicyLike = None,
         coupling: str = "affine", permutation: str = "lu", num_classes: int | None = None,
         num_components: int = 4, name: str | None = None) -> tfd.TransformedDistribution:
    """Builds Glow, a distribution over images in pixel units.

    Each level has a squeeze and `num_steps` steps of flow (actnorm, invertible 1x1 convolution, affine coupling). Each
    level except the last ends in a split, which factors out half of the channels. The prior of these channels is a
    normal distribution whose mean and scale are functions of the other half.

    The bijector of the distribution, `flow.bijector`, maps latents `[..., height * width * channels]` to images by
    `forward`, and images to latents by `inverse`. `tfp_glow.FlowModel.fit` runs the data-dependent initialization.
    Before a custom training loop, call `tfp_glow.initialize(flow, batch)`.

    Args:
      image_shape: `(height, width, channels)`. Image height and image width must be divisible by `2**num_levels`.
      num_levels: number of levels, an int of at least 1, the paper's L. Default: 3.
      num_steps: number of steps of flow per level, an int of at least 1, the paper's K. Default: 32.
      width: number of hidden channels of the coupling networks, an int of at least 1. Default: 512.
      scale: the scale of affine couplings, as for `tfp_glow.transforms.Affine`: `"sigmoid"` (the default, as in the
        published code), `"exp"` or `"tanh"`. Ignored for other couplings.
      learn_top: a bool. True (the default) learns a mean and a scale per channel for the latents of the last level.
        False omits this mean and scale.
      num_bits: bits per channel value, an int from 1 to 16; values are in `[0, 2**num_bits)`. Default: 8.
      backprop: `"stored"` (the default) keeps the activations of all steps for the gradient. `"reversible"` rebuilds
        these activations, so that memory does not grow with `num_steps`.
      seed: an int of at least 0 for reproducible weights. None (the default) draws a new seed.
      dtype: float32 (the default) or float64, of images, latents, densities and parameters.
      network_dtype: dtype or Keras dtype policy of the coupling networks, such as `"mixed_bfloat16"`. None (the
        default) means Keras's global policy (`keras.config.set_dtype_policy`), or float64 if `dtype` is float64.
        Densities and all other parameters have the dtype `dtype` under every policy. Networks in half precision
        often do not return integers exactly from their latents; `tfp_glow.with_network_dtype` converts them.
      coupling: `"affine"` couplings (the default) scale and shift, `"additive"` couplings only shift. `"mixture"`
        couplings apply the distribution function of a mixture of logistics, as in Flow++
        (`tfp_glow.transforms.LogisticMixtureCDF`). They take more time per step.
      permutation: the bijector that mixes channels between couplings: `"lu"` (the default), the invertible 1x1
        convolution in its LU parametrization; `"dense"`, the 1x1 convolution with a dense matrix; `"shuffle"`, a fixed
        random permutation; or `"reverse"`, the reversed order of channels.
      num_classes: number of classes of a class-conditional flow, an int of at least 2. The latents of the last level
        then have a mean and a scale for each class and channel. The context is the one-hot label:
        `flow.log_prob(x, bijector_kwargs={"context": tf.one_hot(labels, num_classes)})`. None (the default) means no
        classes.
      num_components: number of logistics per mixture, an int of at least 1. Ignored for other couplings. Default: 4.
      name: name of the distribution, a string. None (the default) means `"glow"`, or the name of the variable in a
        joint distribution of TFP.

    Returns:
      A `tfd.TransformedDistribution` with event shape `image_shape` and no batch shape. `log_prob` is in nats per
      image and refers to pixel units.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      Kingma and Dhariwal, *Glow: Generative flow with invertible 1x1 convolutions*, 2018, figure 2; Ho et al.,
      *Flow++*, 2019, section 3.2, for `coupling="mixture"`.

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
    check_choice("coupling", coupling, ("affine", "additive", "mixture"))
    mixture = LogisticMixtureCDF(num_components)
    check_choice("permutation", permutation, ("lu", "dense", "shuffle", "reverse"))
    check_num_classes(num_classes)
    check_common(dtype, network_dtype, seed, name)
    check_divisible(image_shape, 2**num_levels, "2**num_levels")
    generator = keras.random.SeedGenerator(seed)
    network_dtype = network_dtype or dtype

    def mix_channels(shape: Shape) -> tfgb.FlowBijector:
        """Returns the invertible 1x1 convolution of section 3.2, or one of the permutations of section 6.1."""
        if permutation == "reverse":
            return tfgb.Reverse(shape, dtype=dtype)
        kinds = {"lu": tfgb.InvertibleConv1x1, "dense": tfgb.DenseConv1x1, "shuffle": tfgb.Shuffle}
        return kinds[permutation](shape, seed=generator, dtype=dtype)

    def step(shape: Shape) -> tfgb.Steps:
        """Returns the step of figure 2a: actnorm, then `permutation`, then `coupling`."""
        outputs = {"affine": 2, "additive": 1, "mixture": mixture.num_parameters}[coupling] * (shape[-1] // 2)
        network = ConvNet(width, outputs, seed=generator, dtype=network_dtype)
        if coupling == "affine":
            change = tfgb.AffineCoupling(shape, network, scale=scale, dtype=dtype)
        elif coupling == "additive":
            change = tfgb.AdditiveCoupling(shape, network, dtype=dtype)
        else:
            change = tfgb.Coupling(shape, network, mixture, dtype=dtype)
        return tfgb.Steps([tfgb.ActNorm(shape, dtype=dtype), mix_channels(shape), change])

    def top_prior(shape: Shape) -> list[tfgb.FlowBijector]:
        """Returns the bijectors for the learned and for the class-conditional prior of the last level's latents."""
        prior: list[tfgb.FlowBijector] = []
        if learn_top:
            prior.append(tfgb.ActNorm(shape, data_dependent=False, dtype=dtype, name="top_prior"))
        if num_classes is not None:
            prior.append(tfgb.ConditionalAffine(shape, (num_classes,), dtype=dtype, name="class_prior"))
        return prior

    def level(shape: Shape, levels_left: int) -> tfgb.Multiscale:
        """Returns the level of figure 2b: squeeze, steps of flow, split, and the next level for the kept channels."""
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
    return flow_distribution([pixels, level(image_shape, num_levels)], "glow", name, num_classes=num_classes)
