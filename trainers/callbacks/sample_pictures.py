# SPDX-License-Identifier: Apache-2.0
"""A callback that writes a picture of samples of the model after each epoch."""

import warnings
from typing import Any

import keras

from ..optimization.averaged_weights import validated_weights
from ..reporting import png_files
from ..runs import class_labels
from ..runs.run_directory import RunDirectory


class SamplePictures(keras.callbacks.Callback):
    """Writes a picture of samples after each epoch: `samples/epoch_0001.png` after the first epoch, and so on.

    A picture shows 64 images, or a plot of 2,000 vectors. The samples of a class-conditional model cycle through the
    classes. The samples are drawn with the weights of the validation: the moving average if the optimizer keeps one. If
    a sample is not finite, there is a warning and no picture.

    Args:
      run: the run directory.
      num_levels: int, number of gray levels of the training images. None for vectors.
      temperature: float, sampling temperature: it scales the deviation of the latents from their mean.
      seed: int, random seed of the samples, the same for all epochs.
    """

    def __init__(self, run: RunDirectory, num_levels: int | None, temperature: float, seed: int):
        super().__init__()
        self._run, self._num_levels = run, num_levels
        self._number = 64 if num_levels else 2000
        self._temperature, self._seed = temperature, seed

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        try:
            with validated_weights(self.model):
                events = self.model.sample(self._number, temperature=self._temperature, seed=self._seed,
                                           condition=class_labels.in_turn(self.model, self._number))
        except ValueError as error:  # The flow overflowed. Later epochs may mend it, so training goes on.
            warnings.warn(f"There is no picture of samples after epoch {epoch + 1}. {error}", stacklevel=2)
            return
        columns = class_labels.columns(self.model, self._number)
        png_files.save_events(events, self._num_levels, self._run.sample_path(epoch + 1), columns)
