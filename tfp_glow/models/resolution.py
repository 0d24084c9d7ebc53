# SPDX-License-Identifier: Apache-2.0
"""`at_resolution`: copies an image model to images of another height and width."""

from typing import Any

from tfp_glow._checks import check_int
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
    if not isinstance(model, FlowModel):
        raise ValueError(f"Argument `model` must be a tfp_glow.FlowModel; received {type(model).__name__}.")
    size = (check_int("height", height), check_int("width", width))
    config = model.get_config()
    flows: dict[str, dict[str, Any]] = {
        name: config[name] for name in ("distribution", "dequantizer") if name in config}
    for flow in flows.values():
        if "image_shape" not in flow:
            raise ValueError("Argument `model` must be a model of glow or realnvp, whose weights fit any resolution; "
                             f"received a model of {flow['flow']}.")
    larger = {name: {**flow, "image_shape": (*size, model.event_shape[-1])} for name, flow in flows.items()}
    copy = FlowModel.from_config({**config, **larger})
    if [v.shape for v in copy.variables] != [v.shape for v in model.variables]:
        names = ", ".join(flow["flow"] for flow in flows.values())
        raise ValueError("Argument `model` must be a model of glow or realnvp, whose weights fit any resolution; "
                         f"received a model of {names}, which has weights per pixel.")
    copy.set_weights(model.get_weights())
    return copy
