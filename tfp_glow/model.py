# SPDX-License-Identifier: Apache-2.0
"""`FlowModel`: a Keras model that trains a distribution by maximum likelihood."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow.adopted import AdoptedVariables
from tfp_glow.bijectors import FlowBijector, Pixels, initialize
from tfp_glow.bijectors.checks import check_int
from tfp_glow.events import check_finite, first_batch
from tfp_glow.flows import PresetDistribution, config_from_dict, config_to_dict
from tfp_glow.functions import FlowFunctions
from tfp_glow.queries import FlowQueries

tfd = tfp.distributions


@keras.saving.register_keras_serializable("tfp_glow")
class FlowModel(FlowQueries, keras.Model):
    """Trains a `tfd.Distribution` by maximum likelihood, and gives its densities, latents and samples.

    `compile`, `fit` and `evaluate` are Keras's, on arrays or a `tf.data.Dataset` of events or `(event, label)` pairs;
    labels are not used. Whole numbers stand for bins of width 1 and get uniform noise on every step; floats are points.
    The loss is the mean of `-log p(x) / (D log 2)`, bits per dimension of an event of `D` numbers, plus the weights'
    regularisers; the metric `bits_per_dim` is without them. Before the first step `fit` sets data-dependent parameters
    from the first batch, unless they are set already (in an earlier `fit`, by `initialize`, or by loading weights).

    Noise depends on `seed` and the step alone: neither on the number of replicas nor on when training was resumed.

    Args:
      distribution: a `tfd.Distribution` over one tensor, without batch shape, such as `tfp_glow.glow(...)` returns. Its
        Keras variables and its plain `tf.Variable`s are trained.
      num_bits: bits of a pixel; samples and decoded latents are then whole numbers in `[0, 2**num_bits)`. `"auto"`
        takes it from the distribution's `Pixels` bijector, if it has one; None means that data is continuous.
      seed: an int, for the noise.
      name: name of the model.

    Raises:
      ValueError: if an argument is not as said.

    >>> model = tfp_glow.FlowModel(tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=2, width=16))
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> images = np.random.randint(0, 256, (64, 8, 8, 1)).astype("uint8")
    >>> history = model.fit(images, batch_size=32, verbose=0)
    >>> model.sample(4).shape
    TensorShape([4, 8, 8, 1])
    """

    def __init__(self, distribution, num_bits="auto", seed=0, name="flow_model"):
        if not isinstance(distribution, tfd.Distribution) or tf.nest.is_nested(distribution.dtype):
            raise ValueError("Argument `distribution` must be a tfd.Distribution over one tensor; "
                             f"received {distribution!r}.")
        if distribution.batch_shape.rank != 0 or not distribution.event_shape.is_fully_defined():
            raise ValueError("Argument `distribution` must have no batch shape and a static event shape; received "
                             f"batch shape {distribution.batch_shape}, event shape {distribution.event_shape}.")
        super().__init__(name=name, dtype=distribution.dtype.name)
        self._hidden = _Hidden(distribution)
        self._seed = check_int("seed", seed, minimum=0)
        flows = [m for m in distribution.submodules if isinstance(m, FlowBijector)]
        pixels = [m for m in distribution.submodules if isinstance(m, Pixels)]
        self._num_bits = (pixels[0].num_bits if pixels else None) if num_bits == "auto" else num_bits
        if self._num_bits is not None and check_int("num_bits", self._num_bits) > 16:
            raise ValueError(f"Argument `num_bits` must be at most 16; received {num_bits}.")
        layers = dict.fromkeys(layer for flow in flows for layer in flow.keras_layers)
        for index, layer in enumerate(layers):
            setattr(self, f"flow_{index}", layer)  # TensorFlow's checkpoints follow attributes, not Keras's lists.
        known = {id(v.value) for layer in layers for v in layer.variables}
        plain = [v for v in distribution.variables if id(v) not in known]
        if plain:
            self.plain_variables = AdoptedVariables(plain, name="plain_variables", dtype=self.dtype)
        self._bits_metric = keras.metrics.Mean(name="bits_per_dim")
        self._functions = FlowFunctions(distribution, self._num_bits)
        self.built = True

    @property
    def distribution(self):
        """The distribution that is trained."""
        return self._hidden.distribution

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

    # Training.

    def compile(self, optimizer="adamax", *, jit_compile=False, **kwargs):
        """Keras's `compile`, without a loss; XLA only on demand, as it is slower than TensorFlow's kernels on CPUs."""
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config):
        """Undoes Keras's `get_compile_config`, when a saved model is loaded."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def fit(self, x=None, *args, **kwargs):
        """Keras's `fit`; initialises data-dependent parameters from the first batch of `x`, if they are not set."""
        check_finite("x", x)
        if not self.is_initialized:
            self.initialize(first_batch(x))
        return super().fit(x, *args, **kwargs)

    @property
    def is_initialized(self):
        """Whether every data-dependent parameter is set."""
        flows = [m for m in self.distribution.submodules if isinstance(m, FlowBijector)]
        return all(flow.is_initialized for flow in flows)

    def initialize(self, batch):
        """Sets data-dependent parameters from a batch of events; those that are set already stay.

        Raises:
          ValueError: if `batch` does not hold events of `event_shape`, or is not finite.
        """
        batch = self._checked("batch", batch)
        initialize(self.distribution, self._functions.points(batch, (2 * self._seed, 0)))

    def call(self, x, training=None):
        """Log-density of every event of a batch, in nats, with fresh noise on whole numbers."""
        if training and getattr(self, "optimizer", None) is not None:
            seed = (2 * self._seed, self.optimizer.iterations)
        else:  # The number of events evaluated so far; each replica counts its own.
            seed = (2 * self._seed + 1, self._bits_metric.count * _num_replicas())
        return self.distribution.log_prob(self._functions.points(x, seed))

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """Mean bits per dimension plus regularisers, divided among replicas as Keras expects."""
        bits = self._functions.to_bits(y_pred)
        if sample_weight is not None:
            bits *= tf.cast(sample_weight, bits.dtype)
        size = tf.cast(tf.size(bits), bits.dtype)  # 0 where a last batch has fewer events than there are replicas.
        return (tf.math.divide_no_nan(tf.reduce_sum(bits), size) + sum(self.losses)) / _num_replicas()

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """Updates `bits_per_dim` and returns all metrics."""
        self._bits_metric.update_state(self._functions.to_bits(y_pred), sample_weight)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        # Private to Keras 3 (pinned): it would build the model from a batch of the data, which fails for batches spread
        # over workers. Everything here is built in the constructor and in `compile`.
        pass

    # Saving.

    def get_config(self):
        """What `from_config` needs; raises `ValueError` unless the distribution came from a preset such as `glow`."""
        if not isinstance(self.distribution, PresetDistribution):
            raise ValueError("Only models of this package's presets can be saved whole; save the weights "
                             "(`save_weights`) of a model of your own distribution, build it again and load them. This "
                             f"one's distribution is {self.distribution!r}.")
        return {"distribution": config_to_dict(self.distribution.config), "num_bits": self._num_bits,
                "seed": self._seed, "name": self.name}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """Undoes `get_config`, with fresh weights."""
        return cls(**{**config, "distribution": config_from_dict(config["distribution"]).build()})


def _num_replicas():
    return tf.distribute.get_strategy().num_replicas_in_sync


class _Hidden:
    """Holds the distribution where Keras does not look: it finds the parameters as layers."""

    def __init__(self, distribution):
        self.distribution = distribution
