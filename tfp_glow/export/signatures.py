# SPDX-License-Identifier: Apache-2.0
"""The signatures of an exported `FlowModel`: names, inputs, outputs and units, and the functions that compute them."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_glow.models.flow_model import FlowModel
from tfp_glow.models.graph_functions import GraphFunctions
from tfp_glow.models.quantization import to_bins

NATS, BITS = "nats", "bits per dimension"
_STANDARD = {"normal": tfd.Normal, "logistic": tfd.Logistic}


@dataclasses.dataclass(frozen=True)
class Signature:
    """One function of an exported model.

    Attributes:
      name: name of the signature, such as `"log_prob"`.
      inputs: the inputs in their order, a tuple of named `tf.TensorSpec`s. The first axis of a tensor is the batch.
      output: name of the output.
      units: a dict from the names of the inputs and of the output to their units.
      compute: the function of the inputs, in their order.
      meaning: what the signature computes, one sentence.
      is_random: True if the signature draws random numbers from an input `seed`.
      derived: the name of another signature with the same inputs, and the function of its output that equals this
        output. None if there is no such signature.
    """

    name: str
    inputs: tuple[tf.TensorSpec, ...]
    output: str
    units: Mapping[str, str]
    compute: Callable[..., tf.Tensor]
    meaning: str
    is_random: bool = False
    derived: tuple[str, Callable[[tf.Tensor], tf.Tensor]] | None = None


def signatures_of(model: FlowModel, functions: GraphFunctions) -> dict[str, Signature]:
    """Returns the signatures of a model by name.

    Args:
      model: a `tfp_glow.FlowModel`.
      functions: the functions of the model that the signatures call.

    Returns:
      A dict of `Signature`s. `export_saved_model` describes them.
    """
    dtype, pixel_units = model.distribution.dtype, functions.checks.pixel_units
    condition = () if model.condition_spec is None else (model.condition_spec,)
    integer = None if model.num_bits is None else tf.uint8 if model.num_bits <= 8 else tf.uint16
    number, seed = (tf.TensorSpec((), tf.int32, name) for name in ("number", "seed"))
    temperature = tf.TensorSpec((), dtype, "temperature")
    no_seed = tf.constant(0)  # Float images get no noise.
    float_unit = "units of the data" if model.num_bits is None else f"pixel units, floats in [0, {2**model.num_bits})"
    integer_unit = "" if model.num_bits is None else f"integers in [0, {2**model.num_bits})"
    found: dict[str, Signature] = {}

    def images(of_dtype: tf.DType) -> tf.TensorSpec:
        return tf.TensorSpec((None, *model.event_shape), of_dtype, "images")

    def add(name: str, inputs: list[tf.TensorSpec], output: str, compute: Callable[..., tf.Tensor], meaning: str,
            is_random: bool = False, derived: Any = None, **units: str) -> None:
        units |= {"labels": f"integers in [0, {functions.condition.num_classes})", "context": "units of the data",
                  "number": "events", "seed": "any integer", "temperature": "a number of at least 0",
                  "latents": f"deviations from a {base_of(model)['distribution']} distribution",
                  "noise": "uniform in [0, 1)"}
        specs = (*inputs, *condition)
        names = {spec.name for spec in specs} | {output}
        found[name] = Signature(name, specs, output, {key: unit for key, unit in units.items() if key in names},
                                compute, meaning, is_random, derived)

    add("log_prob", [images(dtype)], "log_prob", lambda x, *c: functions.log_prob(pixel_units(x), no_seed, *c),
        "Log-density of float images, without noise.", images=float_unit, log_prob=NATS)
    add("bits_per_dim", [images(dtype)], "bits_per_dim",
        lambda x, *c: functions.bits_per_dim(pixel_units(x), no_seed, *c),
        "Bits per dimension of float images, without noise.", derived=("log_prob", functions.to_bits),
        images=float_unit, bits_per_dim=BITS)
    add("sample", [number, temperature, seed], "images", functions.sample, "Draws images.", is_random=True,
        images=integer_unit or float_unit)
    if functions.has_latents:
        latents = tf.TensorSpec((None, *model.latent_shape), dtype, "latents")
        add("encode", [images(dtype)], "latents", lambda x, *c: functions.encode(pixel_units(x), *c),
            "Latents of float images.", images=float_unit)
        add("decode", [latents], "images", functions.decode, "Images of given latents.",
            derived=("decode_floats", lambda x: to_bins(x, model.num_bits)), images=integer_unit or float_unit)
    if integer is None:
        return found
    noise = tf.TensorSpec(images(dtype).shape, dtype, "noise")
    bins, suffix = images(integer), integer.name
    add(f"log_prob_{suffix}", [bins, seed], "log_prob", functions.log_prob,
        "Log-density of images of integers. The seed determines the noise on them.", is_random=True,
        images=integer_unit, log_prob=NATS)
    add(f"bits_per_dim_{suffix}", [bins, seed], "bits_per_dim", functions.bits_per_dim,
        "Bits per dimension of images of integers. The seed determines the noise on them.", is_random=True,
        images=integer_unit, bits_per_dim=BITS)
    add("log_prob_with_noise", [bins, noise], "log_prob", functions.log_prob_with_noise,
        "Log-density of images of integers, with given noise.", images=integer_unit, log_prob=NATS)
    add("bits_per_dim_with_noise", [bins, noise], "bits_per_dim", functions.bits_per_dim_with_noise,
        "Bits per dimension of images of integers, with given noise.",
        derived=("log_prob_with_noise", functions.to_bits), images=integer_unit, bits_per_dim=BITS)
    if functions.has_latents:
        add(f"encode_{suffix}", [bins], "latents", functions.encode,
            "Latents of the middle of the bins of images of integers.", images=integer_unit)
        add("decode_floats", [latents], "images", functions.decode_floats,
            "Images of given latents, before they are rounded down to integers.", images=float_unit)
    return found


def base_of(model: FlowModel) -> dict[str, Any]:
    """Describes the distribution from which a client draws latents, each value independently.

    Args:
      model: a `tfp_glow.FlowModel`.

    Returns:
      A dict: `"distribution"` is `"normal"` or `"logistic"`, with mean 0 and scale 1, or the name of another class.
      `"standard"` is True for the first two.
    """
    base: Any = getattr(model.distribution, "distribution", None)
    inner: Any = getattr(base, "distribution", base)
    for name, kind in _STANDARD.items():
        if type(inner) is kind and all(_is_constant(inner.parameters.get(key), value)
                                       for key, value in (("loc", 0.0), ("scale", 1.0))):
            return {"distribution": name, "standard": True}
    return {"distribution": "none" if base is None else type(base).__name__, "standard": False}


def _is_constant(parameter: Any, value: float) -> bool:
    """True if a parameter of a distribution is no variable and holds `value` only."""
    return not isinstance(parameter, tf.Variable) and bool(np.all(np.asarray(parameter) == value))
