# SPDX-License-Identifier: Apache-2.0
"""`at_resolution` and `with_network_dtype`: copies of a model whose flow has other arguments and the same weights."""

from collections.abc import Callable
from typing import Any

from tfp_glow._checks import check_int, check_network_dtype
from tfp_glow._types import PolicyLike
from tfp_glow.models.flow_model import FlowModel


def at_resolution(model: FlowModel, height: int, width: int) -> FlowModel:
    """Copies an image model to images of another height and width, with the same weights.

    The parameters of `tfp_glow.glow` and `tfp_glow.realnvp` apply at every pixel, so their shapes do not depend on the
    image size. A model that was trained on small images can therefore draw larger images and compute their densities.
    This works best for textures. The copy has its own variables.

    Args:
      model: a `FlowModel` of a `tfp_glow.glow` or a `tfp_glow.realnvp`.
      height: image height of the copy in pixels, an int of at least 1. It must be divisible by `2**num_levels` of the
        `glow`, or by `2**(num_scales - 1)` of the `realnvp`.
      width: image width of the copy in pixels, with the same requirements as `height`.

    Returns:
      A `FlowModel`, not compiled. Its data-dependent parameters are set if those of `model` are set.

    Raises:
      ValueError: if `model` is not a `FlowModel` of `glow` or `realnvp`.
      ValueError: if `height` or `width` is not an int of at least 1, or not divisible by the power of 2 above.

    References:
      Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, appendix C.

    Example:

    >>> model = tfp_glow.FlowModel(tfp_glow.realnvp((8, 8, 1), num_scales=2, num_blocks=1, width=4))
    >>> tfp_glow.at_resolution(model, 16, 24).sample(2).shape
    TensorShape([2, 16, 24, 1])
    """
    size = (check_int("height", height), check_int("width", width))

    def change(flow: dict[str, Any]) -> dict[str, Any]:
        if "image_shape" not in flow:
            raise ValueError("Argument `model` must be a model of glow or realnvp, whose weights fit any resolution; "
                             f"received a model of {flow['flow']}.")
        return {**flow, "image_shape": (*size, model.event_shape[-1])}

    copy = _copy(model, change)
    if [v.shape for v in copy.variables] != [v.shape for v in model.variables]:
        raise ValueError("Argument `model` must be a model of glow or realnvp, whose weights fit any resolution; "
                         f"received a model of {model.get_config()['distribution']['flow']}, which has weights per "
                         "pixel or patch; build and train a new flow for images of this size.")
    copy.set_weights(model.get_weights())
    return copy


def with_network_dtype(model: FlowModel, network_dtype: PolicyLike) -> FlowModel:
    """Copies a model to networks that compute in another dtype, with the same weights.

    Some devices train networks in bfloat16 faster. The rounding to bfloat16 has a price. The two passes of a flow
    evaluate each network at inputs that differ in their last digits. A bfloat16 network can give different outputs for
    them, so integer images often do not return from their latents. With float32 networks and the same weights they do.
    The densities of both models are equal up to the rounding of the networks.

    Args:
      model: a `FlowModel` of a flow that has an argument `network_dtype`, such as `tfp_glow.glow`.
      network_dtype: dtype or Keras dtype policy of the networks of the copy, such as `"float32"`.

    Returns:
      A `FlowModel`, not compiled. It has its own variables. Its data-dependent parameters are set if those of `model`
      are set.

    Raises:
      ValueError: if `model` is not a `FlowModel` of a flow that has an argument `network_dtype`, or if `network_dtype`
        is not a dtype or a Keras dtype policy.

    Example:

    >>> model = tfp_glow.FlowModel(tfp_glow.glow((4, 4, 1), 1, 2, 8, network_dtype="mixed_bfloat16"))
    >>> exact = tfp_glow.with_network_dtype(model, "float32")
    >>> images = np.random.randint(0, 256, (2, 4, 4, 1)).astype("uint8")
    >>> bool(tf.reduce_all(exact.reconstruct(images) == images))
    True
    """
    if check_network_dtype(network_dtype) is None:
        raise ValueError("Argument `network_dtype` must be a dtype or a Keras dtype policy; received None.")

    def change(flow: dict[str, Any]) -> dict[str, Any]:
        if "network_dtype" not in flow:
            raise ValueError("Argument `model` must be a model of a flow that has an argument `network_dtype`; "
                             f"received a model of {flow['flow']}.")
        return {**flow, "network_dtype": network_dtype}

    copy = _copy(model, change)
    copy.set_weights(model.get_weights())
    return copy


def _copy(model: FlowModel, change: Callable[[dict[str, Any]], dict[str, Any]]) -> FlowModel:
    """Builds `model` anew, with the arguments of its flow and of its dequantizer changed by `change`."""
    if not isinstance(model, FlowModel):
        raise ValueError(f"Argument `model` must be a tfp_glow.FlowModel; received {type(model).__name__}.")
    config = model.get_config()
    return FlowModel.from_config({
        name: change(value) if name in ("distribution", "dequantizer") else value for name, value in config.items()})
