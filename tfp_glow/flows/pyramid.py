# SPDX-License-Identifier: Apache-2.0
"""The pyramid flow: subsampled images whose pixels are modeled by mixtures of logistics given earlier pixels."""

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import (
    check_activation,
    check_bool,
    check_choice,
    check_int,
    check_ints,
    check_number,
    check_shape,
)
from tfp_glow._types import DTypeLike, PolicyLike, Shape, ShapeLike
from tfp_glow.bijectors.squeeze import squeezed_shape
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._shared import check_common, check_divisible, flow_distribution
from tfp_glow.networks import MADE, MLP, PixelHead, PixelInputs, PlacedResNet
from tfp_glow.transforms import LogisticMixture

_LEAST_SCALE = 0.5  # In gray levels. No prediction by neighbors is better at the start.


@register_flow("pyramid", earlier={"skip": False, "scale": None})
def pyramid(image_shape: ShapeLike, num_levels: int = 2, width: int | Sequence[int] = 64,
            num_blocks: int | Sequence[int] = 3, *, num_components: int = 5, top_sizes: Sequence[int] = (256, 256),
            second_kernel: int = 1, activation: str = "relu", num_bits: int = 8, seed: int | None = None,
            dtype: DTypeLike = "float32", network_dtype: PolicyLike = None, top: str = "autoregressive",
            channels: str = "separate", skip: bool = True, scale: float | None = 8.0,
            name: str | None = None) -> tfd.TransformedDistribution:
    """Builds a pyramid flow, a distribution over images in pixel units.

    Each level of the pyramid keeps every second pixel in both directions. The kept pixels are the image of the next
    level. The level models the three other pixels of each 2x2 block in three steps, the diagonal neighbors first. Each
    step is conditioned on the kept pixels and on the pixels of earlier steps. The image after the last level is the
    top. A masked autoregressive network models the top, one value after another; or dense networks model it in steps
    like those of the levels.

    Every conditional distribution is a discretized mixture of logistics. The distribution function of the mixture maps
    a channel value to a standard normal latent (`tfp_glow.transforms.LogisticMixture`). So the density of a dequantized
    image equals the probability of its gray levels, and the flow does not model the dequantization noise.

    `log_prob` evaluates each network once. So does sampling with `top="couplings"`, and every layer of the flow is a
    coupling. With `top="autoregressive"`, sampling evaluates the network of the top `size` times for a top with `size`
    values.

    Args:
      image_shape: `(height, width, channels)`. Image height and image width must be divisible by `2**num_levels`.
      num_levels: number of levels, an int of at least 1. Each level halves image height and width. Default: 2.
      width: number of hidden channels of the networks, an int of at least 1, or a sequence with one per level.
        Default: 64.
      num_blocks: number of residual blocks per network, an int of at least 1, or a sequence with one per level.
        Default: 3.
      num_components: number of logistics per mixture, an int of at least 1. Default: 5.
      top_sizes: sizes of the hidden layers of the top's network, a sequence of ints. Default: `(256, 256)`.
      second_kernel: kernel size of the second convolution of a residual block, 1 (the default) or 3.
      activation: name of the Keras activation of the hidden layers. Default: `"relu"`.
      num_bits: bits per channel value, an int from 1 to 16; values are in `[0, 2**num_bits)`. Default: 8.
      seed: an int of at least 0 for reproducible weights. None (the default) draws a new seed.
      dtype: float32 (the default) or float64, of images, latents, densities and parameters.
      network_dtype: dtype or Keras dtype policy of the networks, such as `"mixed_bfloat16"`. None (the default) means
        Keras's global policy (`keras.config.set_dtype_policy`), or float64 if `dtype` is float64. Densities and all
        other parameters have the dtype `dtype` under every policy. Networks in half precision
        often do not return integers exactly from their latents; `tfp_glow.with_network_dtype` converts them.
      top: the model of the top. `"autoregressive"` (the default) is a masked autoregressive network. `"couplings"`
        starts from one value, doubles the resolution step by step, and models the new pixels of each step by a dense
        network given all earlier ones; a sample needs one evaluation of each network.
      channels: networks of the color channels. `"separate"` (the default) gives each channel of a step a residual
        network. With `"shared"`, the channels of a step share a residual network, and each channel has a small network
        given the features of the first and the earlier channels; a training step of color images takes less time.
      skip: a bool. True (the default) adds a linear path to each network of a level, a convolution from its inputs to
        the parameters of the mixtures. False leaves it out, as in earlier versions.
      scale: scale of the logistics of levels at the start, a positive float, in gray levels of 8-bit images; for other
        images, it grows in proportion to the number of gray levels. The means start near a prediction by the linear
        path, the mean of the known neighbors of a pixel, and `scale` is their unit. Default: 8. At most 256; numbers
        below half a gray level have its effect. None starts as earlier
        versions: the means are spread over all gray levels, and the linear path starts at zero. So does `skip=False`.
      name: name of the distribution, a string. None (the default) means `"pyramid"`, or the name of the variable in a
        joint distribution of TFP.

    Returns:
      A `tfd.TransformedDistribution` with event shape `image_shape` and no batch shape. `log_prob` is in nats per
      image and refers to pixel units.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      Reed et al., *Parallel multiscale autoregressive density estimation*, 2017, for the order of pixels; Salimans et
      al., *PixelCNN++*, 2017, for the mixtures; Ho et al., *Flow++*, 2019, for mixtures in a flow.

    Example:

    >>> flow = tfp_glow.pyramid((8, 8, 1), num_levels=2, width=8, num_blocks=1, top_sizes=(16,))
    >>> flow.sample(3).shape
    TensorShape([3, 8, 8, 1])
    """
    image_shape = check_shape("image_shape", image_shape, ranks=(3,))
    num_levels = check_int("num_levels", num_levels)
    widths, blocks = _per_level("width", width, num_levels), _per_level("num_blocks", num_blocks, num_levels)
    top_sizes = check_ints("top_sizes", top_sizes)
    if second_kernel not in (1, 3):
        raise ValueError(f"Argument `second_kernel` must be 1 or 3; received {second_kernel!r}.")
    check_activation("activation", activation)
    check_choice("channels", channels, ("separate", "shared"))
    check_choice("top", top, ("autoregressive", "couplings"))
    check_bool("skip", skip)
    if scale is not None:
        scale = check_number("scale", scale, "be None or a positive number of at most 256", lambda s: 0 < s <= 256)
    mixture = of_levels = LogisticMixture(num_components, num_bits)
    near = skip and scale is not None  # Mixtures of levels start near a prediction.
    if near:
        of_levels = LogisticMixture(num_components, num_bits, max(_LEAST_SCALE, scale * 2**mixture.num_bits / 256))
    check_common(dtype, network_dtype, seed, name)
    check_divisible(image_shape, 2**num_levels, "2**num_levels")
    generator = keras.random.SeedGenerator(seed)

    def initial(channel: int, num_kept: int, num_inputs: int) -> dict[str, Any]:
        """Returns the linear path of a network: at the start it predicts a channel by the mean of its neighbors."""
        if not near:
            return {"skip": skip}
        kernel = np.zeros((3, 3, num_inputs))
        kernel[:, :, :channel] = _neighbor_mean(channel, num_kept)
        gray_levels = 0.5 * (2**mixture.num_bits - 1) * kernel  # Inputs are in [-1, 1].
        return {"skip": skip, "skip_initializer": keras.initializers.Constant(of_levels.raw_of_shift(gray_levels))}

    def network(index: int, name: str, num_kept: int, channel: int, outputs: int | None) -> keras.Layer:
        path = {} if outputs is None else initial(channel, num_kept, 2 * channel)
        return keras.Sequential([
            PixelInputs(mixture.num_bits, mark_black=True, dtype=dtype),
            PlacedResNet(widths[index], outputs, blocks[index], second_kernel, activation, seed=generator,
                         dtype=network_dtype or dtype, **path)], name=name)

    def new_pixels(shape: Shape, num_kept: int, index: int) -> tfgb.FlowBijector:
        """Returns the bijector of the pixels of level `index` that the next level does not have."""
        outputs = mixture.num_parameters
        if channels == "separate":
            networks = [network(index, f"network_{k}", num_kept, k, outputs) for k in range(num_kept, shape[-1])]
            return tfgb.ChannelAutoregressive(shape, networks, of_levels, num_kept, dtype=dtype)
        starts = range(num_kept, shape[-1], num_kept)
        networks = [network(index, f"network_{k}", num_kept, k, None) for k in starts]
        heads = [[PixelHead(outputs, mixture.num_bits, activation, seed=generator, dtype=network_dtype or dtype,
                            **initial(k, num_kept, k)) for k in range(start, start + num_kept)] for start in starts]
        return tfgb.PixelAutoregressive(shape, networks, heads, of_levels, num_kept, dtype=dtype)

    def autoregressive_top(shape: Shape) -> tfgb.Multiscale:
        size = math.prod(shape)
        made = keras.Sequential([
            PixelInputs(mixture.num_bits, dtype=dtype),
            MADE(size, top_sizes, activation, mixture.num_parameters, seed=generator, dtype=dtype)], name="top")
        flatten = tfgb.Flatten(shape, dtype=dtype)
        autoregressive = tfgb.MaskedAutoregressive((size,), made, dtype, transform=mixture)
        return tfgb.Multiscale(tfgb.Steps([flatten, autoregressive, tfb.Invert(flatten)]), name="top")

    def coupling_top(shape: Shape) -> tfgb.Multiscale:
        groups = _coarse_to_fine(shape)
        order, sizes = sum(groups, []), [len(group) for group in groups[1:]]
        row = (1, 1, len(order))
        steps = [tfgb.Flatten(shape, dtype=dtype), tfb.Invert(tfgb.Flatten(row, dtype=dtype)),
                 tfgb.Permute(row, order, dtype=dtype)]
        if sizes:
            networks = [keras.Sequential([
                PixelInputs(mixture.num_bits, mark_black=True, dtype=dtype),
                MLP(size * mixture.num_parameters, top_sizes, activation, seed=generator, dtype=dtype)],
                name=f"top_{k}") for k, size in enumerate(sizes, start=1)]
            steps.append(tfgb.ChannelAutoregressive(row, networks, mixture, 1, dtype=dtype, group_sizes=sizes))
        return tfgb.Multiscale(tfgb.Steps([*steps, tfgb.Elementwise(row, mixture, 1, dtype=dtype)]), name="top")

    def level(shape: Shape, index: int) -> tfgb.Multiscale:
        """Returns level `index` and all later levels, for images of `shape`. Level `num_levels` is the top."""
        if index == num_levels:
            return (autoregressive_top if top == "autoregressive" else coupling_top)(shape)
        num_kept, squeezed = shape[-1], squeezed_shape(shape)
        body = tfgb.Steps([
            tfgb.Squeeze(shape, order="space_to_depth", dtype=dtype),
            tfgb.Permute(squeezed, _diagonal_first(num_kept), dtype=dtype),
            new_pixels(squeezed, num_kept, index),
        ])
        return tfgb.Multiscale(body, level((*squeezed[:-1], num_kept), index + 1), num_kept=num_kept,
                               name=f"level_{index}")

    pixels = tfgb.RawPixels(image_shape, num_bits, dtype=dtype)
    return flow_distribution([pixels, level(image_shape, 0)], "pyramid", name)


def _per_level(argument: str, value: int | Sequence[int], num_levels: int) -> tuple[int, ...]:
    """Returns a tuple with one int per level. A single int is repeated for all levels."""
    if not isinstance(value, (tuple, list)):
        return (check_int(argument, value),) * num_levels
    values = check_ints(argument, value)
    if len(values) != num_levels:
        raise ValueError(f"Argument `{argument}` must be an integer, or one integer per level ({num_levels} levels); "
                         f"received {value!r}.")
    return values


def _diagonal_first(channels: int) -> list[int]:
    """Returns an order of the `4 * channels` channels after a squeeze with `order="space_to_depth"`.

    The pixels of a 2x2 block come in this order: top left, bottom right, top right, bottom left.
    """
    return [place * channels + channel for place in (0, 3, 1, 2) for channel in range(channels)]


# For each new pixel of a 2x2 block, the four neighbors that are known before it: pixel of the block in the order of
# `_diagonal_first`, and the block, relative to that of the new pixel: rows down, columns to the right.
_NEIGHBORS = (
    ((0, 0, 0), (0, 0, 1), (0, 1, 0), (0, 1, 1)),  # of the bottom right one, the diagonal neighbors
    ((0, 0, 0), (0, 0, 1), (1, -1, 0), (1, 0, 0)),  # of the top right one
    ((0, 0, 0), (0, 1, 0), (1, 0, -1), (1, 0, 0)),  # of the bottom left one
)


def _neighbor_mean(channel: int, colors: int) -> np.ndarray:
    """Returns the kernel of a linear prediction of a channel from the channels before it.

    The prediction of the first color is the mean of the four nearest known pixels. That of a later color adds the error
    of the prediction of the color before it in the same pixel.

    Args:
      channel: index of a channel in the order of `_diagonal_first`, at least `colors`.
      colors: number of color channels.

    Returns:
      An array `[3, 3, channel]`. It sums to 1.
    """
    kernel = np.zeros((3, 3, channel))
    pixel, color = divmod(channel, colors)
    for before, row, column in _NEIGHBORS[pixel - 1]:
        kernel[1 + row, 1 + column, before * colors + color] += 0.25
        if color:
            kernel[1 + row, 1 + column, before * colors + color - 1] -= 0.25
    if color:
        kernel[1, 1, channel - 1] += 1.0
    return kernel


def _coarse_to_fine(shape: Shape) -> list[list[int]]:
    """Returns groups of the values of an image, as indices of the flat image: each group refines those before it.

    The first group is the first value. Each further step doubles the resolution, the diagonal neighbors first. Each
    channel of the new pixels of a step is a group.
    """
    height, width, channels = shape
    stride = 2 ** (max(height, width) - 1).bit_length()
    pixels = [[0]]
    while stride > 1:
        half = stride // 2
        pixels += [[i * width + j for i in range(row, height, stride) for j in range(column, width, stride)]
                   for row, column in ((half, half), (0, half), (half, 0))]
        stride = half
    return [[pixel * channels + channel for pixel in group] for group in pixels if group for channel in range(channels)]
