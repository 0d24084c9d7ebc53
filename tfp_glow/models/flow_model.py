# SPDX-License-Identifier: Apache-2.0
"""`FlowModel`: a Keras model that trains a distribution by maximum likelihood."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_glow._checks import check_finite, check_int, check_num_bits, check_number
from tfp_glow._compat_keras import BuiltModel
from tfp_glow._tracking import Hidden, VariableList, WrappedVariables
from tfp_glow._types import Shape, TensorLike
from tfp_glow.bijectors import FlowBijector, Pixels, initialize
from tfp_glow.flows import config_from_dict, config_of, config_to_dict
from tfp_glow.models.classifier import LatentClassifier
from tfp_glow.models.dequantization import Dequantization
from tfp_glow.models.graph_functions import GraphFunctions
from tfp_glow.models.quantization import first_batch


@keras.saving.register_keras_serializable("tfp_glow")
class FlowModel(BuiltModel):
    """Trains a `tfd.Distribution` by maximum likelihood and computes its densities, latents and samples.

    `compile`, `fit` and `evaluate` are those of Keras, on arrays or on a `tf.data.Dataset` of events or
    `(event, label)` pairs. Labels are used only if `condition_spec` is not None: by flows with `num_classes`, and, then
    called contexts, by other distributions whose bijectors have a `context_shape`.

    **Integers and floats.** Integer input is treated as quantized: each value is a bin of width 1, and every step adds
    new uniform noise to it. Float input is treated as points.

    **Loss.** The loss is the mean of `-log p(x) / (D log 2)`, bits per dimension of an event of `D` numbers, plus the
    regularization losses of the weights and, with `weight_y`, the loss of a classifier. The metric `bits_per_dim`
    contains neither of the two.

    **Initialization.** Before its first step, `fit` sets the data-dependent parameters from the first batch, unless an
    earlier `fit`, `initialize` or loaded weights have set them.

    **Noise.** The noise depends on `seed` and on the step only. It depends neither on the number of replicas nor on
    when training was resumed. With a `dequantizer`, a distribution `q(u | x)` that is trained together with `p`, noise
    is drawn from `q`, and the bound `log p(x + u) - log q(u | x)` takes the place of `log p(x + u)`.

    Args:
      distribution: a `tfd.Distribution` over one tensor, without batch shape, such as `tfp_glow.glow(...)` returns. Its
        Keras variables and its plain `tf.Variable`s are trained.
      num_bits: bits of a pixel; samples and decoded latents are then integers in `[0, 2**num_bits)`. `"auto"` (the
        default) takes the number from the `Pixels` bijector of the distribution, if it has one. None means continuous
        data.
      seed: an int of at least 0, for the noise. Default: 0.
      name: name of the model.
      weight_y: weight of the classifier's cross-entropy in the loss, in bits per event, for `tfp_glow.glow` with
        `num_classes`. The metric `accuracy` is the share of events that the classifier classifies correctly. 0 (the
        default) means no classifier.
      dequantizer: the distribution of the noise on integers, such as `tfp_glow.dequantizer(...)` returns. None (the
        default) means uniform noise.

    Raises:
      ValueError: if `distribution` is no distribution over one tensor with a static event shape and no batch shape, or
        another argument is out of range.

    Example:

    >>> model = tfp_glow.FlowModel(tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=2, width=16))
    >>> model.compile(keras.optimizers.Adam(1e-3))
    >>> images = np.random.randint(0, 256, (64, 8, 8, 1)).astype("uint8")
    >>> history = model.fit(images, batch_size=32, verbose=0)
    >>> model.sample(4).shape
    TensorShape([4, 8, 8, 1])
    """

    def __init__(self, distribution: tfd.Distribution, num_bits: int | str | None = "auto", seed: int = 0,
                 name: str = "flow_model", weight_y: float = 0.0, dequantizer: tfd.Distribution | None = None):
        _check_distribution(distribution)
        super().__init__(name=name, dtype=distribution.dtype.name)
        self._hidden = Hidden((distribution, dequantizer))
        self._seed = check_int("seed", seed, minimum=0)
        self._weight_y = check_number("weight_y", weight_y, "not be negative", lambda value: value >= 0.0)
        if num_bits == "auto":
            num_bits = next((m.num_bits for m in distribution.submodules if isinstance(m, Pixels)), None)
        self._num_bits = None if num_bits is None else check_num_bits(num_bits)
        self._functions = GraphFunctions(distribution, self._num_bits, Dequantization(distribution, dequantizer))
        self._collect_variables()
        self._bits_metric = keras.metrics.Mean(name="bits_per_dim")
        self.classifier = LatentClassifier(distribution) if weight_y else None
        if weight_y:
            self._accuracy_metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self.built = True

    def _collect_variables(self) -> None:
        """Makes all variables of the distributions variables of this Keras model."""
        layers = dict.fromkeys(layer for flow in self._flow_bijectors for layer in flow.keras_layers)
        for index, layer in enumerate(layers):
            setattr(self, f"flow_{index}", layer)
        self.saved_variables = VariableList(v for layer in layers for v in layer.variables)
        known = {id(v.value) for layer in layers for v in layer.variables}
        plain = [v for part in self._distributions for v in part.variables if id(v) not in known]
        if plain:
            self.plain_variables = WrappedVariables(plain, name="plain_variables", dtype=self.dtype)

    # Properties.

    @property
    def distribution(self) -> tfd.Distribution:
        """The distribution that is trained."""
        return self._hidden.value[0]

    @property
    def dequantizer(self) -> tfd.Distribution | None:
        """The distribution of the noise on integers, or None for uniform noise."""
        return self._hidden.value[1]

    @property
    def event_shape(self) -> Shape:
        """Shape of one event, a tuple of ints."""
        return tuple(self.distribution.event_shape)

    @property
    def latent_shape(self) -> Shape:
        """Shape of the latents of one event, a tuple of ints.

        Raises:
          ValueError: if the distribution has no bijector.
        """
        return self.functions.latent_shape

    @property
    def num_bits(self) -> int | None:
        """Bits of a pixel, or None for continuous data."""
        return self._num_bits

    @property
    def functions(self) -> GraphFunctions:
        """The graph functions that the methods of this model call."""
        return self._functions

    @property
    def condition_spec(self) -> tf.TensorSpec | None:
        """A `tf.TensorSpec` of a batch of conditions, `labels` or `context`; None if events have no condition."""
        return self.functions.condition.spec

    @property
    def is_initialized(self) -> bool:
        """Whether all data-dependent parameters are set."""
        return all(flow.is_initialized for flow in self._flow_bijectors)

    @property
    def _distributions(self) -> list[tfd.Distribution]:
        return [part for part in self._hidden.value if part is not None]

    @property
    def _flow_bijectors(self) -> list[FlowBijector]:
        return [m for part in self._distributions for m in part.submodules if isinstance(m, FlowBijector)]

    # Densities, latents and samples. If `condition_spec` is not None, each of these methods requires `condition`.

    def log_prob(self, x: TensorLike, seed: int = 0, condition: TensorLike | None = None,
                 noise: TensorLike | None = None) -> tf.Tensor:
        """Computes the log-density of events, in nats.

        Args:
          x: events, `[..., *event_shape]`. Floats are points. Integers are bins, to which uniform noise is added.
          seed: an int that determines the noise. Default: 0.
          condition: labels `[...]`, integers, or contexts `[..., *context_shape]`, whose batch shape broadcasts to that
            of the events. Required if `condition_spec` is not None.
          noise: the noise itself, floats in [0, 1) of the shape of `x`, in place of `seed`. Default: None.

        Returns:
          A float tensor of the batch shape. For integers it is a bound, of the density at `x` plus noise.

        Raises:
          ValueError: if `x` does not end in `event_shape` or is not finite, or if `condition` or `noise` does not fit.
        """
        x, rank = self._checked("x", x), len(self.event_shape)
        if noise is None:
            seed = tf.constant(seed, tf.int32)
            return self._over_batch(self.functions.log_prob, x, rank, seed, condition=condition)
        noise = self._checked("noise", noise)
        if x.dtype.is_floating or noise.shape != x.shape:
            raise ValueError("Argument `noise` must have the shape of `x`, and `x` must be integers; received noise of "
                             f"shape {noise.shape} for `x` of shape {x.shape} and dtype {x.dtype.name}.")
        noise = tf.reshape(noise, (-1, *self.event_shape))
        return self._over_batch(self.functions.log_prob_with_noise, x, rank, noise, condition=condition)

    def bits_per_dim(self, x: TensorLike, seed: int = 0, condition: TensorLike | None = None) -> tf.Tensor:
        """Computes `-log_prob(x) / (D log 2)`, the bits per dimension of events.

        Args:
          x: events, as for `log_prob`.
          seed: an int that determines the noise on integers. Default: 0.
          condition: labels or contexts, as for `log_prob`.

        Returns:
          A float tensor of the batch shape.

        Raises:
          ValueError: as `log_prob`.
        """
        return self._over_batch(self.functions.bits_per_dim, self._checked("x", x), len(self.event_shape),
                                tf.constant(seed, tf.int32), condition=condition)

    def importance_weighted_bits(self, x: TensorLike, num_samples: int = 50, seed: int = 0,
                                 condition: TensorLike | None = None) -> tf.Tensor:
        """Computes `-log2(mean_k p(x + u_k) / q(u_k | x)) / D` over draws `u_k` of the noise, a tighter bound.

        With one draw it equals `bits_per_dim` of the same seed. Its mean falls with the number of draws, towards
        `-log2 P(x) / D`, where `P(x)` is the integral of the density over the bin. The draws are evaluated one after
        the other, so memory does not grow with their number.

        Args:
          x: events, `[..., *event_shape]`, integers.
          num_samples: number of draws, an int of at least 1. Default: 50.
          seed: an int that determines the noise. Default: 0.
          condition: labels or contexts, as for `log_prob`.

        Returns:
          A float tensor of the batch shape.

        Raises:
          ValueError: as `log_prob`, or if `x` does not hold integers or `num_samples` is not an int of at least 1.

        References:
          Burda, Grosse and Salakhutdinov, *Importance weighted autoencoders*, 2016, section 3.
        """
        x = self._checked("x", x)
        if x.dtype.is_floating:
            raise ValueError(f"Argument `x` must be integers, because noise is added; received {x.dtype.name}.")
        number = tf.constant(check_int("num_samples", num_samples), tf.int32)
        return self.functions.to_bits(self._over_batch(
            self.functions.importance_weighted, x, len(self.event_shape), number, tf.constant(seed, tf.int32),
            condition=condition))

    def encode(self, x: TensorLike, condition: TensorLike | None = None) -> tf.Tensor:
        """Computes the latents of events: the `inverse` direction of the flow.

        Args:
          x: events, `[..., *event_shape]`. Integers are taken at the middle of their bins.
          condition: labels or contexts, as for `log_prob`.

        Returns:
          A float tensor `[..., *latent_shape]`; for images, `latent_shape` is `(H * W * C,)`.

        Raises:
          ValueError: as `log_prob`, or if the distribution has no bijector.
        """
        _ = self.latent_shape
        return self._over_batch(self.functions.encode, self._checked("x", x), len(self.event_shape),
                                condition=condition)

    def decode(self, latents: TensorLike, condition: TensorLike | None = None) -> tf.Tensor:
        """Computes the events of latents: the `forward` direction of the flow.

        Args:
          latents: floats `[..., *latent_shape]`.
          condition: labels or contexts, as for `log_prob`.

        Returns:
          A tensor `[..., *event_shape]`. If `num_bits` is set, it holds integers: uint8 up to 8 bits, uint16 above.
          Otherwise it holds floats.

        Raises:
          ValueError: if `latents` does not end in `latent_shape` or is not finite, `condition` does not fit, or the
            distribution has no bijector.
        """
        latents = self._checked("latents", latents, self.latent_shape)
        return self._over_batch(self.functions.decode, latents, len(self.latent_shape), condition=condition)

    def reconstruct(self, x: TensorLike, condition: TensorLike | None = None) -> tf.Tensor:
        """Computes `decode(encode(x))`, which equals images of integers up to the numerical error of the flow.

        Args:
          x: events, as for `encode`.
          condition: labels or contexts, as for `log_prob`.

        Returns:
          A tensor of the shape of `x`, with the dtype that `decode` returns.

        Raises:
          ValueError: as `encode`.
        """
        return self.decode(self.encode(x, condition), condition)

    def sample(self, n: int = 1, temperature: float = 1.0, seed: int | None = None,
               condition: TensorLike | None = None) -> tf.Tensor:
        """Draws events.

        Args:
          n: number of events, an int of at least 1. Default: 1.
          temperature: factor on the deviation of latents from their mean, at least 0. Below 1, samples are likelier and
            less diverse. Default: 1.
          seed: an int for reproducible samples, or None (the default).
          condition: one label or context for all samples, or `n` of them. Required if `condition_spec` is not None.

        Returns:
          A tensor `[n, *event_shape]`, with the dtype that `decode` returns.

        Raises:
          ValueError: if an argument is out of range, `condition` does not fit, or `temperature` is not 1 and the
            distribution has no bijector.
        """
        n = check_int("n", n)
        temperature = check_number("temperature", temperature, "not be negative", lambda value: value >= 0.0)
        if temperature != 1.0:
            _ = self.latent_shape
        seed = int(np.random.randint(2**31 - 1)) if seed is None else check_int("seed", seed, minimum=0)
        condition = self.functions.condition.of_batch(condition, (n,))
        return self.functions.sample(
            tf.constant(n), tf.constant(temperature, self.distribution.dtype), tf.constant(seed), *condition)

    def _checked(self, argument: str, value: TensorLike, shape: Shape | None = None) -> tf.Tensor:
        shape = self.event_shape if shape is None else shape
        value = tf.convert_to_tensor(value)
        rank = len(shape)
        if value.shape.rank is None or value.shape.rank < rank or tuple(value.shape[-rank:] if rank else ()) != shape:
            raise ValueError(f"Argument `{argument}` must have a shape that ends in {shape}; received {value.shape}.")
        if value.dtype.is_floating:
            value = tf.cast(value, self.distribution.dtype)
        if tf.executing_eagerly():
            check_finite(argument, value)
        return value

    def _over_batch(self, function: Any, value: tf.Tensor, rank: int, *arguments: Any,
                    condition: TensorLike | None = None) -> tf.Tensor:
        """Calls a function of `[batch, *event]` on events of a rank with any batch shape."""
        split = value.shape.rank - rank
        condition = self.functions.condition.of_batch(condition, tuple(value.shape[:split]))
        result = function(tf.reshape(value, (-1, *value.shape[split:])), *arguments, *condition)
        return tf.reshape(result, (*value.shape[:split], *result.shape[1:]))

    # Training.

    def compile(self, optimizer: Any = "adamax", *, jit_compile: bool = False, **kwargs: Any) -> None:
        """Configures training as Keras's `compile` does, without a loss.

        Args:
          optimizer: a Keras optimizer or its name. Default: `"adamax"`.
          jit_compile: whether XLA compiles the steps. Default: False, as TensorFlow's kernels are faster on CPUs.
          **kwargs: further arguments of Keras's `compile`.
        """
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles the model as its saved `get_compile_config` describes; Keras calls it for a loaded model."""
        self.compile(**keras.saving.deserialize_keras_object(config))

    def initialize(self, batch: TensorLike, condition: TensorLike | None = None) -> None:
        """Sets the data-dependent parameters from a batch of events. Parameters that are already set stay unchanged.

        Args:
          batch: events, `[batch, *event_shape]`.
          condition: their labels or contexts. Required if `condition_spec` is not None.

        Raises:
          ValueError: if `batch` does not end in `event_shape` or is not finite, or `condition` does not fit.
        """
        batch = self._checked("batch", batch)
        given = self.functions.condition.of_batch(condition, (len(batch),))
        context = {"context": self.functions.condition.context(*given)} if given else {}
        points = self.functions.points(batch, (2 * self._seed, 0))
        initialize(self.distribution, points, **context)
        self.functions.dequantization.initialize(points)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains the model as Keras's `fit` does.

        If data-dependent parameters are not set, it first sets them from the first batch of `x`.

        Args:
          x: events: an array, a tensor, or a `tf.data.Dataset` of batches of events or of `(events, labels)`.
          y: labels or contexts, if `x` is an array and `condition_spec` is not None.
          *args: further arguments of Keras's `fit`.
          **kwargs: further arguments of Keras's `fit`.

        Returns:
          Keras's `History`.

        Raises:
          ValueError: if an array is not finite, or if labels or contexts are required and `y`, the dataset or
            `validation_data` has none or wrong ones.
        """
        check_finite("x", x)
        condition, validation = self.functions.condition, kwargs.get("validation_data")
        condition.check_data(x, y)
        if validation is not None:
            condition.check_data(*(validation[:2] if isinstance(validation, (tuple, list)) else [validation]),
                                 argument="validation_data")
        if not self.is_initialized:
            events, labels = first_batch(x, y)
            self.initialize(events, None if condition.spec is None else labels)
        with condition.named_errors():
            return super().fit(x, y, *args, **kwargs)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Computes loss and metrics as Keras's `evaluate` does.

        Args:
          x: events, as for `fit`.
          y: labels or contexts, as for `fit`.
          *args: further arguments of Keras's `evaluate`.
          **kwargs: further arguments of Keras's `evaluate`.

        Returns:
          The result of Keras's `evaluate`.

        Raises:
          ValueError: if labels or contexts are required and there are none or wrong ones.
        """
        self.functions.condition.check_data(x, y)
        with self.functions.condition.named_errors():
            return super().evaluate(x, y, *args, **kwargs)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Runs one training step; Keras calls it in `fit`."""
        return super().train_step(self._with_condition(data))

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Evaluates one batch; Keras calls it in `evaluate`."""
        return super().test_step(self._with_condition(data))

    def _with_condition(self, data: Any) -> Any:
        """Passes conditions to `call` together with the events."""
        if self.condition_spec is None:
            return data
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self.functions.condition.check_step(y)
        return (x, y), y, sample_weight

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Computes the log-density of each event of a batch, in nats, with new noise on integers.

        Args:
          x: events `[batch, *event_shape]`; if `condition_spec` is not None, the pair of events and conditions.
          training: whether the call is part of a training step.

        Returns:
          A float tensor `[batch]`; with a classifier, the pair of it and the logits of the classes.

        Raises:
          ValueError: if `condition_spec` is not None and `x` is no pair.
        """
        condition: list[Any] = []
        if self.condition_spec is not None:
            if not isinstance(x, (tuple, list)) or len(x) != 2:
                raise ValueError(f"Argument `x` must be a pair of events and {self.condition_spec.name}; "
                                 f"received {x!r}.")
            x, *condition = x
        if training and getattr(self, "optimizer", None) is not None:
            seed = (2 * self._seed, self.optimizer.iterations)
        else:  # The number of events that were evaluated so far; each replica counts its own.
            seed = (2 * self._seed + 1, self._bits_metric.count * _num_replicas())
        points, log_q = self.functions.dequantization(x, seed)
        keywords = self.functions.condition.keywords(*condition)
        if self.classifier is None:
            return self.distribution.log_prob(points, **keywords) - log_q
        context = keywords["bijector_kwargs"]
        latents = self.distribution.bijector.inverse(points, **context)  # `log_prob` shares this pass while it is held.
        return self.distribution.log_prob(points, **keywords) - log_q, self.classifier(latents, **context)

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> tf.Tensor:
        """Computes mean bits per dimension plus regularization, divided by the number of replicas as Keras expects."""
        log_prob, logits = (y_pred, None) if self.classifier is None else y_pred
        bits = self.functions.to_bits(log_prob)
        if self.classifier is not None:
            bits += self._weight_y * self.classifier.bits(y, logits)
        if sample_weight is not None:
            bits *= tf.cast(sample_weight, bits.dtype)
        size = tf.cast(tf.size(bits), bits.dtype)  # 0 if the last batch has fewer events than there are replicas.
        return (tf.math.divide_no_nan(tf.reduce_sum(bits), size) + sum(self.losses)) / _num_replicas()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Updates `bits_per_dim`, and `accuracy` if there is a classifier, and returns all metrics."""
        log_prob, logits = (y_pred, None) if self.classifier is None else y_pred
        self._bits_metric.update_state(self.functions.to_bits(log_prob), sample_weight)
        if logits is not None:
            self._accuracy_metric.update_state(y, logits, sample_weight)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns all metrics. Among several workers each is a vector of one number, as Keras averages over an axis."""
        results = super().get_metrics_result()
        if tf.distribute.in_cross_replica_context() or not _has_several_workers():
            return results
        return {name: tf.reshape(value, (1,)) for name, value in results.items()}

    # Saving.

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the model as Keras's `save` does. A model that cannot be saved leaves an existing file unchanged.

        Raises:
          ValueError: as `get_config`.
        """
        self.get_config()
        super().save(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments that `from_config` requires.

        Raises:
          ValueError: if no registered flow built the distribution or the dequantizer.
        """
        parts = {"distribution": self.distribution, "dequantizer": self.dequantizer}
        configs = {name: config_of(part) for name, part in parts.items() if part is not None}
        for name in [name for name, config in configs.items() if config is None]:
            raise ValueError("A model can be saved whole only if a flow of this package, or a function that "
                             "`tfp_glow.flows.register_flow` decorates, built its distribution. Otherwise save the "
                             "weights (`save_weights`), build the model again and load them. The "
                             f"{name} of this model is {parts[name]!r}.")
        saved = {name: config_to_dict(config) for name, config in configs.items() if config is not None}
        return {**saved, "num_bits": self._num_bits, "seed": self._seed, "name": self.name, "weight_y": self._weight_y}

    @classmethod
    def from_config(cls, config: Mapping[str, Any], custom_objects: Mapping[str, Any] | None = None) -> "FlowModel":
        """Builds the model of a config that `get_config` returned, with new weights."""
        parts = ("distribution", "dequantizer")
        return cls(**{**config, **{p: config_from_dict(config[p]).build() for p in parts if config.get(p)}})


def _check_distribution(distribution: Any) -> None:
    if not isinstance(distribution, tfd.Distribution) or tf.nest.is_nested(distribution.dtype):
        raise ValueError("Argument `distribution` must be a tfd.Distribution over one tensor; "
                         f"received {distribution!r}.")
    if distribution.batch_shape.rank != 0 or not distribution.event_shape.is_fully_defined():
        raise ValueError("Argument `distribution` must have no batch shape and a static event shape; received "
                         f"batch shape {distribution.batch_shape}, event shape {distribution.event_shape}.")


def _num_replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync


def _has_several_workers() -> bool:
    strategy = tf.distribute.get_strategy()
    return (isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
            and strategy.num_replicas_in_sync > len(strategy.extended.worker_devices))
