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

    `compile`, `fit` and `evaluate` work as in Keras. They accept arrays, or a `tf.data.Dataset` of batches of events or
    of pairs `(events, conditions)`. Conditions are integer labels for a flow with `num_classes`, and contexts for other
    distributions whose bijectors have a `context_shape`. A distribution without `num_classes` and without
    `context_shape` ignores them.

    **Integers and floats.** Integer input is treated as quantized: each value is a bin of width 1, and each step adds
    new noise in [0, 1) to it. Float input gets no noise.

    **Loss.** The loss is the mean of `-log p(x) / (D log 2)`, where `D` is the number of values of an event `x`. These
    are bits per dimension. Regularization losses of the weights are added, and with `weight_y` the cross-entropy of a
    classifier. The metric `bits_per_dim` is the first term alone.

    **Initialization.** Before the first step, `fit` sets the data-dependent parameters from the first batch, unless
    `initialize`, an earlier `fit` or loaded weights have set them.

    **Noise.** The noise depends only on `seed` and on the number of the step. It depends neither on the number of
    replicas nor on interruptions of training. A `dequantizer` is a distribution `q(u | x)` of the noise `u` that `fit`
    trains together with `p`. The term `log p(x + u) - log q(u | x)` then replaces `log p(x + u)` in the loss.

    Args:
      distribution: a `tfd.Distribution` over one tensor with a static event shape and no batch shape, such as
        `tfp_glow.glow(...)` returns. The model trains its Keras variables and its `tf.Variable`s.
      num_bits: bits per channel value, an int from 1 to 16. Samples and decoded latents are then integers in
        `[0, 2**num_bits)`. None means continuous data: samples and decoded latents are floats. `"auto"` (the default)
        means the `num_bits` of the pixel bijector in the distribution, such as `tfp_glow.bijectors.AffinePixels`, or
        None if the distribution has no pixel bijector. Integer input is treated as quantized in either case.
      seed: an int of at least 0, for the noise. Default: 0.
      name: name of the model.
      weight_y: weight of the classifier's cross-entropy (bits per event) in the loss, a number of at least 0. A weight
        above 0 requires a `tfp_glow.glow` with `num_classes`. It adds a linear classifier of the latents, and the
        metric `accuracy`, the fraction in [0, 1] of correctly classified events. 0 (the default) means no classifier.
      dequantizer: the distribution `q(u | x)` of the noise on integers, such as `tfp_glow.dequantizer(...)` returns.
        None (the default) means uniform noise.

    Raises:
      ValueError: if `distribution` is not a `tfd.Distribution` over one tensor, or has a batch shape or no static event
        shape.
      ValueError: if `num_bits`, `seed` or `weight_y` is not as described above.
      ValueError: if `dequantizer` does not transform uniform noise by a `FlowBijector`, or has other shapes or another
        dtype than `distribution`.

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
        """The distribution of the noise on integers, or None, which means uniform noise."""
        return self._hidden.value[1]

    @property
    def event_shape(self) -> Shape:
        """Shape of one event, a tuple of ints."""
        return tuple(self.distribution.event_shape)

    @property
    def latent_shape(self) -> Shape:
        """Shape of the latents of one event, a tuple of ints.

        Raises:
          ValueError: if the distribution is not a `tfd.TransformedDistribution`.
        """
        return self.functions.latent_shape

    @property
    def num_bits(self) -> int | None:
        """Bits per channel value, an int from 1 to 16, or None for continuous data."""
        return self._num_bits

    @property
    def functions(self) -> GraphFunctions:
        """The `tf.function`s that the methods of this model call."""
        return self._functions

    @property
    def condition_spec(self) -> tf.TensorSpec | None:
        """A `tf.TensorSpec` of a batch of conditions, or None if the distribution has no conditions.

        It is int32 `[batch]` named `labels` for a flow with `num_classes`. For other distributions whose bijectors have
        a `context_shape`, it is `[batch, *context_shape]` named `context`.
        """
        return self.functions.condition.spec

    @property
    def is_initialized(self) -> bool:
        """True if all data-dependent parameters are set. `fit` then does not set them."""
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

        For floats `x` it is `log p(x)`. For integers `x` it is `log p(x + u) - log q(u | x)`, where `u` is noise of
        density `q` in [0, 1). Its mean over `u` is a lower bound of the log-probability of `x`. `log q` is 0 without a
        dequantizer.

        Args:
          x: events, floats or integers, `[..., *event_shape]`.
          seed: an int that determines the noise on integers. Default: 0.
          condition: integer labels `[...]` or contexts `[..., *context_shape]`. Their batch shape must broadcast to the
            batch shape of `x`. Required if `condition_spec` is not None, otherwise None (the default).
          noise: uniform noise, floats in [0, 1) of the shape of `x`, instead of noise from `seed`. It requires integers
            `x`. Default: None.

        Returns:
          A float tensor of the batch shape of `x`.

        Raises:
          ValueError: if `x` has a shape that does not end in `event_shape`, or is not finite.
          ValueError: if `condition` is required and None, is not required and given, or has a wrong type or shape.
          ValueError: if `noise` is not finite or not of the shape of `x`, or is given for floats `x`.
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
        """Computes bits per dimension, `-log_prob(x) / (D log 2)`, where `D` is the number of values of one event.

        Args:
          x: events, floats or integers, `[..., *event_shape]`.
          seed: an int that determines the noise on integers. Default: 0.
          condition: labels or contexts, as for `log_prob`.

        Returns:
          A float tensor of the batch shape of `x`.

        Raises:
          ValueError: if `log_prob(x, seed, condition)` raises it.
        """
        return self._over_batch(self.functions.bits_per_dim, self._checked("x", x), len(self.event_shape),
                                tf.constant(seed, tf.int32), condition=condition)

    def importance_weighted_bits(self, x: TensorLike, num_samples: int = 50, seed: int = 0,
                                 condition: TensorLike | None = None) -> tf.Tensor:
        """Computes bits per dimension of integers by importance weighting, a tighter bound than `bits_per_dim`.

        The result is `-log2(mean_k p(x + u_k) / q(u_k | x)) / D`. The `u_k` are draws of the noise, `q` is the density
        of the noise (1 for uniform noise), and `D` is the number of values of one event.

        For one draw it equals `bits_per_dim` with the same seed. Its expectation falls with the number of draws,
        towards `-log2 P(x) / D`, where `P(x)` is the integral of the density `p` over the bin of `x`. The draws are
        evaluated one after the other, so memory does not grow with their number.

        Args:
          x: integers, `[..., *event_shape]`.
          num_samples: number of draws, an int of at least 1. Default: 50.
          seed: an int that determines the noise. Default: 0.
          condition: labels or contexts, as for `log_prob`.

        Returns:
          A float tensor of the batch shape of `x`.

        Raises:
          ValueError: if `x` does not hold integers, or `num_samples` is not an int of at least 1.
          ValueError: if `log_prob(x, seed, condition)` raises it.

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
        """Computes the latents of events by the `inverse` pass of the flow.

        Args:
          x: events, floats or integers, `[..., *event_shape]`. The method adds 1/2 to integers, the middle of their
            bins, and no noise.
          condition: labels or contexts, as for `log_prob`.

        Returns:
          A float tensor `[..., *latent_shape]`. For the image flows of this package, `latent_shape` is
          `(height * width * channels,)`.

        Raises:
          ValueError: if `x` has a shape that does not end in `event_shape`, or is not finite.
          ValueError: if `condition` is required and None, is not required and given, or has a wrong type or shape.
          ValueError: if the distribution is not a `tfd.TransformedDistribution`.
        """
        _ = self.latent_shape
        return self._over_batch(self.functions.encode, self._checked("x", x), len(self.event_shape),
                                condition=condition)

    def decode(self, latents: TensorLike, condition: TensorLike | None = None) -> tf.Tensor:
        """Computes the events of latents by the `forward` pass of the flow.

        Args:
          latents: floats, `[..., *latent_shape]`.
          condition: labels or contexts, as for `log_prob`.

        Returns:
          A tensor `[..., *event_shape]`. If `num_bits` is not None, it holds integers: uint8 up to 8 bits, uint16
          above. Otherwise it holds floats.

        Raises:
          ValueError: if `latents` has a shape that does not end in `latent_shape`, or is not finite.
          ValueError: if `condition` is required and None, is not required and given, or has a wrong type or shape.
          ValueError: if the distribution is not a `tfd.TransformedDistribution`.
        """
        latents = self._checked("latents", latents, self.latent_shape)
        return self._over_batch(self.functions.decode, latents, len(self.latent_shape), condition=condition)

    def reconstruct(self, x: TensorLike, condition: TensorLike | None = None) -> tf.Tensor:
        """Computes `decode(encode(x))`, which equals `x` up to the numerical error of the flow.

        Args:
          x: events, floats or integers, `[..., *event_shape]`.
          condition: labels or contexts, as for `log_prob`.

        Returns:
          A tensor of the shape of `x`. If `num_bits` is not None, it holds integers: uint8 up to 8 bits, uint16 above.
          Otherwise it holds floats.

        Raises:
          ValueError: if `encode(x, condition)` raises it.
        """
        return self.decode(self.encode(x, condition), condition)

    def sample(self, n: int = 1, temperature: float = 1.0, seed: int | None = None,
               condition: TensorLike | None = None) -> tf.Tensor:
        """Draws events.

        Args:
          n: number of events, an int of at least 1. Default: 1.
          temperature: factor on the deviation of latents from their mean, a number of at least 0. Below 1, samples are
            likelier and less diverse. Default: 1.
          seed: an int of at least 0, for reproducible samples. None (the default) draws a seed from NumPy's global
            generator.
          condition: one label or context for all samples, or `n` of them. Required if `condition_spec` is not None,
            otherwise None (the default).

        Returns:
          A tensor `[n, *event_shape]`. If `num_bits` is not None, it holds integers: uint8 up to 8 bits, uint16 above.
          Otherwise it holds floats.

        Raises:
          ValueError: if `n`, `temperature` or `seed` is not as described above.
          ValueError: if `condition` is required and None, is not required and given, or has a wrong type or shape.
          ValueError: if `temperature` is not 1 and the distribution is not a `tfd.TransformedDistribution`.
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
        """Calls a function of one batch axis on a value of any batch shape, whose events have the given rank."""
        split = value.shape.rank - rank
        condition = self.functions.condition.of_batch(condition, tuple(value.shape[:split]))
        result = function(tf.reshape(value, (-1, *value.shape[split:])), *arguments, *condition)
        return tf.reshape(result, (*value.shape[:split], *result.shape[1:]))

    # Training.

    def compile(self, optimizer: Any = "adamax", *, jit_compile: bool = False, **kwargs: Any) -> None:
        """Configures training as Keras's `compile` does. The loss is built in, so do not pass `loss`.

        Args:
          optimizer: a Keras optimizer or its name. Default: `"adamax"`.
          jit_compile: True compiles training and evaluation steps with XLA. Default: False, because TensorFlow's
            kernels are faster on CPUs.
          **kwargs: further arguments of Keras's `compile`.
        """
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles the model with the arguments of an earlier `compile`. Keras calls it when it loads a model.

        Args:
          config: a dict that `get_compile_config` returned.
        """
        self.compile(**keras.saving.deserialize_keras_object(config))

    def initialize(self, batch: TensorLike, condition: TensorLike | None = None) -> None:
        """Sets the data-dependent parameters from a batch of events. Parameters that are already set stay unchanged.

        Args:
          batch: events, floats or integers, `[batch, *event_shape]`.
          condition: labels `[batch]` or contexts `[batch, *context_shape]`. Required if `condition_spec` is not None,
            otherwise None (the default).

        Raises:
          ValueError: if `batch` has a shape that does not end in `event_shape`, or is not finite.
          ValueError: if `condition` is required and None, is not required and given, or has a wrong type or shape.
        """
        batch = self._checked("batch", batch)
        given = self.functions.condition.of_batch(condition, (len(batch),))
        context = {"context": self.functions.condition.context(*given)} if given else {}
        points = self.functions.points(batch, (2 * self._seed, 0))
        initialize(self.distribution, points, **context)
        self.functions.dequantization.initialize(points)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains the model as Keras's `fit` does.

        If data-dependent parameters are not set, the method first sets them from the first batch of `x`.

        Args:
          x: an array or tensor of events, `[num_events, *event_shape]`, or a `tf.data.Dataset` of batches of events or
            of pairs `(events, conditions)`. Conditions are labels or contexts.
          y: an array or tensor of conditions. Required if `x` is an array or tensor and `condition_spec` is not None.
          *args: further arguments of Keras's `fit`.
          **kwargs: further arguments of Keras's `fit`.

        Returns:
          A `keras.callbacks.History`, with one value of each metric per epoch.

        Raises:
          ValueError: if `x` is an array or tensor that is not finite.
          ValueError: if `condition_spec` is not None, and `y`, the dataset or `validation_data` lacks conditions or has
            conditions of another type, shape or range.
          ValueError: if data-dependent parameters are not set, and `x` is not an array, a tensor or a
            `tf.data.Dataset`.
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
          x: an array or tensor of events, `[num_events, *event_shape]`, or a `tf.data.Dataset` of batches of events or
            of pairs `(events, conditions)`. Conditions are labels or contexts.
          y: an array or tensor of conditions. Required if `x` is an array or tensor and `condition_spec` is not None.
          *args: further arguments of Keras's `evaluate`.
          **kwargs: further arguments of Keras's `evaluate`.

        Returns:
          A list of the loss and the metrics, or with `return_dict=True` a dict of them by name.

        Raises:
          ValueError: if `condition_spec` is not None, and `y` or the dataset lacks conditions or has conditions of
            another type, shape or range.
        """
        self.functions.condition.check_data(x, y)
        with self.functions.condition.named_errors():
            return super().evaluate(x, y, *args, **kwargs)

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Runs one training step: computes the loss of a batch and updates the variables. Keras's `fit` calls it.

        Args:
          data: one batch: events `[batch, *event_shape]`, or a tuple `(events, conditions)` or
            `(events, conditions, sample_weight)`.

        Returns:
          A dict of the metric values by name: `loss`, `bits_per_dim` and, with a classifier, `accuracy`. Each is the
          mean over the epoch so far.

        Raises:
          ValueError: if `condition_spec` is not None, and the conditions are missing or have another type or shape.
        """
        return super().train_step(self._with_condition(data))

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Runs one evaluation step: updates the metrics from a batch. Keras's `evaluate` calls it.

        Args:
          data: one batch: events `[batch, *event_shape]`, or a tuple `(events, conditions)` or
            `(events, conditions, sample_weight)`.

        Returns:
          A dict of the metric values by name: `loss`, `bits_per_dim` and, with a classifier, `accuracy`. Each is the
          mean over the batches so far.

        Raises:
          ValueError: if `condition_spec` is not None, and the conditions are missing or have another type or shape.
        """
        return super().test_step(self._with_condition(data))

    def _with_condition(self, data: Any) -> Any:
        """Pairs events with their conditions, because Keras passes only the first element of `data` to `call`."""
        if self.condition_spec is None:
            return data
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        self.functions.condition.check_step(y)
        return (x, y), y, sample_weight

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Computes the log-density of each event of a batch, in nats, with new noise on integers.

        Args:
          x: events `[batch, *event_shape]`. If `condition_spec` is not None, a pair `(events, conditions)`.
          training: True uses the noise of the current training step. False and None (the default) use the noise of the
            current evaluation step.

        Returns:
          The log-densities, a float tensor `[batch]`. With a classifier, a pair of the log-densities and the logits
          `[batch, num_classes]`.

        Raises:
          ValueError: if `condition_spec` is not None and `x` is not a pair.
        """
        condition: list[Any] = []
        if self.condition_spec is not None:
            if not isinstance(x, (tuple, list)) or len(x) != 2:
                raise ValueError(f"Argument `x` must be a pair of events and {self.condition_spec.name}; "
                                 f"received {x!r}.")
            x, *condition = x
        if training and getattr(self, "optimizer", None) is not None:
            seed = (2 * self._seed, self.optimizer.iterations)
        else:  # The seed is the number of events evaluated so far. Each replica counts its own events.
            seed = (2 * self._seed + 1, self._bits_metric.count * _num_replicas())
        points, log_q = self.functions.dequantization(x, seed)
        keywords = self.functions.condition.keywords(*condition)
        if self.classifier is None:
            return self.distribution.log_prob(points, **keywords) - log_q
        context = keywords["bijector_kwargs"]
        # `log_prob` reuses this pass from the cache as long as `latents` is referenced.
        latents = self.distribution.bijector.inverse(points, **context)
        return self.distribution.log_prob(points, **keywords) - log_q, self.classifier(latents, **context)

    def compute_loss(self, x: Any = None, y: Any = None, y_pred: Any = None, sample_weight: Any = None,
                     training: bool = True) -> tf.Tensor:
        """Computes the loss of a batch on one replica.

        The loss is the mean over events of the bits per dimension plus `weight_y` times the cross-entropy of the
        classifier (bits per event). The regularization losses are added to the mean. The sum is divided by the number
        of replicas, because Keras sums gradients over replicas.

        Args:
          x: ignored.
          y: labels, `[batch]`. Used with a classifier only.
          y_pred: the result of `call`.
          sample_weight: factors on the loss of each event, `[batch]`. Default: None, which means 1.
          training: ignored.

        Returns:
          A float scalar.
        """
        log_prob, logits = (y_pred, None) if self.classifier is None else y_pred
        bits = self.functions.to_bits(log_prob)
        if self.classifier is not None:
            bits += self._weight_y * self.classifier.bits(y, logits)
        if sample_weight is not None:
            bits *= tf.cast(sample_weight, bits.dtype)
        size = tf.cast(tf.size(bits), bits.dtype)  # 0 if the last batch has fewer events than there are replicas.
        return (tf.math.divide_no_nan(tf.reduce_sum(bits), size) + sum(self.losses)) / _num_replicas()

    def compute_metrics(self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None) -> dict[str, Any]:
        """Updates the metric `bits_per_dim`, and `accuracy` with a classifier, from a batch.

        Args:
          x: the input of `call`.
          y: labels, `[batch]`. Used with a classifier only.
          y_pred: the result of `call`.
          sample_weight: weights of the events in the mean, `[batch]`. Default: None, equal weights.

        Returns:
          A dict of all metric values by name.
        """
        log_prob, logits = (y_pred, None) if self.classifier is None else y_pred
        self._bits_metric.update_state(self.functions.to_bits(log_prob), sample_weight)
        if logits is not None:
            self._accuracy_metric.update_state(y, logits, sample_weight)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    def get_metrics_result(self) -> dict[str, Any]:
        """Returns a dict of all metric values by name.

        With several workers, each value is a vector of size 1 instead of a scalar, because Keras then averages metric
        values over their first axis.
        """
        results = super().get_metrics_result()
        if tf.distribute.in_cross_replica_context() or not _has_several_workers():
            return results
        return {name: tf.reshape(value, (1,)) for name, value in results.items()}

    # Saving.

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the model as Keras's `save` does. If the model cannot be saved, an existing file stays unchanged.

        Args:
          *args: arguments of Keras's `save`, first the path of the file.
          **kwargs: further arguments of Keras's `save`.

        Raises:
          ValueError: if neither a flow of this package nor a function that `tfp_glow.flows.register_flow` decorates
            built the distribution and the dequantizer.
        """
        self.get_config()
        super().save(*args, **kwargs)

    def get_config(self) -> dict[str, Any]:
        """Returns the config from which `from_config` builds the model, a dict of plain data.

        Raises:
          ValueError: if neither a flow of this package nor a function that `tfp_glow.flows.register_flow` decorates
            built the distribution and the dequantizer.
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
        """Builds a model from a config, with new weights.

        Args:
          config: a dict that `get_config` returned.
          custom_objects: ignored.

        Returns:
          A `FlowModel`, not compiled.

        Raises:
          ValueError: if a flow of the config is not registered, or an argument in the config is not valid.
        """
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
