# SPDX-License-Identifier: Apache-2.0
"""PixelCNN as a flow: pixels are modeled one after the other, by mixtures of logistics."""

import keras
import numpy as np
from tensorflow_probability import distributions as tfd

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_activation, check_int, check_number, check_shape
from tfp_glow._types import DTypeLike, PolicyLike, ShapeLike
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._shared import check_common, check_divisible, flow_distribution
from tfp_glow.networks import PixelFeatures, PixelMADE
from tfp_glow.transforms import LogisticMixture

_LEAST_SCALE = 0.5  # In gray levels. No prediction by neighbors is better at the start.


@register_flow("pixelcnn")
def pixelcnn(image_shape: ShapeLike, block_size: int = 1, width: int = 64, num_blocks: int = 5, *,
             num_components: int = 5, head_size: int = 64, first_kernel: int = 7, activation: str = "silu",
             scale: float = 8.0, num_bits: int = 8, seed: int | None = None, dtype: DTypeLike = "float32",
             network_dtype: PolicyLike = None, name: str | None = None) -> tfd.TransformedDistribution:
    """Builds a PixelCNN as a flow, a distribution over images in pixel units.

    The pixels are ordered by rows from top to bottom, and within a row from left to right. A causal residual network
    computes features of each pixel from the pixels before it. A small masked network models the colors of a pixel, one
    after the other, given the features. With `block_size=b`, blocks of `b x b` pixels take the place of pixels, and the
    small network models all values of a block. A sample then needs fewer evaluations of the residual network, and
    training is faster per image, but bits/dim are higher.

    Every conditional distribution is a discretized mixture of logistics. The distribution function of the mixture maps
    a channel value to a standard normal latent (`tfp_glow.transforms.LogisticMixture`). So the density of a dequantized
    image equals the probability of its gray levels, and the flow does not model the dequantization noise. At the start,
    the means are near the mean of the pixels above and to the left.

    `log_prob` evaluates the residual network once. Sampling evaluates it `height * width / block_size**2` times, each
    time for a window of the image, which takes long.

    Args:
      image_shape: `(height, width, channels)`. Image height and image width must be divisible by `block_size`.
      block_size: height and width of a block in pixels, an int of at least 1. Default: 1.
      width: number of hidden channels of the residual network, an int of at least 1. Default: 64.
      num_blocks: number of residual blocks, an int of at least 1. These are layers, not blocks of pixels. Default: 5.
      num_components: number of logistics per mixture, an int of at least 1. Default: 5.
      head_size: number of hidden units of the masked network for each channel of a block, an int of at least 1.
        Default: 64.
      first_kernel: width of the first convolution's kernel in blocks, an odd int of at least 3. Default: 7.
      activation: name of the Keras activation of the hidden layers. Default: `"silu"`.
      scale: scale of the logistics at the start, a positive float of at most 256, in gray levels of 8-bit images; for
        other images, it grows in proportion to the number of gray levels. Numbers below half a gray level have its
        effect. Default: 8.
      num_bits: bits per channel value, an int from 1 to 16; values are in `[0, 2**num_bits)`. Default: 8.
      seed: an int of at least 0 for reproducible weights. None (the default) draws a new seed.
      dtype: float32 (the default) or float64, of images, latents, densities and parameters.
      network_dtype: dtype or Keras dtype policy of the residual network, such as `"mixed_bfloat16"`. None (the default)
        means Keras's global policy (`keras.config.set_dtype_policy`), or float64 if `dtype` is float64. All other
        parameters and densities have the dtype `dtype` under every policy. Networks in half precision often do not
        return integers exactly from their latents; `tfp_glow.with_network_dtype` converts them.
      name: name of the distribution, a string. None (the default) means `"pixelcnn"`, or the name of the variable in a
        joint distribution of TFP.

    Returns:
      A `tfd.TransformedDistribution` with event shape `image_shape` and no batch shape. `log_prob` is in nats per
      image and refers to pixel units.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel recurrent neural networks*, 2016, for PixelCNN; Salimans et
      al., *PixelCNN++*, 2017, for the mixtures.

    Example:

    >>> flow = tfp_glow.pixelcnn((8, 8, 1), width=8, num_blocks=1, head_size=8)
    >>> flow.sample(3).shape
    TensorShape([3, 8, 8, 1])
    """
    image_shape = check_shape("image_shape", image_shape, ranks=(3,))
    block_size, head_size = check_int("block_size", block_size), check_int("head_size", head_size)
    check_activation("activation", activation)
    scale = check_number("scale", scale, "be a positive number of at most 256", lambda s: 0 < s <= 256)
    check_common(dtype, network_dtype, seed, name)
    check_divisible(image_shape, block_size, "block_size")
    num_levels = 2 ** LogisticMixture(num_components, num_bits).num_bits
    mixture = LogisticMixture(num_components, num_bits, max(_LEAST_SCALE, scale * num_levels / 256))
    generator = keras.random.SeedGenerator(seed)
    height, image_width, colors = image_shape
    shape = (height // block_size, image_width // block_size, block_size**2 * colors)
    other_blocks, same_block = _neighbor_mean(block_size, colors)

    network = PixelFeatures(width, num_blocks, mixture.num_bits, first_kernel, activation,
                            keras.initializers.Constant(other_blocks), network_dtype, seed=generator, dtype=dtype,
                            name="network")
    unit = mixture.raw_of_shift(np.array(0.5 * (num_levels - 1)))  # Scaled pixel values are in [-1, 1].
    head = PixelMADE(unit.tolist(), head_size, mixture.num_bits, activation, keras.initializers.Constant(same_block),
                     seed=generator, dtype=dtype, name="head")
    return flow_distribution([
        tfgb.RawPixels(image_shape, num_bits, dtype=dtype),
        *([tfgb.Squeeze(image_shape, block_size, "space_to_depth", dtype=dtype)] if block_size > 1 else []),
        tfgb.RasterAutoregressive(shape, network, head, mixture, dtype=dtype),
        tfgb.Flatten(shape, dtype=dtype)], "pixelcnn", name)


def _neighbor_mean(block_size: int, colors: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the kernels of a linear prediction of the channels of a block.

    The prediction of the first color is the mean of the pixels above and to the left. That of a later color adds the
    error of this prediction for the color before it in the same pixel.

    Args:
      block_size: height and width of a block in pixels.
      colors: number of color channels.

    Returns:
      The kernel between blocks, `[2, 3, channels, channels]`, of which the last row and the middle column are of the
      block itself, and the kernel within a block, `[channels, channels]`.
    """
    channels = block_size**2 * colors
    other_blocks, same_block = np.zeros((2, 3, channels, channels)), np.zeros((channels, channels))
    for row, column, color in np.ndindex(block_size, block_size, colors):
        channel = (row * block_size + column) * colors + color
        for i, j in ((row - 1, column), (row, column - 1)):
            kernel = same_block if min(i, j) >= 0 else other_blocks[1 - (i < 0), 1 - (j < 0)]
            neighbor = (i % block_size * block_size + j % block_size) * colors + color
            kernel[neighbor, channel] += 0.5
            if color:
                kernel[neighbor - 1, channel] -= 0.5
        if color:
            same_block[channel - 1, channel] += 1.0
    return other_blocks, same_block
