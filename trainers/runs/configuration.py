# SPDX-License-Identifier: Apache-2.0
"""`configure`: the configuration of a run, a JSON dict that follows from a preset, a data set and a seed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from tfp_glow.flows import config_from_dict, config_to_dict

from .. import data as data_lib
from ..data import ImageData, VectorData
from ..presets import Preset

_IMAGE_FLOWS = ("glow", "jet", "pixelcnn", "pyramid", "realnvp")
# Fields of a preset that are not in the entry `training` of the configuration, because other entries hold them or
# values that follow from them and the data.
_OTHER_FIELDS = ("flow", "epochs", "crop", "resize", "num_bits", "dequantization", "dequantizer", "steps_per_epoch")
# Fields that only the optimizer AdamW has. Without them, the configuration of other runs is that of earlier versions.
_ADAMW_FIELDS = ("beta_2", "weight_decay")


def configure(
    name: str,
    preset: Preset,
    spec: str,
    data: ImageData | VectorData,
    seed: int = 0,
    network_dtype: str | None = None,
) -> dict[str, Any]:
    """Returns the configuration of a run, a dict that determines the result of the run.

    `configure` checks the names of the arguments of the flow. Their values are checked when the flow is built.

    Args:
      name: str, name of the preset, a key of `trainers.presets.PRESETS`.
      preset: the `Preset`. Its fields may differ from those of `PRESETS[name]`.
      spec: str, name of the data set for `trainers.data.load`, such as `"digits"` or `"idx:DIR"`.
      data: an `ImageData` or a `VectorData`: the data set `spec`, after the crop and the resize of the preset.
      seed: int, at least 0, random seed of the initial weights, the data order, flips and noise. Default 0.
      network_dtype: str, `"float32"` or a Keras dtype policy such as `"mixed_bfloat16"`, the precision of the
        conditioners. Default None: the value of the preset, or the default of the flow.

    Returns:
      A dict that `json.dumps` accepts, with the entries

      - `preset`: str, the argument `name`;
      - `data`: str, the argument `spec`;
      - `crop`, `resize`: int, side in pixels, or None, as in `Preset`;
      - `num_examples`: dict from `"train"`, `"validation"` and `"test"` to the number of examples;
      - `data_levels`: int, number of gray levels of `data`; None for vectors;
      - `num_levels`: int, number of gray levels of the training images, at most `data_levels`; None for vectors;
      - `num_bits`: int, bits per channel value of the training images; None for vectors;
      - `label_names`: list of the names of the classes; only class-conditional runs have this entry;
      - `flow`: dict, all arguments of the flow for `tfp_glow.flows.config_from_dict`, except `seed`;
      - `dequantizer`: dict, the same for the flow of the dequantization noise; None for uniform noise;
      - `training`: dict, the fields of `preset` that are not in other entries, such as `batch_size`;
      - `epochs`: int, number of epochs;
      - `steps_per_epoch`: int, number of steps per epoch;
      - `seed`: int, the argument `seed`.

    Raises:
      ValueError: if `seed` is negative; if the flow has no argument of a name in the preset; if the training split has
        fewer examples than one batch; or for the reasons of `fit_flow` and `fit_dequantizer`.
    """
    if seed < 0:
        raise ValueError(f"seed: must not be negative; got {seed}")
    flow, num_bits = fit_flow(name, preset, data)
    dequantizer = fit_dequantizer(preset, data, num_bits)
    flow = _complete(flow, network_dtype)
    if dequantizer is not None:
        dequantizer = _complete(dequantizer, network_dtype)
    steps = data_lib.num_batches(data, "train", preset.batch_size, drop_remainder=True)
    others = _OTHER_FIELDS if preset.optimizer == "adamw" else (*_OTHER_FIELDS, *_ADAMW_FIELDS)
    training = {key: value for key, value in dataclasses.asdict(preset).items() if key not in others}
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
    """Adds the arguments that follow from a data set to the arguments of the flow of a preset.

    For images, it adds the event shape and the number of bits per channel value. For vectors, it adds the event shape,
    and the mean and standard deviation of each column of the training split as `loc` and `scale`. The flow standardizes
    its input with `loc` and `scale`, and its densities are in the units of the data. For a class-conditional preset, it
    adds the number of classes. The function does not train.

    Args:
      name: str, name of the preset, for error messages.
      preset: the `Preset`.
      data: an `ImageData` or a `VectorData`.

    Returns:
      A pair `(arguments, num_bits)`: a dict for `tfp_glow.flows.config_from_dict`, and the number of bits per channel
      value, an int, or None for vectors.

    Raises:
      ValueError: if the flow, `flip` or `pixel_noise` of the preset requires images and `data` has vectors; or if the
        preset is class-conditional and `data` has fewer than two classes.
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
    """Adds the arguments that follow from a data set to the arguments of the dequantizer of a preset.

    The dequantizer is the flow of the noise that variational dequantization adds to images. The added arguments are the
    image shape and the number of bits per channel value. The function does not train.

    Args:
      preset: the `Preset`.
      data: an `ImageData` or a `VectorData`.
      num_bits: int, bits per channel value of the training images. None for vectors.

    Returns:
      A dict for `tfp_glow.flows.config_from_dict`, or None if `preset.dequantization` is `"uniform"`.

    Raises:
      ValueError: if `preset.dequantization` is `"variational"` and `data` has vectors.
    """
    if preset.dequantization == "uniform":
        return None
    if num_bits is None:
        raise ValueError(f"dequantization: {preset.dequantization} is for images; {data.name} has {data.description}")
    return {"flow": "dequantizer", **preset.dequantizer, "image_shape": data.event_shape, "num_bits": num_bits}


def event_shape(config: Mapping[str, Any]) -> tuple[int, ...]:
    """Returns the shape of one example of the flow of a run.

    Args:
      config: configuration of the run, a dict, as `trainers.runs.configuration.configure` returns.

    Returns:
      A tuple of ints: `(height, width, channels)` for images, `(size,)` for vectors.
    """
    flow = config["flow"]
    return tuple(flow["image_shape"] if "image_shape" in flow else flow["event_shape"])


def _complete(arguments: dict[str, Any], network_dtype: str | None) -> dict[str, Any]:
    """Adds the default of each missing argument of a flow, and removes `seed`: the configuration has its own seed."""
    if network_dtype is not None:
        arguments = {**arguments, "network_dtype": network_dtype}
    complete = config_to_dict(config_from_dict(arguments))
    del complete["seed"]
    return complete
