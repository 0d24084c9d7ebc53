# SPDX-License-Identifier: Apache-2.0
"""`FlowModel`: a Keras model that trains a distribution by maximum likelihood."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow._tracking import AdoptedVariables, VariableList
from tfp_glow.bijectors import FlowBijector, Pixels
from tfp_glow._checks import check_int, check_number
from tfp_glow.models.classifier import LatentClassifier
from tfp_glow.models.dequantization import Dequantization
from tfp_glow.flows import config_from_dict, config_of, config_to_dict
from tfp_glow.models.graph_functions import FlowFunctions
from tfp_glow.queries import FlowQueries
from tfp_glow.training import FlowTraining

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tfp_glow")
class FlowModel(FlowTraining, FlowQueries, keras.Model):
    """Trains a `tfd.Distribution` by maximum likelihood, and gives its densities, latents and samples.

    `compile`, `fit` and `evaluate` are Keras's, on arrays or a `tf.data.Dataset` of events or `(event, label)` pairs;
    labels are used where `condition_spec` is not None: by flows with `num_classes`, and, there called contexts, by
    distributions of your own whose bijectors have a `context_shape`.

    Whole numbers stand for bins of width 1 and get uniform noise on every step; floats are points. The loss
    is the mean of `-log p(x) / (D log 2)`, bits per dimension of an event of `D` numbers, plus the regularisers of the
    weights and a classifier's loss, if there are any; the metric `bits_per_dim` is without them. Before the first step
    `fit` sets data-dependent parameters from the first batch, unless they are set already (in an earlier `fit`, by
    `initialize`, or by loading weights).

    Noise depends on `seed` and the step alone: neither on the number of replicas nor on when training was resumed. With
    a `dequantizer`, a distribution `q(u | x)` that is trained together with `p`, noise is of that distribution, and for
    whole numbers the bound `log p(x + u) - log q(u | x)` is in the place of `log p(x + u)`.

    Args:
      distribution: a `tfd.Distribution` over one tensor, without batch shape, such as `tfp_glow.glow(...)` returns. Its
        Keras variables and its plain `tf.Variable`s are trained.
      num_bits: bits of a pixel; samples and decoded latents are then whole numbers in `[0, 2**num_bits)`. `"auto"`
        takes it from the distribution's `Pixels` bijector, if it has one; None means that data is continuous.
      seed: an int, for the noise.
      name: name of the model.
      weight_y: for `tfp_glow.glow` with `num_classes`: a number by which the loss is more, times the cross-entropy of a
        classifier in bits of an event (see `tfp_glow.classifier`); the metric `accuracy` is its share of right guesses.
        0 for no classifier.
      dequantizer: the distribution of the noise on whole numbers, such as `tfp_glow.dequantizer(...)` returns; None for
        uniform noise.

    Raises:
      ValueError: if an argument is not as said.

    >>> model = tfp_glow.FlowModel(tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=2, width=16))
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> images = np.random.randint(0, 256, (64, 8, 8, 1)).astype("uint8")
    >>> history = model.fit(images, batch_size=32, verbose=0)
    >>> model.sample(4).shape
    TensorShape([4, 8, 8, 1])
    """

    def __init__(self, distribution, num_bits="auto", seed=0, name="flow_model", weight_y=0.0, dequantizer=None):
        if not isinstance(distribution, tfd.Distribution) or tf.nest.is_nested(distribution.dtype):
            raise ValueError("Argument `distribution` must be a tfd.Distribution over one tensor; "
                             f"received {distribution!r}.")
        if distribution.batch_shape.rank != 0 or not distribution.event_shape.is_fully_defined():
            raise ValueError("Argument `distribution` must have no batch shape and a static event shape; received "
                             f"batch shape {distribution.batch_shape}, event shape {distribution.event_shape}.")
        super().__init__(name=name, dtype=distribution.dtype.name)
        self._hidden = _Hidden(distribution, dequantizer)
        self._seed = check_int("seed", seed, minimum=0)
        dequantization = Dequantization(distribution, dequantizer)
        whole = [distribution] if dequantizer is None else [distribution, dequantizer]
        flows = [m for flow in whole for m in flow.submodules if isinstance(m, FlowBijector)]
        pixels = [m for m in distribution.submodules if isinstance(m, Pixels)]
        self._num_bits = (pixels[0].num_bits if pixels else None) if num_bits == "auto" else num_bits
        if self._num_bits is not None and check_int("num_bits", self._num_bits) > 16:
            raise ValueError(f"Argument `num_bits` must be at most 16; received {num_bits}.")
        layers = dict.fromkeys(layer for flow in flows for layer in flow.keras_layers)
        for index, layer in enumerate(layers):
            setattr(self, f"flow_{index}", layer)  # TensorFlow's checkpoints follow attributes, not Keras's lists.
        self.saved_variables = VariableList(v for layer in layers for v in layer.variables)
        known = {id(v.value) for layer in layers for v in layer.variables}
        plain = [v for flow in whole for v in flow.variables if id(v) not in known]
        if plain:
            self.plain_variables = AdoptedVariables(plain, name="plain_variables", dtype=self.dtype)
        self._bits_metric = keras.metrics.Mean(name="bits_per_dim")
        self._functions = FlowFunctions(distribution, self._num_bits, dequantization)
        self._weight_y = check_number("weight_y", weight_y, "not be negative", lambda value: value >= 0.0)
        self.classifier = LatentClassifier(distribution) if weight_y else None
        if weight_y:
            self._accuracy_metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.built = True

    @property
    def distribution(self):
        """The distribution that is trained."""
        return self._hidden.distribution

    @property
    def dequantizer(self):
        """The distribution of the noise on whole numbers, or None for uniform noise."""
        return self._hidden.dequantizer

    @property
    def event_shape(self):
        """Shape of one event, a tuple."""
        return tuple(self.distribution.event_shape)

    @property
    def num_bits(self):
        """Bits of a pixel, or None for continuous data."""
        return self._num_bits

    @property
    def functions(self):
        """The graph functions behind the queries, a `FlowFunctions`."""
        return self._functions

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Private to Keras 3 (pinned): it would build the model from a batch of the data, which fails for batches spread
        # over workers. Everything here is built in the constructor and in `compile`.
        pass

    # Saving.

    def save(self, *args, **kwargs):
        """Keras's `save`; a model that cannot be saved whole leaves a file as it is, see `get_config`."""
        self.get_config()
        super().save(*args, **kwargs)

    def get_config(self):
        """What `from_config` needs; raises `ValueError` unless a registered config (any preset's) built the flow."""
        parts = {"distribution": self.distribution, "dequantizer": self.dequantizer}
        configs = {name: config_of(part) for name, part in parts.items() if part is not None}
        for name in (name for name, config in configs.items() if config is None):
            raise ValueError("Only models of this package's presets, or of a config that "
                             "`tfp_glow.flows.register_config` decorates, can be saved whole; save the weights "
                             "(`save_weights`) of a model of your own distribution, build it again and load them. This "
                             f"one's {name} is {parts[name]!r}.")
        return {**{name: config_to_dict(config) for name, config in configs.items()}, "num_bits": self._num_bits,
                "seed": self._seed, "name": self.name, "weight_y": self._weight_y}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Undoes `get_config`, with fresh weights."""
        parts = ("distribution", "dequantizer")
        return cls(**{**config, **{p: config_from_dict(config[p]).build() for p in parts if config.get(p)}})


class _Hidden:
    """Holds the distributions where Keras does not look: it finds the parameters as layers."""

    def __init__(self, distribution, dequantizer):
        self.distribution, self.dequantizer = distribution, dequantizer
