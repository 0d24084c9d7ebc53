# SPDX-License-Identifier: Apache-2.0
"""SavedModel export: densities and samples for servers that know TensorFlow alone."""

import os

import tensorflow as tf

from tfp_glow.model import FlowModel


def export_saved_model(model, path):
    """Writes a SavedModel that TensorFlow alone loads and serves.

    Its signatures, each with any batch size; `log_prob` is the default one:

    | signature | inputs | output |
    |---|---|---|
    | `log_prob` | `images`: float, `[batch, *event_shape]`, pixel units | `log_prob`: nats, `[batch]` |
    | `bits_per_dim` | `images` | `bits_per_dim`: `[batch]` |
    | `encode` | `images` | `latents`: `[batch, *latent_shape]` |
    | `decode` | `latents` | `images`: uint8 up to 8 bits, uint16 above, floats for continuous data |
    | `sample` | `number`: int32, `temperature`: float, `seed`: int32 | `images` |

    Floats are points, so a client with whole-numbered images adds noise in `[0, 1)`, or 1/2. `encode` and `decode` are
    left out for a distribution without a bijector.

    Args:
      model: a `FlowModel`.
      path: directory to write, absent or empty; TensorFlow Serving expects it to be named by a version number.

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
    dtype = model.distribution.dtype
    images = tf.TensorSpec((None, *model.event_shape), dtype, "images")
    number, seed = (tf.TensorSpec((), tf.int32, name) for name in ("number", "seed"))
    temperature = tf.TensorSpec((), dtype, "temperature")
    zero = tf.constant(0)

    def signature(output, specs, compute):
        return tf.function(lambda *inputs: {output: compute(*inputs)}, input_signature=specs, autograph=False)

    signatures = {
        "log_prob": signature("log_prob", [images], lambda x: model.functions.log_prob(x, zero)),
        "bits_per_dim": signature("bits_per_dim", [images], lambda x: model.functions.bits_per_dim(x, zero)),
        "sample": signature("images", [number, temperature, seed], model.functions.sample),
    }
    if model.functions.has_latents:
        latents = tf.TensorSpec((None, *model.latent_shape), dtype, "latents")
        signatures["encode"] = signature("latents", [images], model.functions.encode)
        signatures["decode"] = signature("images", [latents], model.functions.decode)
    return signatures
