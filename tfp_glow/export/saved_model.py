# SPDX-License-Identifier: Apache-2.0
"""`export_saved_model`: writes a `FlowModel` as a SavedModel that requires no package besides TensorFlow."""

import itertools
import os

import tensorflow as tf

from tfp_glow._checks import check_path
from tfp_glow.export.signatures import Signature, signatures_of
from tfp_glow.models.flow_model import FlowModel
from tfp_glow.models.value_checks import batch_of_events


def export_saved_model(model: FlowModel, path: str | os.PathLike[str]) -> str:
    """Writes a SavedModel that TensorFlow can load and serve without this package.

    The SavedModel has the following signatures, each for any batch size. The default signature is `log_prob`.

    | signature | inputs | output |
    |---|---|---|
    | `log_prob` | `images`: float `[batch, *event_shape]` | `log_prob`: nats, `[batch]` |
    | `bits_per_dim` | `images`: as above | `bits_per_dim`: bits per dimension, `[batch]` |
    | `encode` | `images`: as above | `latents`: `[batch, *latent_shape]` |
    | `log_prob_uint8` | `images`: uint8 `[batch, *event_shape]`, `seed`: int32 scalar | `log_prob`: nats, `[batch]` |
    | `bits_per_dim_uint8` | as for `log_prob_uint8` | `bits_per_dim`: bits per dimension, `[batch]` |
    | `encode_uint8` | `images`: uint8 `[batch, *event_shape]` | `latents`: `[batch, *latent_shape]` |
    | `decode` | `latents`: float `[batch, *latent_shape]` | `images`: uint8 `[batch, *event_shape]` |
    | `log_prob_with_noise` | `images`: uint8, `noise`: float in [0, 1), `[batch, *event_shape]` | `log_prob`: nats |
    | `bits_per_dim_with_noise` | as for `log_prob_with_noise` | `bits_per_dim`: bits per dimension, `[batch]` |
    | `decode_floats` | as for `decode` | `images`: floats, before they are rounded down, `[batch, *event_shape]` |
    | `sample` | `number`: int32 scalar, `temperature`: float scalar, `seed`: int32 scalar | `images`: as for `decode` |

    `images` are the events of the model. `event_shape` and `latent_shape` are properties of the model.

    * Float images get no noise. `log_prob_uint8` and `bits_per_dim_uint8` add dequantization noise to integers. The
      noise depends on `seed` and on the position of the image in the batch, as in `FlowModel.log_prob(images, seed)`.
    * `encode_uint8` adds 1/2 to integers instead, the middle of their bins.
    * If `model.num_bits` is above 8, uint16 replaces uint8, also in the names of the signatures. TensorFlow Serving
      accepts uint16 by gRPC, but not by JSON.
    * The signatures without an input `seed` draw no random numbers. Uniform `noise` gives the densities of integers,
      and `decode` of latents from the base distribution, times the temperature, gives samples.
    * If `model.num_bits` is None, the signatures for integers and `decode_floats` do not exist, and `decode` and
      `sample` return floats.
    * `encode`, `encode_uint8`, `decode` and `decode_floats` exist only if the distribution is a
      `tfd.TransformedDistribution`.
    * If `model.condition_spec` is not None, each signature has one additional input: `labels`, int32 `[batch]`, or
      `context`, `[batch, *context_shape]`. A batch of size 1 holds one condition for all events.
    * A batch may be empty, and `number` may be 0.

    The signatures answer a request with an error in these cases: inputs of another shape; integers outside
    `[0, 2**num_bits)`; a negative or infinite temperature, or NaN; and events from `decode` or `sample` that are not
    finite. For a model with pixel units, also if the floats of a request are no constant and all of them are whole
    numbers, lie in [0, 1] or [-1, 1], or look standardized. If such floats are meant, build the model with
    `check_values=False`.

    Args:
      model: a `tfp_glow.FlowModel`.
      path: directory to write. It must be empty or not exist. TensorFlow Serving requires a version number as the name
        of the directory, such as `"serving/1"`.

    Returns:
      `path`, as a string.

    Raises:
      ValueError: if `model` is not a `tfp_glow.FlowModel`.
      ValueError: if `path` is not a string or path, or is a file, or is a directory that is not empty.

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
        parent, version = os.path.split(os.path.normpath(path))
        if not version.isdecimal():
            parent, version = path, "0"
        free = next(str(number) for number in itertools.count(int(version) + 1)
                    if not os.path.exists(os.path.join(parent, str(number))))
        raise ValueError(f"Argument `path` must be an empty directory or not exist; received {path!r}, which exists. "
                         f"Delete it, or write the next version, {os.path.join(parent, free)!r}.")
    module = tf.Module()
    module.variables_of_model = [v.value for v in model.variables]
    signatures = _signatures(model)
    module.functions = list(signatures.values())
    tf.saved_model.save(module, path, signatures={**signatures, "serving_default": signatures["log_prob"]})
    return path


def _signatures(model: FlowModel) -> dict[str, tf.types.experimental.PolymorphicFunction]:
    """Returns a dict of the signatures by name, as functions that check the shapes of their inputs."""
    def function(signature: Signature) -> tf.types.experimental.PolymorphicFunction:
        def compute(*inputs: tf.Tensor) -> dict[str, tf.Tensor]:
            return {signature.output: signature.compute(*(
                batch_of_events(spec.name, x, tuple(spec.shape[1:])) if spec.shape.rank else x
                for spec, x in zip(signature.inputs, inputs, strict=True)))}

        return tf.function(compute, input_signature=signature.inputs, autograph=False)

    return {name: function(signature) for name, signature in signatures_of(model, model.functions).items()}
