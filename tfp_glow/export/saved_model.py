# SPDX-License-Identifier: Apache-2.0
"""`export_saved_model`: writes a `FlowModel` as a SavedModel that needs no package besides TensorFlow."""

import os

import tensorflow as tf

from tfp_glow._checks import check_path
from tfp_glow.models.flow_model import FlowModel


def export_saved_model(model: FlowModel, path: str | os.PathLike[str]) -> str:
    """Writes a SavedModel that TensorFlow alone can load and serve.

    It has these signatures, each for any batch size. `log_prob` is the default signature.

    | signature | inputs | output |
    |---|---|---|
    | `log_prob` | `images`: float, `[batch, *event_shape]`, pixel units | `log_prob`: nats, `[batch]` |
    | `bits_per_dim` | `images`: float | `bits_per_dim`: `[batch]` |
    | `encode` | `images`: float | `latents`: `[batch, *latent_shape]` |
    | `log_prob_uint8` | `images`: uint8, `seed`: int32 scalar | `log_prob` |
    | `bits_per_dim_uint8` | `images`: uint8, `seed`: int32 scalar | `bits_per_dim` |
    | `encode_uint8` | `images`: uint8 | `latents` |
    | `decode` | `latents` | `images`: uint8 up to 8 bits, float for continuous data |
    | `sample` | `number`: int32 scalar, `temperature`: float scalar, `seed`: int32 scalar | `images` |

    Float images are points. Integer images are quantized: each value is a bin of width 1. The signatures for integer
    images differ from those for float images as follows.

    * `log_prob_uint8` and `bits_per_dim_uint8` add noise that depends on `seed` and on the position of the image in the
      batch, as `FlowModel.log_prob(images, seed)` does.
    * `encode_uint8` encodes the middle of each bin.
    * Above 8 bits, uint16 replaces uint8, in the names too. TensorFlow Serving takes uint16 by gRPC, not by JSON.
    * A model of continuous data has no signature for integer images.

    A model of a distribution without a bijector has neither `encode` nor `decode`.

    If `model.condition_spec` is not None, each signature has one additional input: `labels`, int32 `[batch]`, or
    `context`, `[batch, *context_shape]`. It holds one condition per event, or one for all events.

    Args:
      model: a `FlowModel`.
      path: directory to write. It must be empty or not exist. TensorFlow Serving requires a version number as its name,
        see `write_model_config`.

    Returns:
      `path`, as a string.

    Raises:
      ValueError: if `model` is not a `FlowModel`.
      ValueError: if `path` is not a path, or is a file or a directory that is not empty.

    Example:

    >>> model = tfp_glow.FlowModel(tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=1, width=4))
    >>> path = tfp_glow.export_saved_model(model, "exported/1")
    >>> sample = tf.saved_model.load(path).signatures["sample"]
    >>> sample(number=tf.constant(4), temperature=tf.constant(0.7), seed=tf.constant(1))["images"].shape
    TensorShape([4, 4, 4, 1])
    """
    if not isinstance(model, FlowModel):
        raise ValueError(f"Argument `model` must be a tfp_glow.FlowModel; received {type(model).__name__}.")
    path = check_path("path", path)
    if os.path.exists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise ValueError(f"Argument `path` must be an empty directory or not exist; received {path!r}.")
    module = tf.Module()
    module.variables_of_model = [v.value for v in model.variables]
    signatures = _signatures(model)
    module.functions = list(signatures.values())
    tf.saved_model.save(module, path, signatures={**signatures, "serving_default": signatures["log_prob"]})
    return path


def _signatures(model: FlowModel) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns the signatures by name."""
    functions, dtype = model.functions, model.distribution.dtype
    condition = [] if model.condition_spec is None else [model.condition_spec]
    points = tf.TensorSpec((None, *model.event_shape), dtype, "images")
    number, seed = (tf.TensorSpec((), tf.int32, name) for name in ("number", "seed"))
    temperature = tf.TensorSpec((), dtype, "temperature")
    no_seed = tf.constant(0)  # Points get no noise.

    def signature(output, specs, compute):
        return tf.function(lambda *inputs: {output: compute(*inputs)}, input_signature=[*specs, *condition],
                           autograph=False)

    signatures = {
        "log_prob": signature("log_prob", [points], lambda x, *c: functions.log_prob(x, no_seed, *c)),
        "bits_per_dim": signature("bits_per_dim", [points], lambda x, *c: functions.bits_per_dim(x, no_seed, *c)),
        "sample": signature("images", [number, temperature, seed], functions.sample),
    }
    if functions.has_latents:
        latents = tf.TensorSpec((None, *model.latent_shape), dtype, "latents")
        signatures["encode"] = signature("latents", [points], functions.encode)
        signatures["decode"] = signature("images", [latents], functions.decode)
    if model.num_bits is not None:
        integer = tf.uint8 if model.num_bits <= 8 else tf.uint16
        bins = tf.TensorSpec(points.shape, integer, "images")
        signatures[f"log_prob_{integer.name}"] = signature("log_prob", [bins, seed], functions.log_prob)
        signatures[f"bits_per_dim_{integer.name}"] = signature("bits_per_dim", [bins, seed], functions.bits_per_dim)
        if functions.has_latents:
            signatures[f"encode_{integer.name}"] = signature("latents", [bins], functions.encode)
    return signatures
