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
            name: str | None = None) -> tfd.TransformedDistribution:
    """Builds RealNVP, a distribution over images in pixel units. For vectors use `tfp_glow.realnvp_vector`.

    Each scale except the last has three affine couplings with checkerboard masks, a squeeze and three affine couplings
    with channel masks. Half of the channels are then factored out. The other half is the input of the next scale. The
    last scale has four couplings with checkerboard masks. Batch normalization, a bijector with running statistics,
    follows each coupling. A residual network per coupling computes its shift and its log-scale.

    The defaults are the paper's for CIFAR-10. For other images of 32x32 pixels the paper uses
    `num_scales=4, num_blocks=4, width=32`, and for 64x64 pixels `num_scales=5, num_blocks=2, width=32`.

    The shapes of the weights do not depend on the image height or width. So a flow over larger images can use the same
    weights (`tfp_glow.at_resolution`).

    Args:
      image_shape: `(height, width, channels)`. Image height and image width must be divisible by
        `2**(num_scales - 1)`, and at least one of them must be larger than this divisor.
      num_scales: number of scales, an int of at least 1. The resolution is halved `num_scales - 1` times. Default: 2.
      num_blocks: number of residual blocks per coupling network, an int of at least 1. Default: 8.
      width: number of hidden channels in the networks of the first couplings, an int of at least 1. It doubles with
        each squeeze. Default: 64.
      batch_norm: a bool. True (the default) adds batch normalization after each coupling and inside the networks.
      alpha: least distance of the probabilities from 0 and 1 in the logit map of pixels, a float in (0, 1/2). See
        `tfp_glow.bijectors.LogitPixels`. Default: 0.05.
      l2: weight of the L2 penalty on the weight-normalization scales of the networks, for a loss in nats per image. A
        float of at least 0. Default: 5e-5.
      num_bits: bits per channel value, an int from 1 to 16; values are in `[0, 2**num_bits)`. Default: 8.
      seed: an int of at least 0 for reproducible weights. None (the default) draws a new seed.
      dtype: float32 (the default) or float64, of images, latents, densities and parameters.
      network_dtype: dtype or Keras dtype policy of the networks, such as `"mixed_bfloat16"`. None (the default) means
        Keras's global policy (`keras.config.set_dtype_policy`), or float64 if `dtype` is float64. Densities and all
        other parameters have the dtype `dtype` under every policy. Networks in half precision
        often do not return integers exactly from their latents; `tfp_glow.with_network_dtype` converts them.
      num_classes: number of classes of a class-conditional flow, an int of at least 2. The networks then receive the
        one-hot label as additional channels of every pixel. The label is the context:
        `flow.log_prob(x, bijector_kwargs={"context": tf.one_hot(labels, num_classes)})`. None (the default) means no
        classes.
      name: name of the distribution, a string. None (the default) means `"realnvp"`, or the name of the variable in a
        joint distribution of TFP.

    Returns:
      A `tfd.TransformedDistribution` with event shape `image_shape` and no batch shape. `log_prob` is in nats per
      image and refers to pixel units.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, sections 3.6 and 4.1. The widths,
      the order of the masks and the choice of factored channels follow the published code.

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
    check_common(dtype, network_dtype, seed, name)
    pixels = tfgb.LogitPixels(image_shape, num_bits, alpha, dtype=dtype)
    divisor = 2 ** (num_scales - 1)
    if image_shape[0] % divisor or image_shape[1] % divisor or max(image_shape[:2]) < 2 * divisor:
        raise ValueError("Argument `image_shape` must have height and width divisible by 2**(num_scales - 1) = "
                         f"{divisor}, at least one of them larger than {divisor}; received {image_shape}.")
    generator = keras.random.SeedGenerator(seed)
    # The loss of `FlowModel` is in bits per dimension, the loss of the paper in nats per image.
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
        """Returns a scale of section 3.6, with the next scale on half of its channels."""
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

    return flow_distribution([pixels, scale(image_shape, width, num_scales)], "realnvp", name, num_classes=num_classes)


def _diagonal_first(channels: int) -> list[int]:
    """Returns an order of the `4 * channels` channels after a squeeze that puts the main diagonal of each block first.

    The next scale receives this half of the channels: the pixels of a checkerboard in the image before the squeeze.
    """
    return [4 * channel + place for place in (0, 3, 1, 2) for channel in range(channels)]
