# SPDX-License-Identifier: Apache-2.0
"""Variational dequantization (Ho, Chen, Srinivas, Duan and Abbeel, Flow++, 2019)."""

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_float_dtype, check_int, check_num_bits, check_shape
from tfp_glow._types import DTypeLike, PolicyLike, ShapeLike
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._shared import check_common, flow_distribution
from tfp_glow.networks import ConvNet, ImageFeatures


@register_flow("dequantizer")
def dequantizer(image_shape: ShapeLike, num_steps: int = 4, width: int = 32, *, num_bits: int = 8,
                seed: int | None = None, dtype: DTypeLike = "float32",
                network_dtype: PolicyLike = None) -> tfd.TransformedDistribution:
    """Builds a flow of noise for variational dequantization: a distribution `q(u | x)` of `u` in (0, 1).

    An image `x` of integers stands for a cube of points `x + u`. For any `q`

        log P(x) >= E[log p(x + u) - log q(u | x)],  u ~ q,

    with equality if `q` is the normalized density within the cube. Uniform noise is the `q` of density 1.

    This `q` starts from uniform noise `v` and moves it by a flow: `u = sigmoid(f(logit(v); x))`. Here `f` is affine
    couplings over checkerboards of alternating color, conditioned on features of the image
    (`tfp_glow.networks.ImageFeatures`). The couplings start as the identity, so `q` starts as uniform noise.
    `tfp_glow.FlowModel(distribution, dequantizer=...)` trains `q` together with `p`.

    Args:
      image_shape: `(height, width, channels)`, at least two pixels.
      num_steps: number of couplings. Default: 4.
      width: number of hidden channels of the networks. Default: 32.
      num_bits: bits per channel value, an int from 1 to 16; values are in `[0, 2**num_bits)`. Default: 8.
      seed: an int of at least 0 for reproducible weights. None (the default) draws a new seed.
      dtype: float32 (the default) or float64, of noise, densities and parameters.
      network_dtype: dtype or Keras dtype policy of the networks, such as `"mixed_bfloat16"`. None (the default) is
        `dtype`.

    Returns:
      A `tfd.TransformedDistribution` with event shape `image_shape`, over noise in pixel units. Each call requires
      `bijector_kwargs={"context": x}`, with images of integers in pixel units.

    Raises:
      ValueError: if an argument is out of range, or images have fewer than two pixels.

    References:
      Ho, Chen, Srinivas, Duan and Abbeel, *Flow++*, 2019, section 3.1. There the couplings are mixtures of logistics
      with attention, and the base distribution is normal.

    Example:

    >>> noise = tfp_glow.dequantizer((8, 8, 1), num_steps=2, width=8)
    >>> noise.sample(3, bijector_kwargs={"context": tf.zeros((3, 8, 8, 1))}).shape
    TensorShape([3, 8, 8, 1])
    """
    image_shape = check_shape("image_shape", image_shape, ranks=(3,))
    num_steps, width = check_int("num_steps", num_steps), check_int("width", width)
    num_bits = check_num_bits(num_bits)
    check_common(dtype, network_dtype, seed)
    if image_shape[0] * image_shape[1] < 2:
        raise ValueError("Argument `image_shape` must have at least 2 pixels, because a coupling keeps one to change "
                         f"another; received {image_shape}.")
    generator = keras.random.SeedGenerator(seed)
    policy = network_dtype or dtype

    def coupling(index: int) -> tfgb.AffineCoupling:
        network = ConvNet(width, 2 * image_shape[-1], seed=generator, dtype=policy)
        return tfgb.AffineCoupling(
            image_shape, network, ("checkerboard", "checkerboard_reversed")[index % 2], scale="tanh",
            context_shape=(*image_shape[:-1], width), dtype=dtype)

    features = ImageFeatures(width, 2**num_bits, generator, dtype=policy)
    couplings = tfgb.Steps([coupling(index) for index in range(num_steps)])
    steps = [tfb.Sigmoid(), tfgb.MapContext(couplings, features, image_shape), tfb.Invert(tfb.Sigmoid())]
    # One in 2**23 uniform float32 numbers in [0, 1) is 0, whose logit is infinite.
    least = np.finfo(check_float_dtype(dtype).as_numpy_dtype).eps / 2
    low = tf.fill(image_shape, tf.constant(least, dtype))
    base = tfd.Independent(tfd.Uniform(low, tf.ones([], dtype)), 3)
    return flow_distribution(steps, "dequantizer", base)
