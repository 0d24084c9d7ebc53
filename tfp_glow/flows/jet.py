# SPDX-License-Identifier: Apache-2.0
"""Jet (Kolesnikov, Pinto and Tschannen, 2024)."""

import itertools

import keras
import numpy as np
from tensorflow_probability import distributions as tfd

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_choice, check_int, check_num_bits, check_shape
from tfp_glow._types import DTypeLike, PolicyLike, Shape, ShapeLike
from tfp_glow.bijectors.squeeze import squeezed_shape
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._shared import check_common, check_divisible, flow_distribution
from tfp_glow.networks import ViT

_CHANNEL_COUPLINGS = 4  # per spatial coupling


@register_flow("jet")
def jet(image_shape: ShapeLike, patch_size: int = 4, depth: int = 32, block_depth: int = 2, width: int = 512,
        num_heads: int = 8, *, num_bits: int = 8, backprop: str = "stored", seed: int | None = None,
        dtype: DTypeLike = "float32", network_dtype: PolicyLike = None,
        name: str | None = None) -> tfd.TransformedDistribution:
    """Builds Jet, a distribution over images in pixel units: affine couplings whose networks are vision transformers.

    The image is cut into patches of `patch_size` x `patch_size` pixels, the tokens. Four couplings in turn split the
    channels of all tokens into halves, each by a random permutation that stays fixed. Every fifth coupling splits the
    tokens: in turn by a checkerboard, vertical stripes and horizontal stripes of patches, each followed by its inverse.
    Only the kept channels or tokens enter the network of a coupling. From data to latents, a coupling computes
    `x = (y - shift) * 2 * sigmoid(raw_scale)`. Networks start with output 0, so the flow starts as a scaling of pixels
    to [-1, 1). There is no multi-scale architecture, no actnorm and no learned prior.

    Groups of five couplings are the steps of a `tfp_glow.bijectors.Repeat`. In a group, the four channel couplings are
    the steps of an inner `Repeat`. The `depth % 5` couplings that remain split channels, in a third `Repeat`. So
    TensorFlow traces at most three networks per pass, for any depth.

    The defaults are the published size for ImageNet 64x64, with 207 million trainable numbers; a deeper one has
    `depth=64, block_depth=5`. Position embeddings have one vector per patch, so the weights fit one image size only.

    Args:
      image_shape: `(height, width, channels)`. Image height and image width must be divisible by `2 * patch_size`, or
        by `patch_size` if `depth` is less than 5. A patch has at least 2 values.
      patch_size: side of a patch in pixels, an int of at least 1. Default: 4.
      depth: number of couplings, an int of at least 1. Default: 32.
      block_depth: number of transformer blocks per coupling network, an int of at least 1. Default: 2.
      width: number of channels of a token in the networks, an int of at least 1 that is divisible by `num_heads`.
        Default: 512.
      num_heads: number of attention heads, an int of at least 1. Default: 8.
      num_bits: bits per channel value, an int from 1 to 16; values are in `[0, 2**num_bits)`. Default: 8.
      backprop: `"stored"` (the default) keeps the activations of all couplings for the gradient. `"reversible"`
        rebuilds these activations, so that memory for them does not grow with `depth`.
      seed: an int of at least 0 for reproducible weights and permutations. None (the default) draws a new seed.
      dtype: float32 (the default) or float64, of images, latents, densities and scales.
      network_dtype: dtype or Keras dtype policy of the networks, such as `"mixed_bfloat16"`. None (the default) means
        Keras's global policy (`keras.config.set_dtype_policy`), or float64 if `dtype` is float64. The output layers of
        the networks, scales and densities have the dtype `dtype` under every mixed policy. Networks in half precision
        often do not return integers exactly from their latents; `tfp_glow.with_network_dtype` converts them.
      name: name of the distribution, a string. None (the default) means `"jet"`, or the name of the variable in a joint
        distribution of TFP.

    Returns:
      A `tfd.TransformedDistribution` with event shape `image_shape` and no batch shape. `log_prob` is in nats per
      image and refers to pixel units.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      Kolesnikov, Pinto and Tschannen, *Jet: A modern transformer-based normalizing flow*, 2024, sections 2 and 3. The
      range of pixels and the order of the couplings follow the published code.

    Example:

    >>> flow = tfp_glow.jet((8, 8, 1), patch_size=2, depth=6, block_depth=1, width=16, num_heads=2)
    >>> flow.sample(3).shape
    TensorShape([3, 8, 8, 1])
    """
    image_shape = check_shape("image_shape", image_shape, ranks=(3,))
    patch_size, depth = check_int("patch_size", patch_size), check_int("depth", depth)
    block_depth, width = check_int("block_depth", block_depth), check_int("width", width)
    num_heads = check_int("num_heads", num_heads)
    if width % num_heads:
        raise ValueError(f"Argument `width` must be divisible by `num_heads` = {num_heads}; received {width}.")
    check_num_bits(num_bits)
    check_choice("backprop", backprop, ("stored", "reversible"))
    check_common(dtype, network_dtype, seed, name)
    num_groups, num_left = divmod(depth, _CHANNEL_COUPLINGS + 1)
    check_divisible(image_shape, 2 * patch_size if num_groups else patch_size,
                    "2 * patch_size" if num_groups else "patch_size")
    shape = squeezed_shape(image_shape, patch_size)
    if shape[-1] < 2:
        raise ValueError("Argument `patch_size` must be at least 2 for images of one channel, because couplings split "
                         f"the values of a patch; received {patch_size}.")
    generator = keras.random.SeedGenerator(seed)
    token_orders = itertools.cycle(_token_orders(shape))

    def coupling(mask: str, order: np.ndarray) -> tfgb.Reordered:
        """Returns a coupling that keeps the first half of the channels or tokens in `order`."""
        channels = shape[-1]
        outputs = 2 * (channels - channels // 2) if mask == "channel" else 2 * channels
        network = ViT(width, outputs, block_depth, num_heads, seed=generator, dtype=network_dtype or dtype)
        change = tfgb.AffineCoupling(shape, network, mask, scale="double_sigmoid", dtype=dtype)
        return tfgb.Reordered(change, order, mask)

    def channel_coupling() -> tfgb.Reordered:
        noise = keras.random.uniform((shape[-1],), seed=generator, dtype="float32")
        return coupling("channel", np.argsort(keras.ops.convert_to_numpy(noise), kind="stable"))

    def group() -> tfgb.Steps:
        channel_couplings = tfgb.Repeat(channel_coupling, _CHANNEL_COUPLINGS, backprop, name="channel_couplings")
        return tfgb.Steps([channel_couplings, coupling("pixel", next(token_orders))])

    steps = [tfgb.AffinePixels(image_shape, num_bits, dtype=dtype, bound=1.0)]
    if patch_size > 1:
        steps.append(tfgb.Squeeze(image_shape, patch_size, order="space_to_depth", dtype=dtype))
    if num_groups:
        steps.append(tfgb.Repeat(group, num_groups, backprop, name="groups"))
    if num_left:
        steps.append(tfgb.Repeat(channel_coupling, num_left, backprop, name="last_couplings"))
    return flow_distribution([*steps, tfgb.Flatten(shape, dtype=dtype)], "jet", name)


def _token_orders(shape: Shape) -> list[np.ndarray]:
    """Returns the orders of the tokens in the spatial couplings, which keep the first half of an order.

    Tokens are counted row by row. The first order keeps the tokens whose row + column is odd, the third one odd
    columns, and the fifth one odd rows. Each other order swaps the halves of the order before it.

    Args:
      shape: numbers of rows and columns of tokens, and the number of channels. Rows and columns are even in number.
    """
    rows, columns = np.indices(shape[:2]).reshape(2, -1)
    orders = []
    for index in (rows + columns, columns, rows):
        for first in (1, 0):
            orders.append(np.argsort(index % 2 != first, kind="stable"))
    return orders
