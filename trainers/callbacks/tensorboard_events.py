# SPDX-License-Identifier: Apache-2.0
"""A callback that writes TensorBoard events to the directory `tensorboard/` of a run.

To view the events, run `tensorboard --logdir=RUN_DIR/tensorboard`. The subdirectories `train` and `validation` hold
events with these tags:

| subdirectory | tag | value |
|---|---|---|
| `train`, `validation` | `bits_per_dim`, `loss`, ... | a log of the epoch, a scalar |
| `train` | `samples` | the picture of samples after the epoch |
| `train` | `parameters/LEVEL/NUMBER NAME` | histogram of the values of a trainable variable of a level |
| `validation` | `latents/LEVEL` | histogram of the latents of one batch at a level of the flow |
| `validation` | `log_det/LEVEL` | mean log-determinant of the same batch at the level, in bits per dimension |

`NUMBER` is the index of the variable, because several variables may have the same name. `LEVEL` is `level 1`,
`level 2`, ... or `top` for the last level, or `flow` for a flow without levels. Parameters may also belong to `base`,
the base distribution, and log-determinants to `pixels`, the map from gray levels to real numbers. Both may belong to
`dequantizer`.

The step of an event is the number of the epoch, counted from 1. A resumed run adds event files and does not change the
old ones. If an epoch is repeated after a kill, its events are present twice.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import PIL.Image
import tensorflow as tf

from ..evaluation.level_statistics import decompose_by_level, parameter_levels
from ..optimization.averaged_weights import validated_weights
from ..runs.run_directory import RunDirectory

_MAX_HISTOGRAM_VALUES = 100_000


def check_installed() -> None:
    """Checks that the package `tensorboard` is installed. `TensorBoardEvents` requires it.

    Raises:
      ValueError: if the package is missing.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            "tensorboard: the package tensorboard is not installed; install it, or pass --notensorboard")


class TensorBoardEvents(keras.callbacks.Callback):
    """Writes TensorBoard events after each epoch.

    The parameters, latents and log-determinants are those of the weights of the validation: the moving average if the
    optimizer keeps one. In the list of callbacks for `fit`, place this callback after `SamplePictures`, because it
    reads the picture of the epoch.

    The `TensorBoard` callback of Keras cannot replace this class. It creates summaries of each batch even if it does
    not write them. It does not flush the events of an epoch to disk, so a kill can lose them.

    Args:
      run: the run directory.
      batch: pair `(events, labels)` of the validation split, from which the latents and log-determinants are computed:
        events `[batch, *event_shape]` and integer labels `[batch]`. Models that are not class-conditional ignore the
        labels.
    """

    def __init__(self, run: RunDirectory, batch: tuple[tf.Tensor, tf.Tensor]):
        super().__init__()
        self._run, self._batch = run, batch
        self._decompose = tf.function(
            lambda events, labels: decompose_by_level(self.model, events, (0, 0), labels), autograph=False)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._train, self._validation = (
            tf.summary.create_file_writer(str(self._run.tensorboard / split)) for split in ("train", "validation"))

    def on_epoch_end(self, epoch: int, logs: dict[str, Any]) -> None:
        with validated_weights(self.model):
            with self._train.as_default(step=epoch + 1):
                _write_scalars({key: value for key, value in logs.items() if not key.startswith("val_")})
                if self._run.sample_path(epoch + 1).exists():
                    with PIL.Image.open(self._run.sample_path(epoch + 1)) as picture:
                        tf.summary.image("samples", np.asarray(picture.convert("RGB"))[None])
                variables, levels = self.model.trainable_variables, parameter_levels(self.model)
                _write_histograms({f"parameters/{level}/{index:03} {variable.path}": variable
                                   for index, (level, variable) in enumerate(zip(levels, variables, strict=True))})
            with self._validation.as_default(step=epoch + 1):
                _write_scalars({key[4:]: value for key, value in logs.items() if key.startswith("val_")})
                latents, log_dets = self._decompose(*self._batch)
                _write_histograms({f"latents/{name}": values for name, values in latents.items()})
                _write_scalars({f"log_det/{name}": tf.reduce_mean(values) for name, values in log_dets.items()})
        self._train.flush()
        self._validation.flush()

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._train.close()
        self._validation.close()


def _write_scalars(values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        tf.summary.scalar(name, value)


def _write_histograms(values: Mapping[str, Any]) -> None:
    """Writes one histogram per array, of at most 100,000 of its values. Values that are not finite are left out."""
    # `tf.summary.histogram` requires 240 bytes of memory per number and ten milliseconds per histogram.
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb  # Not at the top: tensorboard is optional.

    for name, array in values.items():
        numbers = keras.ops.convert_to_numpy(array).ravel()
        numbers = numbers[::1 + numbers.size // _MAX_HISTOGRAM_VALUES]
        tf.summary.experimental.write_raw_pb(histogram_pb(name, numbers[np.isfinite(numbers)]).SerializeToString())
