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
                network_dtype: PolicyLike = None,
                name: str | None = None) -> tfd.TransformedDistribution:
    """Builds a flow for variational dequantization: a distribution `q(u | x)` of noise `u` given an image `x`.

    Each element of `u` is in (0, 1). A model with density `p` over float images gives an image `x` of integers the
    probability `P(x)`, the integral of `p(x + u)` over `u`. For any `q`, with `u` drawn from `q(u | x)`,

        log P(x) >= E[log p(x + u) - log q(u | x)],

    with equality if `q(u | x)` is proportional to `p(x + u)`. Uniform noise is the case `q(u | x) = 1`.

    This `q` transforms uniform noise `v` by a flow: `u = sigmoid(f(logit(v); x))`. The bijector `f` consists of affine
    couplings with alternating checkerboard masks. Their context is a feature map of `x`
    (`tfp_glow.networks.ImageFeatures`). The couplings start as the identity, so `q` starts as uniform noise.
    `tfp_glow.FlowModel(distribution, dequantizer=...)` trains `q` together with `p`.

    Args:
      image_shape: `(height, width, channels)`, with at least two pixels.
      num_steps: number of couplings, an int of at least 1. Default: 4.
      width: number of hidden channels of the networks and of the feature map, an int of at least 1. Default: 32.
      num_bits: bits per channel value, an int from 1 to 16; values are in `[0, 2**num_bits)`. Default: 8.
      seed: an int of at least 0 for reproducible weights. None (the default) draws a new seed.
      dtype: float32 (the default) or float64, of noise, densities and parameters.
      network_dtype: dtype or Keras dtype policy of the networks, such as `"mixed_bfloat16"`. None (the default) means
        Keras's global policy (`keras.config.set_dtype_policy`), or float64 if `dtype` is float64. Densities and all
        other parameters have the dtype `dtype` under every policy.
      name: name of the distribution, a string. None (the default) means `"dequantizer"`, or the name of the variable
        in a joint distribution of TFP.

    Returns:
      A `tfd.TransformedDistribution` of noise `u` with event shape `image_shape` and no batch shape. Each call requires
      `bijector_kwargs={"context": x}` with integer-valued images `x`, `[batch, *image_shape]`, in pixel units.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      Ho, Chen, Srinivas, Duan and Abbeel, *Flow++*, 2019, section 3.1. In the paper the couplings are mixtures of
      logistics with attention, and the base distribution is normal.

    Example:

    >>> noise = tfp_glow.dequantizer((8, 8, 1), num_steps=2, width=8)
    >>> noise.sample(3, bijector_kwargs={"context": tf.zeros((3, 8, 8, 1))}).shape
    TensorShape([3, 8, 8, 1])
    """
    image_shape = check_shape("image_shape", image_shape, ranks=(3,))
    num_steps, width = check_int("num_steps", num_steps), check_int("width", width)
    num_bits = check_num_bits(num_bits)
    check_common(dtype, network_dtype, seed, name)
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
    # A uniform float32 number in [0, 1) is 0 with probability 2**-23. The logit of 0 is infinite.
    least = np.finfo(check_float_dtype(dtype).as_numpy_dtype).eps / 2
    low = tf.fill(image_shape, tf.constant(least, dtype))
    base = tfd.Independent(tfd.Uniform(low, tf.ones([], dtype)), 3)
    return flow_distribution(steps, "dequantizer", name, base)
