# SPDX-License-Identifier: Apache-2.0
"""A run's events for TensorBoard: `tensorboard --logdir=RUN/tensorboard`.

| run | tags |
|---|---|
| `train`, `validation` | `bits_per_dim`, `loss`, and whatever else is in the epoch's logs, such as `learning_rate` |
| `train` | `samples`, the picture in `samples/`; `parameters/NUMBER NAME`, histograms |
| `validation` | `latents/LEVEL`, histograms, and `log_det/LEVEL` in bits per dimension, both of one batch |

The step is the epoch, counted from 1. A run that goes on writes files of its own beside the old ones; the events of an
epoch that has to be done again are there twice then.
"""

import importlib.util

import keras
import numpy as np
import PIL.Image
import tensorflow as tf

from trainers.evaluation.level_statistics import by_level
from trainers.optimization.optimizers import averaged_weights

_MOST = 100_000


def check_installed():
    """Raises `ValueError` if the package is missing that TensorFlow's summaries come from."""
    if importlib.util.find_spec("tensorboard") is None:
        raise ValueError("tensorboard: the package tensorboard is not installed; install it, or give --notensorboard")


class RunEvents(keras.callbacks.Callback):
    """Writes a run's events after every epoch, of the weights that are validated.

    Keras's own callback makes summaries of every batch, even if only to drop them, and does not flush an epoch's, which
    a kill may lose then.

    Args:
      run: a `RunDir`, in whose `samples/` the epoch's picture is already.
      batch: events and labels of the validation split, whose latents and log-dets are to be shown.
    """

    def __init__(self, run, batch):
        super().__init__()
        self._run, self._batch = run, batch
        self._by_level = tf.function(
            lambda events, labels: by_level(self.model, events, (0, 0), labels), autograph=False)

    def on_train_begin(self, logs=None):
        self._train, self._validation = (
            tf.summary.create_file_writer(str(self._run.tensorboard / part)) for part in ("train", "validation"))

    def on_epoch_end(self, epoch, logs=None):
        with averaged_weights(self.model):
            with self._train.as_default(step=epoch + 1):
                _write_scalars({key: value for key, value in logs.items() if not key.startswith("val_")})
                with PIL.Image.open(self._run.sample_path(epoch + 1)) as picture:
                    tf.summary.image("samples", np.asarray(picture.convert("RGB"))[None])
                _write_histograms({f"parameters/{index:03} {variable.path}": variable  # names alone are not unique
                                   for index, variable in enumerate(self.model.trainable_variables)})
            with self._validation.as_default(step=epoch + 1):
                _write_scalars({key[4:]: value for key, value in logs.items() if key.startswith("val_")})
                latents, log_dets = self._by_level(*self._batch)
                _write_histograms({f"latents/{name}": values for name, values in latents.items()})
                _write_scalars({f"log_det/{name}": tf.reduce_mean(values) for name, values in log_dets.items()})
        self._train.flush()
        self._validation.flush()

    def on_train_end(self, logs=None):
        self._train.close()
        self._validation.close()


def _write_scalars(values):
    for name, value in values.items():
        tf.summary.scalar(name, value)


def _write_histograms(values):
    """Of up to 100,000 of the numbers in each, evenly chosen, that are finite."""
    # `tf.summary.histogram` would take 240 bytes of memory for each number, and ten milliseconds for each histogram.
    from tensorboard.plugins.histogram.summary_v2 import histogram_pb  # here, as one may do without the package

    for name, array in values.items():
        numbers = keras.ops.convert_to_numpy(array).ravel()
        numbers = numbers[::1 + numbers.size // _MOST]
        tf.summary.experimental.write_raw_pb(histogram_pb(name, numbers[np.isfinite(numbers)]).SerializeToString())
