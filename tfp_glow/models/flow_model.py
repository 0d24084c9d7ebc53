# SPDX-License-Identifier: Apache-2.0
"""`FlowModel`: a Keras model that trains a distribution by maximum likelihood."""

import functools
import math
import os
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_glow._checks import (
    check_bool,
    check_finite,
    check_int,
    check_num_bits,
    check_number,
    check_path,
    clear_errors,
    ending_in,
)
from tfp_glow._compat_keras import BuiltModel, batches_of_arrays
from tfp_glow._tracking import Hidden, ParameterLayer, VariableList, WrappedVariables
from tfp_glow._types import Shape, TensorLike
from tfp_glow.bijectors import BatchNorm, FlowBijector, Pixels, initialize
from tfp_glow.bijectors.keras_tracking import keras_layers_in, plain_variables_in
from tfp_glow.flows import config_from_file, config_of, config_to_dict
from tfp_glow.models import cores
from tfp_glow.models.classifier import LatentClassifier
from tfp_glow.models.dequantization import Dequantization
from tfp_glow.models.graph_functions import GraphFunctions, allow_no_events
from tfp_glow.models.nonfinite_steps import SkippedStepsWarning, StepGuard
from tfp_glow.models.strategy_scope import check_scope, metrics_in_scope
from tfp_glow.models.training_data import TrainingData, arguments_of, batch_of, fit_arguments, set_directions
from tfp_glow.models.value_checks import EventChecks, per_event, tensor_of

_DIRECTIONS = {"bits_per_dim": "min", "accuracy": "max"}


@keras.saving.register_keras_serializable("tfp_glow")
class FlowModel(BuiltModel):
    """Trains a `tfd.Distribution` by maximum likelihood and computes its densities, latents and samples.

    `compile`, `fit` and `evaluate` work as in Keras. They accept arrays, or a `tf.data.Dataset`, a
    `keras.utils.PyDataset` or a generator of batches of events or of pairs `(events, conditions)`. Conditions are
    integer labels for a flow with `num_classes`, and contexts for other distributions whose bijectors have a
    `context_shape`. A distribution without `num_classes` and without `context_shape` ignores them.

    **Integers and floats.** Integer input is treated as quantized: each value is a bin of width 1, and each step adds
    new noise in [0, 1) to it. Float input gets no noise.

    **Domain.** An image model has pixel units `[0, 2**num_bits)`. Integers outside this domain raise an error. Floats
    that do not look like pixel units cause a warning, once per model: floats that are all whole numbers, floats in
    [0, 1] or [-1, 1], and standardized floats.

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
      check_values: False turns the warnings about floats that do not look like pixel units off. Default: True.

    Raises:
      ValueError: if `distribution` is not a `tfd.Distribution` over one tensor, or has a batch shape or no static event
        shape.
      ValueError: if `num_bits`, `seed`, `weight_y` or `check_values` is not as described above.
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
                 name: str = "flow_model", weight_y: float = 0.0, dequantizer: tfd.Distribution | None = None,
                 check_values: bool = True):
        _check_distribution(distribution)
        super().__init__(name=name, dtype=distribution.dtype.name)
        self._hidden = Hidden((distribution, dequantizer))
        self._seed = check_int("seed", seed, minimum=0)
        self._weight_y = check_number("weight_y", weight_y, "not be negative", lambda value: value >= 0.0)
        pixel_bits = next((m.num_bits for m in distribution.submodules if isinstance(m, Pixels)), None)
        num_bits = pixel_bits if num_bits == "auto" else num_bits
        self._num_bits = None if num_bits is None else check_num_bits(num_bits)
        domain = min((bits for bits in (pixel_bits, self._num_bits) if bits is not None), default=None)
        self._checks = EventChecks(
            self.event_shape, distribution.dtype, domain, warn=check_bool("check_values", check_values))
        arguments = (distribution, self._num_bits, Dequantization(distribution, dequantizer), self._checks)
        self._functions = GraphFunctions(*arguments)
        self._events_per_part = cores.events_per_part(self._distributions)
        self._functions_in_parts = GraphFunctions(*arguments, events_per_part=self._events_per_part)
        self._noise_of_part: Hidden | None = None
        self._collect_variables()
        self._bits_metric = keras.metrics.Mean(name="bits_per_dim")
        self.classifier = LatentClassifier(distribution) if weight_y else None
        if weight_y:
            self._accuracy_metric = keras.metrics.SparseCategoricalAccuracy(name="accuracy")
        self._guard: StepGuard | None = None
        self._reported_steps = 0
        self._has_compiled_metrics = False
        self.built = True

    def _collect_variables(self) -> None:
        """Makes all variables of the distributions variables of this Keras model."""
        layers = keras_layers_in(self._distributions)
        for index, layer in enumerate(layers):
            setattr(self, f"flow_{index}", layer)
        self.saved_variables = VariableList(v for layer in layers for v in layer.variables)
        plain = plain_variables_in(self._distributions)
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
        """Densities, latents and samples as `tf.function`s, for graphs: they do not divide batches among cores."""
        return self._functions

    @property
    def _own_functions(self) -> GraphFunctions:
        """The `tf.function`s that the methods of this model call: those of `functions`, if batches are not divided.

        A model that is exported after one of its methods ran then shares the traces of both.
        """
        is_divided = tf.executing_eagerly() and cores.parts_per_batch() > 1
        return self._functions_in_parts if is_divided else self._functions

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

    @property
    def _network_dtypes(self) -> set[str]:
        return {dtype for flow in self._flow_bijectors for dtype in flow.network_dtypes}

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
          ValueError: if `x` has a shape that does not end in `event_shape`, is not finite, or holds integers outside
            of `[0, 2**num_bits)`.
          ValueError: if `condition` is required and None, is not required and given, or has a wrong type or shape.
          ValueError: if `noise` is not in [0, 1) or not of the shape of `x`, or is given for floats `x`.
        """
        x, rank = self._events("x", x), len(self.event_shape)
        if noise is None:
            return self._over_batch(self._own_functions.log_prob, x, rank, _seed(seed), condition=condition)
        noise = self._checked("noise", noise)
        if tf.executing_eagerly() and not bool(tf.reduce_all((noise >= 0.0) & (noise <= 1.0))):  # 1.0 by rounding.
            raise ValueError(f"Argument `noise` must be in [0, 1); received values from {tf.reduce_min(noise):g} to "
                             f"{tf.reduce_max(noise):g}.")
        if x.dtype.is_floating or not noise.shape.is_compatible_with(x.shape):
            raise ValueError("Argument `noise` must have the shape of `x`, and `x` must be integers; received noise of "
                             f"shape {noise.shape} for `x` of shape {x.shape} and dtype {x.dtype.name}.")
        noise = tf.reshape(noise, (-1, *self.event_shape))
        return self._over_batch(self._own_functions.log_prob_with_noise, x, rank, noise, condition=condition)

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
        return self._over_batch(self._own_functions.bits_per_dim, self._events("x", x), len(self.event_shape),
                                _seed(seed), condition=condition)

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
        x = self._events("x", x)
        if x.dtype.is_floating:
            raise ValueError(f"Argument `x` must be integers, because noise is added; received {x.dtype.name}.")
        number = tf.constant(check_int("num_samples", num_samples), tf.int32)
        log_prob = self._over_batch(self._own_functions.importance_weighted, x, len(self.event_shape), number,
                                    _seed(seed), condition=condition)
        return self.functions.to_bits(log_prob)

    def encode(self, x: TensorLike, condition: TensorLike | None = None, verify: bool = True) -> tf.Tensor:
        """Computes the latents of events by the `inverse` pass of the flow.

        A flow may amplify rounding errors of events that are unlike its training data. Their latents then do not
        determine the events. So for integers the method decodes the latents and raises an error if an integer does not
        return. It does not do so inside a `tf.function`.

        Args:
          x: events, floats or integers, `[..., *event_shape]`. The method adds 1/2 to integers, the middle of their
            bins, and no noise.
          condition: labels or contexts, as for `log_prob`.
          verify: a bool. True (the default) verifies that integers return from their latents, if `num_bits` is not
            None. False omits this `forward` pass, which is slow for flows that sample one dimension at a time.

        Returns:
          A float tensor `[..., *latent_shape]`. For the image flows of this package, `latent_shape` is
          `(height * width * channels,)`.

        Raises:
          ValueError: if `x` has a shape that does not end in `event_shape`, is not finite, or holds integers outside
            of `[0, 2**num_bits)`.
          ValueError: if `condition` is required and None, is not required and given, or has a wrong type or shape.
          ValueError: if `verify` is True, and an integer does not return from its latents.
          ValueError: if the distribution is not a `tfd.TransformedDistribution`.
        """
        _ = self.latent_shape
        x, verify = self._events("x", x), check_bool("verify", verify)
        latents = self._over_batch(self._own_functions.encode, x, len(self.event_shape), condition=condition)
        if verify and not x.dtype.is_floating and self.num_bits is not None and tf.executing_eagerly():
            self._verify(x, latents, condition)
        return latents

    def _verify(self, x: tf.Tensor, latents: tf.Tensor, condition: TensorLike | None) -> None:
        """Raises `ValueError` unless the integers `x` return from their latents."""
        returns = self._over_batch(self._own_functions.returns, x, len(self.event_shape),
                                   tf.reshape(latents, (-1, *self.latent_shape)), condition=condition)
        if bool(tf.reduce_all(returns)):
            return
        reason = ("The flow amplifies the rounding errors of events that are unlike its training data."
                  if self._network_dtypes.isdisjoint(("bfloat16", "float16")) else
                  "Its networks compute in half precision; use `tfp_glow.with_network_dtype(model, \"float32\")`.")
        raise ValueError(
            "Argument `x` must hold integers that return from their latents; "
            f"{int(tf.math.count_nonzero(~returns))} of {int(tf.size(returns))} events do not. {reason} "
            "Pass `verify=False` to skip this check.")

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
          ValueError: if an event is not finite, because the flow overflowed.
          ValueError: if `condition` is required and None, is not required and given, or has a wrong type or shape.
          ValueError: if the distribution is not a `tfd.TransformedDistribution`.
        """
        latents = self._checked("latents", latents, self.latent_shape)
        return self._over_batch(self._own_functions.decode, latents, len(self.latent_shape), condition=condition)

    def reconstruct(self, x: TensorLike, condition: TensorLike | None = None, verify: bool = True) -> tf.Tensor:
        """Computes `decode(encode(x))`, which equals `x` up to the numerical error of the flow.

        Args:
          x: events, floats or integers, `[..., *event_shape]`.
          condition: labels or contexts, as for `log_prob`.
          verify: a bool, as for `encode`. Default: True.

        Returns:
          A tensor of the shape of `x`. If `num_bits` is not None, it holds integers: uint8 up to 8 bits, uint16 above.
          Otherwise it holds floats.

        Raises:
          ValueError: if `encode(x, condition, verify)` raises it.
          ValueError: if the latents or the result are not finite, because the flow overflowed.
        """
        latents = self.encode(x, condition, verify)
        if tf.executing_eagerly() and not bool(tf.reduce_all(tf.math.is_finite(latents))):
            raise ValueError("The inverse pass of the flow gave latents that are not finite: it overflowed, or `x` has "
                             "values that the flow cannot have.")
        return self.decode(latents, condition)

    def sample(self, n: int = 1, temperature: float = 1.0, seed: int | None = None,
               condition: TensorLike | None = None) -> tf.Tensor:
        """Draws events.

        Args:
          n: number of events, an int of at least 0. Default: 1.
          temperature: factor on the deviation of latents from their mean, a finite number of at least 0. Below 1,
            samples are likelier and less diverse. Default: 1.
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
          ValueError: if a sample is not finite, because the flow overflowed.
        """
        n = check_int("n", n, minimum=0)
        temperature = check_number("temperature", temperature, "be finite and not be negative",
                                   lambda value: 0.0 <= value <= float(self.distribution.dtype.max))
        if temperature != 1.0:
            _ = self.latent_shape
        seed = int(np.random.randint(2**31 - 1)) if seed is None else check_int("seed", seed, minimum=0)
        condition = self.functions.condition.of_batch(condition, (n,), is_sample=True)
        with clear_errors():
            return self._own_functions.sample(
                tf.constant(n), tf.constant(temperature, self.distribution.dtype), _seed(seed), *condition)

    def _events(self, argument: str, value: TensorLike) -> tf.Tensor:
        """Returns events as a tensor, after the checks of `EventChecks`."""
        value = ending_in(f"Argument `{argument}`", tensor_of(argument, value), self.event_shape)
        self._checks.dtype(argument, value)
        if tf.executing_eagerly():
            self._checks.values(argument, value)
        return tf.cast(value, self.distribution.dtype) if value.dtype.is_floating else value

    def _checked(self, argument: str, value: TensorLike, shape: Shape | None = None) -> tf.Tensor:
        shape = self.event_shape if shape is None else shape
        value = ending_in(f"Argument `{argument}`", tensor_of(argument, value), shape)
        if not (value.dtype.is_floating or value.dtype.is_integer):
            raise ValueError(f"Argument `{argument}` must hold numbers; received {value.dtype.name}.")
        value = tf.cast(value, self.distribution.dtype)
        if tf.executing_eagerly():
            check_finite(argument, value)
        return value

    def _over_batch(self, function: Any, value: tf.Tensor, rank: int, *arguments: Any,
                    condition: TensorLike | None = None) -> tf.Tensor:
        """Calls a function of one batch axis on a value of any batch shape, whose events have the given rank."""
        split = value.shape.rank - rank
        static = value.shape[:split]
        batch = tuple(static) if static.is_fully_defined() else tf.shape(value)[:split]
        condition = self.functions.condition.of_batch(condition, batch)
        with clear_errors():
            result = function(tf.reshape(value, (-1, *value.shape[split:])), *arguments, *condition)
        if not isinstance(batch, tf.Tensor):
            return tf.reshape(result, (*batch, *result.shape[1:]))
        result = tf.reshape(result, tf.concat([batch, tf.constant(result.shape[1:].as_list(), tf.int32)], axis=0))
        return tf.ensure_shape(result, static.concatenate(result.shape[split:]))

    # Training.

    def compile(self, optimizer: Any = None, *, jit_compile: bool = False, skip_nonfinite: bool = True,
                **kwargs: Any) -> None:
        """Configures training as Keras's `compile` does. The loss is built in, so do not pass `loss`.

        Args:
          optimizer: a Keras optimizer or its name. None (the default) means Adamax, as in the paper of Glow. Its
            learning rate grows linearly to 1e-3 in the first 100 steps and is constant afterwards. This warm-up keeps
            deep and wide flows stable. Pass an optimizer to set the learning rate, also for callbacks that change it.
          jit_compile: True compiles training and evaluation steps with XLA. Default: False, because TensorFlow's
            kernels are faster on CPUs.
          skip_nonfinite: True (the default) skips each training step whose loss or gradient is not finite, so that the
            step does not destroy the weights. A skipped step changes only `optimizer.iterations` and `skipped_steps`.
            False updates the weights in any case, as Keras does.
          **kwargs: further arguments of Keras's `compile`. Metrics compare the log-densities with the conditions. With
            `auto_scale_loss` (the default), networks that compute in float16 are trained with loss scaling: the model
            wraps the optimizer in a `keras.optimizers.LossScaleOptimizer`.

        Raises:
          ValueError: if `loss` is given.
          ValueError: if the model, the optimizer or a metric was built outside of the scope of the distribution
            strategy.
        """
        for argument in ("loss", "loss_weights"):
            if kwargs.get(argument) is not None:
                raise ValueError(f"Argument `{argument}` must be left out, because the loss is built in; received "
                                 f"{kwargs[argument]!r}.")
        strategy = self.distribute_strategy
        check_scope(strategy, "model", self.variables)
        check_scope(strategy, "optimizer", getattr(optimizer, "variables", ()))
        if optimizer is None:
            with strategy.scope():
                optimizer = _adamax_with_warmup()
        if "float16" in self._network_dtypes and kwargs.get("auto_scale_loss", True):
            with strategy.scope():
                optimizer = keras.optimizers.get(optimizer)
                if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
                    optimizer = keras.optimizers.LossScaleOptimizer(optimizer, name="loss_scale_optimizer")
        for argument in ("metrics", "weighted_metrics"):
            kwargs[argument] = metrics_in_scope(strategy, argument, kwargs.get(argument))
        self._has_compiled_metrics = bool(kwargs["metrics"] or kwargs["weighted_metrics"])
        super().compile(optimizer=optimizer, jit_compile=jit_compile, **kwargs)
        with self.distribute_strategy.scope():
            self.optimizer.build(self.trainable_variables)
            self._guard = StepGuard(self.optimizer) if check_bool("skip_nonfinite", skip_nonfinite) else None
        self._reported_steps = self.skipped_steps

    def get_compile_config(self) -> dict[str, Any]:
        """Returns the arguments of `compile`, a dict of plain data. Keras calls it when it saves the model."""
        config = super().get_compile_config()
        return {**config, "skip_nonfinite": False} if config and self._guard is None else config

    @property
    def skipped_steps(self) -> int:
        """Number of training steps that were skipped since `compile`, because the loss or gradient was not finite.

        An optimizer that has an integer variable `skipped_steps` holds the number. It is then saved with the optimizer.
        """
        return 0 if self._guard is None else int(self._guard.skipped_steps.numpy())

    def compile_from_config(self, config: Mapping[str, Any]) -> None:
        """Compiles the model with the arguments of an earlier `compile`. Keras calls it when it loads a model.

        Args:
          config: a dict that `get_compile_config` returned.
        """
        self.compile(**keras.saving.deserialize_keras_object(config))

    def initialize(self, batch: TensorLike, condition: TensorLike | None = None) -> None:
        """Sets the data-dependent parameters from a batch of events. Parameters that are already set stay unchanged.

        Args:
          batch: events, floats or integers, `[batch, *event_shape]`, at least one.
          condition: labels `[batch]` or contexts `[batch, *context_shape]`. Required if `condition_spec` is not None,
            otherwise None (the default).

        Raises:
          ValueError: if `batch` has another shape, is not finite, or holds integers outside of `[0, 2**num_bits)`.
          ValueError: if `condition` is required and None, is not required and given, or has a wrong type or shape.
        """
        batch = self._events("batch", batch)
        self._checks.spec("batch", batch, "Add a batch axis, as in `x[np.newaxis]`.")
        if not len(batch):
            raise ValueError("Argument `batch` must hold at least one event; received 0.")
        given = self.functions.condition.of_batch(condition, (len(batch),))
        context = {"context": self.functions.condition.context(*given)} if given else {}
        points = self.functions.points(batch, (2 * self._seed, 0))
        initialize(self.distribution, points, **context)
        self.functions.dequantization.initialize(points)

    def fit(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains the model as Keras's `fit` does.

        If data-dependent parameters are not set, the method first sets them from the first batch of `x`.

        Without a GPU, call `tfp_glow.divide_batches_among_cores()` first in the program, before the flow is built. Each
        core then computes a part of each batch.

        Args:
          x: an array, a tensor or a list of events, `[num_events, *event_shape]`. Or batches of events, or of tuples
            `(events, conditions)` or `(events, conditions, sample_weight)`: a `tf.data.Dataset`, a
            `keras.utils.PyDataset` or a generator. Conditions are labels or contexts.
          y: an array or tensor of conditions. Required if `x` holds all events and `condition_spec` is not None.
          *args: further arguments of Keras's `fit`.
          **kwargs: further arguments of Keras's `fit`. Callbacks may monitor `bits_per_dim` (lower is better) and
            `accuracy` without an argument `mode`.

        Returns:
          A `keras.callbacks.History`, with one value of each metric per epoch.

        Raises:
          ValueError: if `x` or `validation_data` has no events, or events of another shape or dtype, that are not
            finite, or that are integers outside of `[0, 2**num_bits)`.
          ValueError: if `condition_spec` is not None, and `y`, the batches or `validation_data` lack conditions or have
            conditions of another type, shape or range.
          ValueError: if the model was built outside of the scope of the distribution strategy.
        """
        given = arguments_of(super().fit, x, y, *args, **kwargs)
        data = self._checked_data("x", given.pop("x"), given.pop("y", None), given.pop("sample_weight", None))
        if given.get("class_weight") is not None and data.is_array and data.y is None:
            raise ValueError("Argument `class_weight` requires the classes of the events, argument `y`.")
        validation = None
        if given.get("validation_data") is not None:
            validation = self._checked_data(
                "validation_data", *keras.utils.unpack_x_y_sample_weight(given["validation_data"]))
        data = self._first_batch_checked(data, initialize=True)
        set_directions(given.get("callbacks"), _DIRECTIONS)
        self._reported_steps = self.skipped_steps
        with self.functions.condition.named_errors(), clear_errors():
            history = super().fit(**fit_arguments(data, validation, given))
        self._report_skipped_steps()
        if history.epoch and not history.history:
            raise ValueError("Argument `x` must hold at least one event; received no batch.")
        return history

    def _checked_data(self, argument: str, x: Any, y: Any = None, sample_weight: Any = None,
                      allow_empty: bool = False) -> TrainingData:
        """Checks the data of `fit` or `evaluate`, as far as this is possible before the first batch."""
        check_scope(self.distribute_strategy, "model", self.variables)
        data = TrainingData.of(x, y, sample_weight, argument)
        data.check(self._checks, self.functions.condition, argument)
        if data.is_empty and not allow_empty:
            raise ValueError(f"Argument `{argument}` must hold at least one event; received 0.")
        if self._has_compiled_metrics and data.is_array and y is None:
            raise ValueError("Argument `y` must be given, because `compile` received metrics, which compare `y` with "
                             "the log-densities; received None.")
        return data

    def _first_batch_checked(self, data: TrainingData, initialize: bool = False) -> TrainingData:
        """Checks the values of the first batch of a dataset, and sets the data-dependent parameters if required.

        A dataset of integers is not read, because reading a dataset may change the order of its next batches.
        """
        initialize = initialize and not self.is_initialized
        if not initialize and not (self._checks.can_warn and data.may_hold_float_batches):
            return data
        events, condition, data = data.first_batch(self._checks)
        if events is None and initialize:
            raise ValueError("Argument `x` must hold at least one event; received no batch.")
        if events is not None and not data.is_array:
            self._checks.values("x", events)
        if initialize:
            self.initialize(events, None if self.condition_spec is None else condition)
        return data

    def reset_metrics(self) -> None:
        """Resets all metrics, as Keras does before each epoch. Warns of the steps that the last epoch skipped."""
        self._report_skipped_steps()
        super().reset_metrics()

    def _report_skipped_steps(self) -> None:
        number = self.skipped_steps - self._reported_steps
        if number > 0:
            self._reported_steps += number
            warnings.warn(f"Skipped {number} training {'step' if number == 1 else 'steps'} whose loss or gradient was "
                          "not finite; the weights did not change. Check the data for values that are not finite, or "
                          "lower the learning rate.", SkippedStepsWarning, stacklevel=3)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Computes loss and metrics as Keras's `evaluate` does.

        Args:
          x: events or batches, as for `fit`. If there are no events, all results are NaN.
          y: an array or tensor of conditions. Required if `x` holds all events and `condition_spec` is not None.
          *args: further arguments of Keras's `evaluate`.
          **kwargs: further arguments of Keras's `evaluate`.

        Returns:
          A list of the loss and the metrics, or with `return_dict=True` a dict of them by name.

        Raises:
          ValueError: if `x` has events of another shape or dtype, that are not finite, or that are integers outside of
            `[0, 2**num_bits)`.
          ValueError: if `condition_spec` is not None, and `y` or the batches lack conditions or have conditions of
            another type, shape or range.
          ValueError: if the model was built outside of the scope of the distribution strategy.
        """
        given = arguments_of(super().evaluate, x, y, *args, **kwargs)
        if not given.get("_use_cached_eval_dataset"):  # Otherwise `fit` calls this method, after its own checks.
            data = self._checked_data(
                "x", given.pop("x"), given.pop("y", None), given.pop("sample_weight", None), allow_empty=True)
            if data.is_empty:
                return self._results_of_nothing(given.get("return_dict", False))
            data = self._first_batch_checked(data)
            given["x"] = data.in_batches(given, "steps")
        with self.functions.condition.named_errors(), clear_errors():
            results = super().evaluate(**given)
        return self._results_of_nothing(given.get("return_dict", False)) if results in ([], {}) else results

    def _results_of_nothing(self, return_dict: bool) -> Any:
        self.reset_metrics()
        results = {name: float(value) for name, value in self.get_metrics_result().items()}
        return results if return_dict else list(results.values())

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """Computes the log-density of events, in nats, as Keras's `predict` does.

        Args:
          x: events or batches, as for `fit`. If `condition_spec` is not None, a pair `(events, conditions)` of arrays,
            or batches of such pairs.
          *args: further arguments of Keras's `predict`.
          **kwargs: further arguments of Keras's `predict`.

        Returns:
          The log-densities, an array `[num_events]`. With a classifier, a pair of the log-densities and the logits
          `[num_events, num_classes]`.

        Raises:
          ValueError: if `x` has events of another shape or dtype, that are not finite, or that are integers outside of
            `[0, 2**num_bits)`.
          ValueError: if `condition_spec` is not None, and there are no conditions, or conditions of another type, shape
            or range.
        """
        is_pair = self.condition_spec is not None and isinstance(x, (tuple, list)) and len(x) == 2
        if self.condition_spec is not None and not is_pair and hasattr(x, "shape"):
            raise ValueError(f"Argument `x` must be a pair (events, {self.condition_spec.name}), as in "
                             f"`predict((x, {self.condition_spec.name}))`; received events alone.")
        events, condition = x if is_pair else (x, None)
        data = self._checked_data("x", events, condition, allow_empty=True)
        if data.is_empty:
            return self._prediction_of_nothing()
        data = self._first_batch_checked(data)
        try:
            with self.functions.condition.named_errors(), clear_errors():
                given = arguments_of(super().predict, (data.x, data.y) if is_pair else data.x, *args, **kwargs)
                if data.is_array:
                    given["x"] = batches_of_arrays(
                        given["x"], batch_size=given.pop("batch_size", None), steps=given.get("steps"))
                return super().predict(**given)
        except UnboundLocalError:  # Keras has no result if there is no batch.
            return self._prediction_of_nothing()

    def _prediction_of_nothing(self) -> Any:
        log_prob = np.zeros(0, self.distribution.dtype.as_numpy_dtype)
        return log_prob if self.classifier is None else (
            log_prob, np.zeros((0, self.functions.condition.num_classes or 0), log_prob.dtype))

    def train_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Trains on one batch as Keras's `train_on_batch` does. Call `initialize` before the first step.

        Args:
          x: an array or tensor of events, `[batch, *event_shape]`.
          y: an array or tensor of conditions, or None.
          *args: further arguments of Keras's `train_on_batch`.
          **kwargs: further arguments of Keras's `train_on_batch`.

        Returns:
          A list of the loss and the metrics, or with `return_dict=True` a dict of them by name.

        Raises:
          ValueError: if `fit` raises it for one batch.
        """
        return self._on_batch(super().train_on_batch, x, y, *args, **kwargs)

    def test_on_batch(self, x: Any, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Evaluates one batch as Keras's `test_on_batch` does.

        Args:
          x: an array or tensor of events, `[batch, *event_shape]`.
          y: an array or tensor of conditions, or None.
          *args: further arguments of Keras's `test_on_batch`.
          **kwargs: further arguments of Keras's `test_on_batch`.

        Returns:
          A list of the loss and the metrics, or with `return_dict=True` a dict of them by name.

        Raises:
          ValueError: if `fit` raises it for one batch.
        """
        return self._on_batch(super().test_on_batch, x, y, *args, **kwargs)

    def _on_batch(self, method: Any, *args: Any, **kwargs: Any) -> Any:
        given = arguments_of(method, *args, **kwargs)
        x, y, sample_weight = (given.pop(name, None) for name in ("x", "y", "sample_weight"))
        data = self._checked_data("x", x, y, sample_weight)
        with self.functions.condition.named_errors(), clear_errors():
            return method(data.x, data.y, sample_weight=data.sample_weight, **given)

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
        data = self._checked_step(data)
        if self._guard is None or not self.trainable_variables:
            return super().train_step(data)
        return self._guard.train_step(self, data)

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
        return super().test_step(self._checked_step(data))

    def predict_step(self, data: Any) -> Any:
        """Computes the log-densities of one batch. Keras's `predict` calls it.

        Args:
          data: one batch: events, or a pair `(events, conditions)`, which may be the only element of a tuple.

        Returns:
          The result of `call`.
        """
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        if self.condition_spec is not None and isinstance(x, (tuple, list)) and len(x) == 2:
            x, y = x
        x, _, _ = self._checked_step((x, y))
        return self(x, training=False)

    def _checked_step(self, data: Any) -> tuple[Any, Any, Any]:
        """Checks one batch, and pairs events with their conditions, because Keras passes one argument to `call`."""
        x, y, sample_weight = batch_of("x", data)
        self._checks.spec("x", x, "The batches must have a batch axis.")
        number = tf.shape(x)[0]
        if sample_weight is not None:
            sample_weight = per_event("sample_weight", sample_weight, number)
        if self.condition_spec is None:
            return x, y, sample_weight
        y = y if y is None else tf.convert_to_tensor(y)
        self.functions.condition.check_step(y)
        y = self.functions.condition.of_step(y, number)
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
                raise ValueError(f"Argument `x` must be a pair of events and {self.condition_spec.name}; received "
                                 f"{type(x).__name__}.")
            x, *condition = x

        if self._noise_of_part is not None:  # `loss_and_gradients` has checked and divided the batch.
            result = self._densities(x, self._noise_of_part.value, *condition)
        else:
            x = self._checks.batch(tf.convert_to_tensor(x))
            result = self._of_parts(lambda part: self._densities(*part), (x, self._noise(x, training), *condition),
                                    "concat", training)
        if not self.jit_compile:
            return result
        outside = self._checks.zero_or_nan(x)  # XLA ignores assertions.
        return result + outside if self.classifier is None else (result[0] + outside, result[1])

    def _noise(self, x: tf.Tensor, training: bool | None) -> tf.Tensor | None:
        """Draws the noise on a batch of integers."""
        if training and getattr(self, "optimizer", None) is not None:
            seed = (2 * self._seed, self.optimizer.iterations)
        else:  # The seed is the number of events evaluated so far. Each replica counts its own events.
            seed = (2 * self._seed + 1, self._bits_metric.count * _num_replicas())
        return self.functions.dequantization.draw(x, seed)

    def _of_parts(self, function: Callable[[Any], Any], batch: tuple[tf.Tensor | None, ...],
                  combine: str | tuple[str, ...], training: bool | None) -> Any:
        """Calls a function on parts of a batch, one per core, or on the whole batch. See `tfp_glow.in_parts`."""
        is_whole = (tf.executing_eagerly() or self.jit_compile or _num_replicas() > 1
                    or training and self._changes_in_training)
        return cores.divided(
            function, batch, 1 if is_whole else cores.parts_per_batch(), self._events_per_part, combine)

    @functools.cached_property
    def _changes_in_training(self) -> bool:
        """True if a training pass may change variables, such as running statistics. It must have the whole batch."""
        networks = [layer for layer in keras_layers_in(self._distributions) if not isinstance(layer, ParameterLayer)]
        return (any(isinstance(bijector, BatchNorm) for bijector in self._flow_bijectors)
                or any(v.dtype != "bool" for layer in networks for v in layer.non_trainable_variables)
                or any(not v.trainable for v in plain_variables_in(self._distributions)))

    def _densities(self, x: tf.Tensor, noise: tf.Tensor | None, *condition: tf.Tensor) -> Any:
        return allow_no_events(functools.partial(self._densities_of_events, has_noise=noise is not None))(
            *(tensor for tensor in (x, noise, *condition) if tensor is not None))

    def _densities_of_events(self, x: tf.Tensor, *others: tf.Tensor, has_noise: bool) -> Any:
        noise, condition = (others[0], others[1:]) if has_noise else (None, others)
        points, log_q = self.functions.dequantization.with_noise(x, noise)
        keywords = self.functions.condition.keywords(*condition)
        if self.classifier is None:
            return self.distribution.log_prob(points, **keywords) - log_q
        context = keywords["bijector_kwargs"]
        # `log_prob` reuses this pass from the cache as long as `latents` is referenced.
        latents = self.distribution.bijector.inverse(points, **context)
        return self.distribution.log_prob(points, **keywords) - log_q, self.classifier(latents, **context)

    def loss_and_gradients(self, x: Any, y: Any, sample_weight: Any,
                           scale: Callable[[tf.Tensor], tf.Tensor] = tf.identity) -> tuple[tf.Tensor, list[Any], Any]:
        """Computes the loss of a training batch and its gradients, in parts on several cores if possible.

        A subclass that defines `call` or `compute_loss` itself gets the whole batch in one call, because its loss may
        not be a mean over events.

        Args:
          x: the input of `call`.
          y: labels or contexts, `[batch, ...]`, or None.
          sample_weight: factors on the loss of each event, `[batch]`, or None.
          scale: a function that maps the loss to a scalar, whose gradients are returned. Default: the identity.

        Returns:
          `(loss, gradients, y_pred)`: the loss, a float scalar; the gradients, in the order of `trainable_variables`;
          and the result of `call`.
        """
        variables = self.trainable_variables

        def gradients(x: Any, y: Any, sample_weight: Any, share: Any = 1.0) -> tuple[tf.Tensor, list[Any], Any]:
            with tf.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(x, y, y_pred, sample_weight, training=True) * share
                scaled = scale(loss)
            return loss, tape.gradient(scaled, variables), y_pred

        if any(getattr(type(self), name) is not getattr(FlowModel, name) for name in ("call", "compute_loss")):
            return gradients(x, y, sample_weight)
        events, *condition = x if isinstance(x, (tuple, list)) else (x,)
        events = self._checks.batch(tf.convert_to_tensor(events))
        size = tf.shape(events)[0]

        def of_part(part: tuple[Any, ...]) -> tuple[tf.Tensor, list[Any], Any]:
            events, noise, y, sample_weight, *condition = part
            share = tf.cast(tf.shape(events)[0], self.dtype) / tf.cast(size, self.dtype)
            share = tf.where(size > 0, share, tf.ones([], share.dtype))
            self._noise_of_part = Hidden(noise)
            try:
                return gradients((events, *condition) if condition else events, y, sample_weight, share)
            finally:
                self._noise_of_part = None

        labels = None if self.classifier is None else y
        return self._of_parts(of_part, (events, self._noise(events, training=True), labels, sample_weight, *condition),
                              ("sum", "sum", "concat"), training=True)

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
        """Returns a dict of all metric values by name, which are NaN if no event was evaluated.

        With several workers, each value is a vector of size 1 instead of a scalar, because Keras then averages metric
        values over their first axis.
        """
        results = super().get_metrics_result()
        if tf.distribute.in_cross_replica_context() or _num_replicas() == 1:
            is_empty = tf.equal(self._bits_metric.count, 0.0)  # The mean of no values would be 0.
            if all(isinstance(value, float) for value in results.values()):  # Keras 3.10, in eager mode
                return dict.fromkeys(results, math.nan) if is_empty else results
            return {name: tf.where(is_empty, tf.constant(math.nan, tf.as_dtype(value.dtype)), value)
                    for name, value in results.items()}
        if not _has_several_workers():
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
          ValueError: if the path does not end in `.keras`.
        """
        self.get_config()
        given = arguments_of(super().save, *args, **kwargs)
        path = check_path("filepath", given["filepath"])
        if given.get("zipped") is not False and not path.endswith(".keras") and not path.startswith("hf://"):
            raise ValueError(f"Argument `filepath` must end in '.keras'; received {path!r}. `save_weights` writes a "
                             "file '.weights.h5', and `export` a SavedModel.")
        super().save(*args, **kwargs)

    def export(self, filepath: str | os.PathLike[str], *args: Any, **kwargs: Any) -> None:
        """Exports `call` as Keras's `export` does. `tfp_glow.export_saved_model` exports all functions of the model.

        Args:
          filepath: path of the artifact.
          *args: further arguments of Keras's `export`.
          **kwargs: further arguments of Keras's `export`. The default of `input_signature` is a batch of float events,
            or a pair of events and conditions if `condition_spec` is not None.
        """
        given = arguments_of(super().export, filepath, *args, **kwargs)
        if given.get("input_signature") is None:
            events = tf.TensorSpec((None, *self.event_shape), self.distribution.dtype, "events")
            given["input_signature"] = [events if self.condition_spec is None else (events, self.condition_spec)]
        super().export(**given)

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
        return {**saved, "num_bits": self._num_bits, "seed": self._seed, "name": self.name, "weight_y": self._weight_y,
                "check_values": self._checks.warn}

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
        return cls(**{**config, **{p: config_from_file(config[p]).build() for p in parts if config.get(p)}})


def _adamax_with_warmup() -> keras.Optimizer:
    # With alpha=1.0, the cosine decay starts and ends at the same value: it is constant.
    return keras.optimizers.Adamax(keras.optimizers.schedules.CosineDecay(
        initial_learning_rate=0.0, warmup_target=1e-3, warmup_steps=100, decay_steps=1, alpha=1.0))


def _check_distribution(distribution: Any) -> None:
    if not isinstance(distribution, tfd.Distribution) or tf.nest.is_nested(distribution.dtype):
        raise ValueError("Argument `distribution` must be a tfd.Distribution over one tensor; "
                         f"received {distribution!r}.")
    if distribution.batch_shape.rank != 0 or not distribution.event_shape.is_fully_defined():
        raise ValueError("Argument `distribution` must have no batch shape and a static event shape; received "
                         f"batch shape {distribution.batch_shape}, event shape {distribution.event_shape}.")


def _seed(seed: Any) -> tf.Tensor:
    """Returns the seed of noise as an int32 tensor, or raises `ValueError` if it is no int32."""
    if isinstance(seed, tf.Tensor):
        return tf.cast(seed, tf.int32)
    seed = check_int("seed", seed, minimum=tf.int32.min)
    if seed > tf.int32.max:
        raise ValueError(f"Argument `seed` must be at most {tf.int32.max}; received {seed}.")
    return tf.constant(seed, tf.int32)


def _num_replicas() -> int:
    return tf.distribute.get_strategy().num_replicas_in_sync


def _has_several_workers() -> bool:
    strategy = tf.distribute.get_strategy()
    return (isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)
            and strategy.num_replicas_in_sync > len(strategy.extended.worker_devices))
