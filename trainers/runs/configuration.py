# SPDX-License-Identifier: Apache-2.0
"""What a flow's configuration takes from the data, and what can be read back from it."""

IMAGE_FLOWS = ("glow", "pyramid", "realnvp")


def fit_flow(name, preset, data):
    """The fields of a preset's flow, filled in for a data set.

    Images give shape and bits, and to a class-conditional flow the number of classes. Vectors give their size, and mean
    and standard deviation of the training split, by which the flow standardises them inside, so that its densities are
    in the data's own units.

    Args:
      name: the preset's name, for messages.
      preset: a `Preset`.
      data: an `ImageData` or `VectorData`.

    Returns:
      `(fields, num_bits)`: a dict for `tfp_glow.flows.config_from_dict`, and the bits of a pixel, None for vectors.

    Raises:
      ValueError: if the preset is for images and the data is not, or it is for labelled ones and they are not.
    """
    for_images = preset.flow["flow"] in IMAGE_FLOWS
    shape = {"image_shape" if for_images else "event_shape": data.event_shape}
    if preset.class_conditional:
        if data.label_names is None or len(data.label_names) < 2:
            raise ValueError(f"preset: {name} is for data with labels of at least two classes; {data.name} has "
                             f"{'one class' if data.label_names else 'no labels'}")
        shape["num_classes"] = len(data.label_names)
    if data.num_bits is not None:
        num_bits = min(preset.num_bits, data.num_bits)
        return {**preset.flow, **shape, "num_bits": num_bits}, num_bits
    if for_images or preset.flip or preset.pixel_noise:
        raise ValueError(f"preset: {name} is for images; {data.name} has {data.description}")
    loc, scale = data.statistics
    return {**preset.flow, **shape, "loc": loc, "scale": scale}, None


def fit_dequantizer(preset, data, num_bits):
    """The fields of the flow that makes noise for whole numbers, filled in for a data set; None for uniform noise.

    Raises:
      ValueError: if the preset wants such a flow, and the data is not images.
    """
    if preset.dequantization == "uniform":
        return None
    if num_bits is None:
        raise ValueError(f"dequantization: {preset.dequantization} is for images; {data.name} has {data.description}")
    return {"flow": "dequantizer", **preset.dequantizer, "image_shape": data.event_shape, "num_bits": num_bits}


def event_shape(config):
    """Shape of the events of a run's configuration, a tuple."""
    flow = config["flow"]
    return tuple(flow["image_shape"] if "image_shape" in flow else flow["event_shape"])
