# SPDX-License-Identifier: Apache-2.0
"""The list of Keras callbacks of a training run, in the required order."""

from collections.abc import Sequence

import keras

from trainers.callbacks.averaged_weights import ValidateWithAveragedWeights
from trainers.callbacks.checkpoint_saving import SaveCheckpoint
from trainers.callbacks.history_file import HistoryFile
from trainers.callbacks.progress_metrics import ProgressMetrics
from trainers.callbacks.sample_pictures import SamplePictures
from trainers.optimization.nonfinite_steps import StopAfterSkippedSteps
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.run_directory import RunDirectory


def run_callbacks(
        run: RunDirectory, checkpoints: Checkpoints, batch_size: int, num_levels: int | None, temperature: float,
        seed: int, max_skipped: int, others: Sequence[keras.callbacks.Callback] = ()) -> list[keras.callbacks.Callback]:
    """Returns the callbacks that watch the training steps and write the files of the run directory.

    A worker that is not the chief writes no files. It gets only the callbacks that affect training and its logs.

    Args:
      run: the run directory.
      checkpoints: the checkpoints of the run.
      batch_size: number of examples per step, over all replicas.
      num_levels: number of gray levels of the data; None for vectors.
      temperature: sampling temperature of the sample pictures.
      seed: random seed of the sample pictures. Every epoch uses the same noise, so that its pictures are comparable.
      max_skipped: number of consecutive skipped steps after which training stops with an error.
      others: callbacks to run after the sample pictures and before the checkpoint; none by default.

    Returns:
      A list of callbacks in the order in which Keras must call them.
    """
    training = [
        StopAfterSkippedSteps(max_skipped, checkpoints),
        ProgressMetrics(batch_size),
        ValidateWithAveragedWeights(),
    ]
    if not run.writes:
        return training
    return [
        *training,
        HistoryFile(run),
        SamplePictures(run, num_levels, temperature, seed),
        *others,
        SaveCheckpoint(checkpoints),  # last: a resumed run repeats an epoch that has no checkpoint
    ]
