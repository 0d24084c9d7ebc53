# SPDX-License-Identifier: Apache-2.0
"""`ReportedModel`: a trained model and its data set, with the samples, scores and latents that a report shows."""

import functools
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

import tfp_glow

from .. import data as data_lib
from ..evaluation import scores
from ..evaluation.level_statistics import decompose_by_level
from ..runs import class_labels
from ..runs.run_directory import RunDirectory

_MAX_EXAMPLES, _BATCH_SIZE = 1000, 100


class ReportedModel:
    """Computes the samples, scores and latents of a trained model that a report shows.

    Args:
      run: the run directory of the training.
      model: the trained `tfp_glow.FlowModel`.
      source: str, a phrase that names the source of the weights, such as `"model.keras, epoch 3 of 5"`.
      data: the data set of the training, an `ImageData` or a `VectorData`.

    Attributes:
      model: the argument `model`.
      source: the argument `source`.
      data: the argument `data`.
      config: configuration of the run, a dict.
      history: list of one dict per epoch, with values such as `bits_per_dim` and `seconds`.
      num_levels: int, number of gray levels of the images that the model returns. None for vectors.
      seed: int, random seed of the run. It also determines the random choices of the report.
    """

    def __init__(self, run: RunDirectory, model: tfp_glow.FlowModel, source: str,
                 data: data_lib.ImageData | data_lib.VectorData):
        self.config, self.history = run.config(), run.history()
        self.model, self.source, self.data = model, source, data
        self.num_levels, self.seed = self.config["num_levels"], self.config["seed"]

    def examples(self, split: str, number: int = _MAX_EXAMPLES) -> tuple[np.ndarray, np.ndarray]:
        """Returns randomly chosen examples of a split. The choice is the same at each call.

        Args:
          split: `"train"`, `"validation"` or `"test"`.
          number: int, number of examples. A split with fewer examples is returned completely. Default 1000.

        Returns:
          A pair `(events, labels)`: uint8 images `[number, height, width, channels]` or float32 vectors
          `[number, size]`, and int64 labels `[number]`.
        """
        batches = data_lib.dataset(
            self.data, split, min(number, self.data.num_examples(split)), shuffle=True, seed=self.seed,
            num_bits=self.config["num_bits"])
        events, labels = next(iter(batches))
        return events.numpy(), labels.numpy()

    @functools.cached_property
    def bits_per_dim(self) -> dict[str, np.ndarray]:
        """Bits per dimension of up to 1000 examples per split: a dict from the split to a float array `[number]`.

        The noise is that of `trainers.evaluate`. A split of up to 1000 examples is in stored order, so that the mean is
        the number that `trainers.evaluate` prints.
        """
        return {split: scores.bits_of_events(self.model, (
            (events, class_labels.condition_for(self.model, labels)) for events, labels in self._scored(split)))
            for split in data_lib.SPLITS}

    @functools.cached_property
    def latents_and_log_dets(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Latents and log-determinants of the test examples of `bits_per_dim`, with their noise, by level of the flow.

        It is a pair `(latents, log_dets)` of dicts, as `decompose_by_level` returns. The keys are names of levels. The
        values are float arrays: latents `[number, size]` and log-determinants `[number]` in bits per dimension.
        """
        graph = tf.function(
            lambda events, labels, noise: decompose_by_level(self.model, events, (0, 0), labels, noise),
            autograph=False, reduce_retracing=True)
        generator = np.random.default_rng(0)
        results = [graph(events, labels, scores.noise_of(generator, events)) for events, labels in self._scored("test")]
        latents, log_dets = ({name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
                             for batches in zip(*results, strict=True))
        return latents, log_dets

    def sample(self, number: int, temperature: float = 1.0) -> np.ndarray:
        """Draws samples. For a class-conditional model, the labels of the samples are 0, 1, 2, ... in turn.

        Args:
          number: int, number of samples.
          temperature: float, factor on the deviation of the latents from their mean. Default 1.0.

        Returns:
          Integer images `[number, height, width, channels]` or float vectors `[number, size]`. They are the same at
          each call.
        """
        return self.model.sample(number, temperature=temperature, seed=self.seed,
                                 condition=class_labels.in_turn(self.model, number)).numpy()

    def to_nats(self, bits_per_dim: float) -> float:
        """Converts bits per dimension of an event to nats per event.

        Args:
          bits_per_dim: float, bits per dimension.

        Returns:
          `bits_per_dim * D * log(2)` for events of `D` values, a float.
        """
        return bits_per_dim * math.prod(self.model.event_shape) * math.log(2.0)

    def _scored(self, split: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Yields batches of events and labels: all examples of a small split, or random ones of a large split."""
        number = self.data.num_examples(split)
        if number <= _MAX_EXAMPLES:
            (events, labels), = data_lib.dataset(
                self.data, split, number, shuffle=False, num_bits=self.config["num_bits"]).as_numpy_iterator()
        else:
            events, labels = self.examples(split)
        for start in range(0, len(events), _BATCH_SIZE):
            yield events[start:start + _BATCH_SIZE], labels[start:start + _BATCH_SIZE]
