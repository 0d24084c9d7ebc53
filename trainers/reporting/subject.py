# SPDX-License-Identifier: Apache-2.0
"""What a report is about: a trained model, and some examples of its data that it is asked about."""

import functools
import math

import numpy as np
import tensorflow as tf

from trainers.runs import class_labels
from trainers import data as data_lib
from trainers.evaluation.level_statistics import by_level

_MOST, _BATCH = 1000, 100  # examples of a split that are asked about, and how many at once


class Subject:
    """A trained model beside its data.

    Args:
      run: a `RunDir`.
      model: its `FlowModel`.
      source: where the model's weights are from, in words.
      data: the `ImageData` or `VectorData` it was trained on.
    """

    def __init__(self, run, model, source, data):
        self.config, self.history = run.config(), run.history()
        self.model, self.source, self.data = model, source, data
        self.num_levels, self.seed = self.config["num_levels"], self.config["seed"]

    def examples(self, split, number=_MOST):
        """Up to so many examples of a split, chosen by chance but always the same: `(events, labels)`, arrays."""
        batches = data_lib.dataset(
            self.data, split, min(number, self.data.num_examples(split)), shuffle=True, seed=self.seed,
            num_bits=self.config["num_bits"])
        return tuple(part.numpy() for part in next(iter(batches)))

    @functools.cached_property
    def bits(self):
        """Bits per dimension of each of `examples`: a dict of arrays by split."""
        return {split: np.concatenate([
            self.model.bits_per_dim(events, seed=index, condition=class_labels.given(self.model, labels)).numpy()
            for index, (events, labels) in self._batches(split)]) for split in data_lib.SPLITS}

    @functools.cached_property
    def by_level(self):
        """Latents and log-dets, see `levels.by_level`, of `examples` of the test split: two dicts of arrays."""
        graph = tf.function(lambda events, labels, index: by_level(self.model, events, (self.seed, index), labels),
                            autograph=False, reduce_retracing=True)
        found = [graph(events, labels, tf.constant(index)) for index, (events, labels) in self._batches("test")]
        return tuple({name: np.concatenate([values[name] for values in dicts]) for name in dicts[0]}
                     for dicts in zip(*found, strict=True))

    def samples(self, number, temperature=1.0):
        """Samples, an array; of a class-conditional model the classes in turn."""
        return self.model.sample(number, temperature=temperature, seed=self.seed,
                                 condition=class_labels.in_turn(self.model, number)).numpy()

    def nats(self, bits_per_dim):
        """Nats an event of bits per dimension."""
        return bits_per_dim * math.prod(self.model.event_shape) * math.log(2.0)

    def _batches(self, split):
        events, labels = self.examples(split)
        return enumerate((tf.constant(events[start:start + _BATCH]), tf.constant(labels[start:start + _BATCH]))
                         for start in range(0, len(events), _BATCH))
