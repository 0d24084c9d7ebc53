# SPDX-License-Identifier: Apache-2.0
"""The configuration of a run: a JSON dict that a preset, a data set and a seed determine."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfp_glow.flows import config_from_dict, config_to_dict
from trainers import data as data_lib
from trainers.data import ImageData, VectorData
from trainers.presets import Preset

_IMAGE_FLOWS = ("glow", "pyramid", "realnvp")
# Fields of a preset that are not in the configuration's `training`. The configuration holds them, or what follows from
# them and the data, in other entries.
_OTHER_FIELDS = ("flow", "epochs", "crop", "resize", "num_bits", "dequantization", "dequantizer", "steps_per_epoch")


def configure(
    name: str,
    preset: Preset,
    spec: str,
    data: ImageData | VectorData,
    seed: int = 0,
    network_dtype: str | None = None,
) -> dict[str, Any]:
    """Returns the configuration of a run: everything that its result depends on.

    The names of the flow's arguments are checked here. Their values are checked when the flow is built.

    Args:
      name: name of the preset.
      preset: the preset, whose fields may differ from those of the registered preset of this name.
      spec: the data set as the user names it, such as `"digits"` or `"idx:DIR"`; see `trainers.data.load`.
      data: the data set that `spec` names.
      seed: non-negative seed for weights, data order, flips and noise; default 0.
      network_dtype: dtype or Keras dtype policy of the flow's networks; None for the flow's default.

    Returns:
      A dict that `json.dumps` accepts.

    Raises:
      ValueError: if the seed is negative, the preset does not fit the data, the flow has no argument of a given name,
        or a batch is larger than the training split.
    """
    if seed < 0:
        raise ValueError(f"seed: must not be negative; got {seed}")
    flow, num_bits = fit_flow(name, preset, data)
    dequantizer = fit_dequantizer(preset, data, num_bits)
    flow = _complete(flow, network_dtype)
    if dequantizer is not None:
        dequantizer = _complete(dequantizer, network_dtype)
    steps = data_lib.num_batches(data, "train", preset.batch_size, drop_remainder=True)
    training = {key: value for key, value in dataclasses.asdict(preset).items() if key not in _OTHER_FIELDS}
    label_names = {"label_names": list(data.label_names or ())} if preset.class_conditional else {}
    return {
        "preset": name,
        "data": spec,
        "crop": preset.crop or None,
        "resize": preset.resize or None,
        "num_examples": {split: data.num_examples(split) for split in data_lib.SPLITS},
        "data_levels": data.num_levels,
        "num_levels": data.num_levels if num_bits is None or num_bits == data.num_bits else 2**num_bits,
        "num_bits": num_bits,
        **label_names,
        "flow": flow,
        "dequantizer": dequantizer,
        "training": training,
        "epochs": preset.epochs,
        "steps_per_epoch": min(steps, preset.steps_per_epoch or steps),
        "seed": seed,
    }


def fit_flow(name: str, preset: Preset, data: ImageData | VectorData) -> tuple[dict[str, Any], int | None]:
    """Returns the arguments of a preset's flow, completed from a data set.

    A set of images determines the image shape and the number of bits. A set of vectors determines the size of the
    vectors, and the mean and standard deviation of the training split. The flow standardizes its input with these
    statistics, so that its densities are in the units of the data. For a class-conditional preset, the set determines
    the number of classes as well.

    Args:
      name: name of the preset, for error messages.
      preset: the preset.
      data: the data set.

    Returns:
      A pair: a dict for `tfp_glow.flows.config_from_dict`, and the number of bits per pixel, which is None for vectors.

    Raises:
      ValueError: if the preset requires images and the set has vectors, or the preset is class-conditional and the set
        has fewer than two classes.
    """
    for_images = preset.flow["flow"] in _IMAGE_FLOWS
    arguments = {**preset.flow, "image_shape" if for_images else "event_shape": data.event_shape}
    if preset.class_conditional:
        if data.label_names is None or len(data.label_names) < 2:
            raise ValueError(f"preset: {name} is for data with labels of at least two classes; {data.name} has "
                             f"{'one class' if data.label_names else 'no labels'}")
        arguments["num_classes"] = len(data.label_names)
    if isinstance(data, ImageData):
        num_bits = min(preset.num_bits, data.num_bits)
        return {**arguments, "num_bits": num_bits}, num_bits
    if for_images or preset.flip or preset.pixel_noise:
        raise ValueError(f"preset: {name} is for images; {data.name} has {data.description}")
    loc, scale = data.statistics
    return {**arguments, "loc": loc, "scale": scale}, None


def fit_dequantizer(preset: Preset, data: ImageData | VectorData, num_bits: int | None) -> dict[str, Any] | None:
    """Returns the arguments of a preset's dequantization flow, completed from a data set.

    Args:
      preset: the preset.
      data: the data set.
      num_bits: number of bits per pixel; None for vectors.

    Returns:
      A dict for `tfp_glow.flows.config_from_dict`, or None if the preset uses uniform dequantization.

    Raises:
      ValueError: if the preset uses variational dequantization and the set has vectors.
    """
    if preset.dequantization == "uniform":
        return None
    if num_bits is None:
        raise ValueError(f"dequantization: {preset.dequantization} is for images; {data.name} has {data.description}")
    return {"flow": "dequantizer", **preset.dequantizer, "image_shape": data.event_shape, "num_bits": num_bits}


def event_shape(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Returns the event shape of a run's flow."""
    flow = config["flow"]
    return tuple(flow["image_shape"] if "image_shape" in flow else flow["event_shape"])


def _complete(arguments: dict[str, Any], network_dtype: str | None) -> dict[str, Any]:
    """Returns all arguments of a flow with their values, except the seed, which the run's configuration holds."""
    if network_dtype is not None:
        arguments = {**arguments, "network_dtype": network_dtype}
    complete = config_to_dict(config_from_dict(arguments))
    del complete["seed"]
    return complete
