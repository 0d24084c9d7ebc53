# SPDX-License-Identifier: Apache-2.0
"""`run_callbacks`: the Keras callbacks of a training run in the required order."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from ..runs.checkpoints import Checkpoints
from ..runs.run_directory import RunDirectory
from .averaged_weights import ValidateWithAveragedWeights
from .checkpoint_saving import SaveCheckpoint
from .history_file import HistoryFile
from .progress_metrics import ProgressMetrics
from .sample_pictures import SamplePictures
from .skipped_steps import StopAfterSkippedSteps


def run_callbacks(
        run: RunDirectory, checkpoints: Checkpoints, batch_size: int, num_levels: int | None, temperature: float,
        seed: int, max_skipped: int, validation_data: tf.data.Dataset,
        others: Sequence[keras.callbacks.Callback] = ()) -> list[keras.callbacks.Callback]:
    """Returns the callbacks that compute logs, stop a failing run and write the files of the run directory.

    If `run.writes` is False, the list has no callbacks that write files.

    Args:
      run: the run directory.
      checkpoints: the checkpoints of the run.
      batch_size: int, number of examples per step over all replicas.
      num_levels: int, number of gray levels of the training images. None for vectors.
      temperature: float, sampling temperature of the pictures of samples: it scales the deviation of the latents from
        their mean.
      seed: int, random seed of the pictures of samples. It is the same after each epoch, so that the pictures are
        comparable.
      max_skipped: int, number of consecutive skipped steps at which training stops with an error.
      validation_data: the batches of the validation split, the argument `validation_data` of `fit`.
      others: callbacks that are called after the picture of samples is written and before the checkpoint is saved.
        Default: none.

    Returns:
      A list of callbacks in the order in which Keras must call them.
    """
    training = [
        StopAfterSkippedSteps(max_skipped, checkpoints),
        ValidateWithAveragedWeights(validation_data),
        ProgressMetrics(batch_size),
    ]
    if not run.writes:
        return training
    return [
        *training,
        HistoryFile(run),
        SamplePictures(run, num_levels, temperature, seed),
        *others,
        SaveCheckpoint(checkpoints),  # Last: if an earlier callback fails, a resumed run repeats the epoch.
    ]
