# SPDX-License-Identifier: Apache-2.0
"""The weights of an image flow at another resolution."""

from tfp_glow._checks import check_int
from tfp_glow.models.flow_model import FlowModel


def at_resolution(model, height, width):
    """Copies an image model to images of another height and width, with the same weights.

    Convolutions, actnorms, 1x1 convolutions and batch norms are the same at every pixel, so the parameters of `glow`
    and `realnvp` have shapes that do not depend on the resolution: a flow trained on small images draws larger ones,
    of textures above all, and scores them. The copy shares nothing with the model.

    Args:
      model: a `FlowModel` of `tfp_glow.glow(...)` or `tfp_glow.realnvp(...)`.
      height: of the copy's images; must divide as the flow asks for.
      width: likewise.

    Returns:
      A `FlowModel`, initialised if `model` is, and not compiled.

    Raises:
      ValueError: if `model` is not such a model, or the flow does not divide `height` and `width`.

    Reference: Dinh, Sohl-Dickstein and Bengio, *Density estimation using Real NVP*, 2017, appendix C.

    >>> model = tfp_glow.FlowModel(tfp_glow.realnvp((8, 8, 1), num_scales=2, num_blocks=1, width=4))
    >>> tfp_glow.at_resolution(model, 16, 24).sample(2).shape
    TensorShape([2, 16, 24, 1])
    """
    if not isinstance(model, FlowModel):
        raise ValueError(f"Argument `model` must be a tfp_glow.FlowModel; received {type(model).__name__}.")
    size = tuple(check_int(name, value) for name, value in (("height", height), ("width", width)))
    config = model.get_config()
    parts = {name: config[name] for name in ("distribution", "dequantizer") if name in config}
    for flow in parts.values():
        if "image_shape" not in flow:
            raise ValueError("Argument `model` must be of a flow that is the same at every pixel, glow or realnvp; "
                             f"received one of {flow['flow']}.")
    larger = {name: {**flow, "image_shape": (*size, model.event_shape[-1])} for name, flow in parts.items()}
    copy = FlowModel.from_config({**config, **larger})
    if [v.shape for v in copy.variables] != [v.shape for v in model.variables]:
        names = ", ".join(flow["flow"] for flow in parts.values())
        raise ValueError("Argument `model` must be of a flow that is the same at every pixel, glow or realnvp; "
                         f"received one of {names}, with weights for every place.")
    copy.set_weights(model.get_weights())
    return copy
