# SPDX-License-Identifier: Apache-2.0
"""A callback that writes TensorBoard events: `tensorboard --logdir=RUN/tensorboard`.

| directory | tags |
|---|---|
| `train`, `validation` | `bits_per_dim`, `loss` and all other logs of the epoch, such as `learning_rate` |
| `train` | `samples`, the picture in `samples/`; `parameters/NUMBER NAME`, histograms |
| `validation` | `latents/LEVEL`, histograms, and `log_det/LEVEL` in bits per dimension, both of one batch |

The step of an event is the epoch, counted from 1. A resumed run writes new event files next to the old ones. The events
of an epoch that is repeated after a kill are present twice.
"""

import importlib.util
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import PIL.Image
import tensorflow as tf

from trainers.evaluation.level_statistics import decompose_by_level
from trainers.optimization.averaged_weights import averaged_weights
from trainers.runs.run_directory import RunDirectory

_MAX_HISTOGRAM_VALUES = 100_000


def check_installed() -> None:
    """Checks that the package `tensorboard` is installed, which TensorFlow's summaries require.

    Raises:
      ValueError: if the package is missing.
    """
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError(
            "tensorboard: the package tensorboard is not installed; install it, or pass --notensorboard")


class TensorBoardEvents(keras.callbacks.Callback):
    """Writes TensorBoard events after every epoch, for the weights that validation uses.

    Keras's own TensorBoard callback creates summaries of every batch, even if it drops them. It does not flush the
    events of an epoch, so that a kill can lose them.

    Args:
      run: the run directory; its `samples/` already holds the picture of the epoch.
      batch: events and labels of the validation split. The latents and log-determinants are computed from them.
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
        with averaged_weights(self.model):
            with self._train.as_default(step=epoch + 1):
                _write_scalars({key: value for key, value in logs.items() if not key.startswith("val_")})
                with PIL.Image.open(self._run.sample_path(epoch + 1)) as picture:
                    tf.summary.image("samples", np.asarray(picture.convert("RGB"))[None])
                _write_histograms({f"parameters/{index:03} {variable.path}": variable  # paths alone are not unique
                                   for index, variable in enumerate(self.model.trainable_variables)})
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
    """Writes one histogram per array, of at most 100,000 evenly spaced entries, without those that are not finite."""
    # `tf.summary.histogram` would take 240 bytes of memory per number, and ten milliseconds per histogram.
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb  # not at the top: tensorboard is optional

    for name, array in values.items():
        numbers = keras.ops.convert_to_numpy(array).ravel()
        numbers = numbers[::1 + numbers.size // _MAX_HISTOGRAM_VALUES]
        tf.summary.experimental.write_raw_pb(histogram_pb(name, numbers[np.isfinite(numbers)]).SerializeToString())
