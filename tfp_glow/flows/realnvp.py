# SPDX-License-Identifier: Apache-2.0
"""RealNVP over images (Dinh, Sohl-Dickstein and Bengio, 2017)."""

import math

import keras
from tensorflow_probability import distributions as tfd

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_bool, check_int, check_num_classes, check_number, check_shape
from tfp_glow._types import DTypeLike, PolicyLike, Shape, ShapeLike
from tfp_glow.bijectors.masks import CheckerboardMask
from tfp_glow.bijectors.squeeze import squeezed_shape
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._shared import check_common, flow_distribution
from tfp_glow.networks import ResNet


@register_flow("realnvp")
def realnvp(image_shape: ShapeLike, num_scales: int = 2, num_blocks: int = 8, width: int = 64, *,
            batch_norm: bool = True, alpha: float = 0.05, l2: float = 5e-5, num_bits: int = 8, seed: int | None = None,
            dtype: DTypeLike = "float32", network_dtype: PolicyLike = None, num_classes: int | None = None,
            ) -> tfd.TransformedDistribution:
    """Builds RealNVP, a distribution over images in pixel units. For vectors use `tfp_glow.realnvp_vector`.

    Each scale is three affine couplings with checkerboard masks, a squeeze and three couplings with channel masks. Half
    of the result is factored out; the other half is the input of the next scale. The last scale is four checkerboard
    couplings. Each coupling is followed by batch normalization, a bijector with running statistics. The shift and the
    log-scale of each coupling come from its own residual network.

    The defaults are the paper's for CIFAR-10. For images of 32x32 the paper also uses `num_scales=4, num_blocks=4,
    width=32`, and for 64x64 `num_scales=5, num_blocks=2, width=32`.

    No weight depends on height or width, so the weights fit a flow over larger images (`tfp_glow.at_resolution`).

    Args:
      image_shape: `(height, width, channels)`; height and width must be divisible by `2**(num_scales - 1)`.
      num_scales: number of scales; the resolution is halved `num_scales - 1` times.
      num_blocks: number of residual blocks per coupling network.
      width: number of hidden channels of the first couplings. It doubles with each squeeze.
      batch_norm: whether batch normalization follows each coupling and is part of the networks. Default: True.
      alpha: distance of probabilities from 0 and 1 in the logit map of pixels, in (0, 1/2). Default: 0.05. See
        `tfp_glow.bijectors.LogitPixels`.
      l2: weight of the squared weight-norm scales of the networks, in a loss in nats per image. Default: 5e-5.
      num_bits: bits per channel value, an int from 1 to 16; values are in `[0, 2**num_bits)`. Default: 8.
      seed: an int of at least 0 for reproducible weights. None (the default) draws a new seed.
      dtype: float32 (the default) or float64, of images, latents, densities and parameters.
      network_dtype: dtype or Keras dtype policy of the networks, such as `"mixed_bfloat16"`. None (the default) is
        `dtype`.
      num_classes: number of classes of a class-conditional flow, at least 2. The networks then read the one-hot label
        beside every pixel; it is the flow's context, as in `tfp_glow.glow`. None (the default) means no classes.

    Returns:
      A `tfd.TransformedDistribution` with event shape `image_shape` and no batch shape. `log_prob` is in nats per
      image and refers to pixel units.

    Raises:
      ValueError: if an argument violates its description above, for example if height or width is not divisible by `2**(num_scales - 1)`.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, sections 3.6 and 4.1. Widths, the
      order of masks and the half that is factored out are those of the published code.

    Example:

    >>> flow = tfp_glow.realnvp((8, 8, 1), num_scales=2, num_blocks=1, width=8)
    >>> flow.sample(3).shape
    TensorShape([3, 8, 8, 1])
    """
    image_shape = check_shape("image_shape", image_shape, ranks=(3,))
    num_scales, num_blocks = check_int("num_scales", num_scales), check_int("num_blocks", num_blocks)
    width = check_int("width", width)
    batch_norm = check_bool("batch_norm", batch_norm)
    l2 = check_number("l2", l2, "not be negative", lambda value: value >= 0.0)
    check_num_classes(num_classes)
    check_common(dtype, network_dtype, seed)
    pixels = tfgb.LogitPixels(image_shape, num_bits, alpha, dtype=dtype)
    divisor = 2 ** (num_scales - 1)
    if image_shape[0] % divisor or image_shape[1] % divisor or max(image_shape[:2]) < 2 * divisor:
        raise ValueError("Argument `image_shape` must have height and width divisible by 2**(num_scales - 1) = "
                         f"{divisor}, one of them more than once; received {image_shape}.")
    generator = keras.random.SeedGenerator(seed)
    # The loss of `FlowModel` is in bits per dimension, that of the paper in nats per image.
    regularizer = keras.regularizers.L2(l2 / (math.prod(image_shape) * math.log(2.0)))

    def coupling(shape: Shape, width: int, mask: str) -> tfgb.AffineCoupling:
        is_board = mask.startswith("checkerboard")
        kept = CheckerboardMask(shape, reverse=mask.endswith("_reversed")).kept if is_board else None
        network = ResNet(
            width, 2 * shape[-1] if is_board else shape[-1], num_blocks, mask=kept, batch_norm=batch_norm,
            factor=0.0 if is_board else 1.0, regularizer=regularizer, seed=generator, dtype=network_dtype or dtype)
        context_shape = None if num_classes is None else (num_classes,)
        return tfgb.AffineCoupling(shape, network, mask, scale="exp", context_shape=context_shape, dtype=dtype)

    def couplings(shape: Shape, width: int, masks: tuple[str, ...]) -> tfgb.Steps:
        steps = []
        for mask in masks:
            steps.append(coupling(shape, width, mask))
            steps += [tfgb.BatchNorm(shape, dtype=dtype)] * batch_norm
        return tfgb.Steps(steps)

    def scale(shape: Shape, width: int, scales_left: int) -> tfgb.Multiscale:
        """Section 3.6: three checkerboards, squeeze, three channel masks, and the next scale on half of them."""
        board, other = "checkerboard_reversed", "checkerboard"
        if scales_left == 1:
            return tfgb.Multiscale(couplings(shape, width, (board, other, board, other)))
        halved = squeezed_shape(shape)
        body = tfgb.Steps([
            couplings(shape, width, (board, other, board)),
            tfgb.Squeeze(shape, dtype=dtype),
            couplings(halved, 2 * width, ("channel", "channel_reversed", "channel")),
            tfgb.Permute(halved, _diagonal_first(shape[-1]), dtype=dtype),
        ])
        return tfgb.Multiscale(body, scale((*halved[:-1], halved[-1] // 2), 2 * width, scales_left - 1))

    return flow_distribution([pixels, scale(image_shape, width, num_scales)], name="realnvp")


def _diagonal_first(channels: int) -> list[int]:
    """Returns the order that puts the main diagonal of each block first, among the `4 * channels` of a squeeze.

    The main diagonal is the half that is passed on: pixels of all channels, a checkerboard of the image.
    """
    return [4 * channel + place for place in (0, 3, 1, 2) for channel in range(channels)]
