# SPDX-License-Identifier: Apache-2.0
"""`ReportedModel`: the trained model of a run with the samples, scores and latents that a report shows."""

import functools
import math
from collections.abc import Iterator

import numpy as np
import tensorflow as tf

import tfp_glow
from trainers import data as data_lib
from trainers.evaluation.level_statistics import decompose_by_level
from trainers.runs import class_labels
from trainers.runs.run_directory import RunDirectory

_MAX_EXAMPLES, _BATCH_SIZE = 1000, 100


class ReportedModel:
    """A trained model and its data set.

    Args:
      run: the run directory.
      model: the run's model.
      source: a phrase that names the source of the model's weights.
      data: the data set that the model was trained on.
    """

    def __init__(self, run: RunDirectory, model: tfp_glow.FlowModel, source: str,
                 data: data_lib.ImageData | data_lib.VectorData):
        self.config, self.history = run.config(), run.history()
        self.model, self.source, self.data = model, source, data
        self.num_levels, self.seed = self.config["num_levels"], self.config["seed"]

    def examples(self, split: str, number: int = _MAX_EXAMPLES) -> tuple[np.ndarray, np.ndarray]:
        """Returns events and labels of up to `number` examples of a split: a random choice, the same for every call."""
        batches = data_lib.dataset(
            self.data, split, min(number, self.data.num_examples(split)), shuffle=True, seed=self.seed,
            num_bits=self.config["num_bits"])
        events, labels = next(iter(batches))
        return events.numpy(), labels.numpy()

    @functools.cached_property
    def bits_per_dim(self) -> dict[str, np.ndarray]:
        """Bits per dimension of each example, by split."""
        return {split: np.concatenate([
            self.model.bits_per_dim(events, seed=index, condition=class_labels.given(self.model, labels)).numpy()
            for index, (events, labels) in self._batches(split)]) for split in data_lib.SPLITS}

    @functools.cached_property
    def latents_and_log_dets(self) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
        """Latents and log-determinants of the test examples by level, see `decompose_by_level`."""
        graph = tf.function(
            lambda events, labels, index: decompose_by_level(self.model, events, (self.seed, index), labels),
            autograph=False, reduce_retracing=True)
        results = [graph(events, labels, tf.constant(index)) for index, (events, labels) in self._batches("test")]
        latents, log_dets = ({name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}
                             for batches in zip(*results, strict=True))
        return latents, log_dets

    def sample(self, number: int, temperature: float = 1.0) -> np.ndarray:
        """Draws samples, which cycle through the classes if the model is class-conditional."""
        return self.model.sample(number, temperature=temperature, seed=self.seed,
                                 condition=class_labels.in_turn(self.model, number)).numpy()

    def to_nats(self, bits_per_dim: float) -> float:
        """Converts bits per dimension to nats per event."""
        return bits_per_dim * math.prod(self.model.event_shape) * math.log(2.0)

    def _batches(self, split: str) -> Iterator[tuple[int, tuple[tf.Tensor, tf.Tensor]]]:
        events, labels = self.examples(split)
        parts = (slice(start, start + _BATCH_SIZE) for start in range(0, len(events), _BATCH_SIZE))
        return enumerate((tf.constant(events[part]), tf.constant(labels[part])) for part in parts)
