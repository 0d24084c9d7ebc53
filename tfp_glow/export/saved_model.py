# SPDX-License-Identifier: Apache-2.0
"""SavedModel export: densities and samples for servers that know TensorFlow alone."""

import os

import tensorflow as tf

from tfp_glow.models.flow_model import FlowModel


def export_saved_model(model, path):
    """Writes a SavedModel that TensorFlow alone loads and serves.

    Its signatures, each with any batch size; `log_prob` is the default one:

    | signature | inputs | output |
    |---|---|---|
    | `log_prob` | `images`: float, `[batch, *event_shape]`, pixel units | `log_prob`: nats, `[batch]` |
    | `bits_per_dim` | `images`: float | `bits_per_dim`: `[batch]` |
    | `encode` | `images`: float | `latents`: `[batch, *latent_shape]` |
    | `log_prob_uint8` | `images`: uint8, `seed`: int32 scalar | `log_prob` |
    | `bits_per_dim_uint8` | `images`: uint8, `seed`: int32 scalar | `bits_per_dim` |
    | `encode_uint8` | `images`: uint8 | `latents` |
    | `decode` | `latents` | `images`: uint8 up to 8 bits, floats for continuous data |
    | `sample` | `number`: int32 scalar, `temperature`: float scalar, `seed`: int32 scalar | `images` |

    Floats are points, whole numbers are bins of width 1. The density of a bin is that of a point drawn in it, by noise
    that depends on the seed and on the image's place in the batch, as `FlowModel.log_prob(images, seed)` has it;
    `encode_uint8` takes the middle of the bins. Above 8 bits uint16 stands for uint8, in the names as well (TensorFlow
    Serving has no uint16 in JSON, only in gRPC). The signatures of bins are left out for continuous data, `encode` and
    `decode` for a distribution without a bijector.

    Where the model has a condition, every signature has one more input, `model.condition_spec`: `labels`, int32
    `[batch]`, or `context`, `[batch, *context_shape]`: one for each event, or one for all.

    Args:
      model: a `FlowModel`.
      path: directory to write, absent or empty. TensorFlow Serving expects a version number as its name, see
        `write_model_config`.

    Returns:
      `path`, as a string.

    Raises:
      ValueError: if `model` is not a `FlowModel`, or `path` is not one, or exists and is not empty.

    >>> path = tfp_glow.export_saved_model(model, "serving/1")
    >>> served = tf.saved_model.load(path).signatures["sample"]
    >>> images = served(number=tf.constant(4), temperature=tf.constant(0.7), seed=tf.constant(1))["images"]
    """
    if not isinstance(model, FlowModel):
        raise ValueError(f"Argument `model` must be a tfp_glow.FlowModel; received {type(model).__name__}.")
    if not isinstance(path, (str, os.PathLike)):
        raise ValueError(f"Argument `path` must be a path; received {path!r}.")
    path = os.fspath(path)
    if os.path.exists(path) and (not os.path.isdir(path) or os.listdir(path)):
        raise ValueError(f"Argument `path` must be absent or an empty directory; received {path!r}.")
    module = tf.Module()
    module.variables_of_model = [v.value for v in model.variables]
    signatures = _signatures(model)
    module.functions = list(signatures.values())
    tf.saved_model.save(module, path, signatures={**signatures, "serving_default": signatures["log_prob"]})
    return path


def _signatures(model):
    functions, dtype = model.functions, model.distribution.dtype
    condition = [] if model.condition_spec is None else [model.condition_spec]
    points = tf.TensorSpec((None, *model.event_shape), dtype, "images")
    number, seed = (tf.TensorSpec((), tf.int32, name) for name in ("number", "seed"))
    temperature = tf.TensorSpec((), dtype, "temperature")
    no_seed = tf.constant(0)

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
        whole = tf.uint8 if model.num_bits <= 8 else tf.uint16
        bins = tf.TensorSpec(points.shape, whole, "images")
        signatures[f"log_prob_{whole.name}"] = signature("log_prob", [bins, seed], functions.log_prob)
        signatures[f"bits_per_dim_{whole.name}"] = signature("bits_per_dim", [bins, seed], functions.bits_per_dim)
        if functions.has_latents:
            signatures[f"encode_{whole.name}"] = signature("latents", [bins], functions.encode)
    return signatures
