# SPDX-License-Identifier: Apache-2.0
"""`GraphFunctions`: densities, latents and samples of a distribution as `tf.function`s over batches of any size."""

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow._checks import require
from tfp_glow._types import Shape
from tfp_glow.bijectors._single_pass import is_transformed
from tfp_glow.models.conditions import Condition
from tfp_glow.models.cores import among_cores
from tfp_glow.models.dequantization import Dequantization
from tfp_glow.models.quantization import to_bins, to_points
from tfp_glow.models.value_checks import EventChecks, finite_events

GraphFunction: TypeAlias = Callable[..., tf.Tensor]


class GraphFunctions:
    """Computes densities, latents and samples of a distribution by `tf.function`s.

    The methods of `FlowModel` call these functions, and `export_saved_model` exports them:

    | function | arguments | result |
    |---|---|---|
    | `log_prob` | events, seed | log-density in nats, `[batch]` |
    | `log_prob_with_noise` | integers, noise | log-density in nats, `[batch]` |
    | `importance_weighted` | integers, number, seed | importance-weighted log-density in nats, `[batch]` |
    | `bits_per_dim` | events, seed | bits per dimension, `[batch]` |
    | `bits_per_dim_with_noise` | integers, noise | bits per dimension, `[batch]` |
    | `encode` | events | latents |
    | `decode` | latents | events |
    | `decode_floats` | latents | events as floats, before they are rounded down to integers |
    | `returns` | integers, latents | True for each event that the latents decode to, `[batch]` |
    | `sample` | number, temperature, seed | events |

    * events: integers or floats, `[batch, *event_shape]`. The densities add dequantization noise to integers.
    * integers, noise: `[batch, *event_shape]`. The noise is in [0, 1).
    * latents: floats, `[batch, *latent_shape]`.
    * seed, number: int32 scalars. The seed determines the noise on integers, or the samples.
    * temperature: a float scalar of at least 0.

    If the distribution requires conditions (labels or contexts), each function requires a batch of conditions as an
    additional last argument.

    A batch may have no events; the result is then empty. When a function runs, it asserts that integers are in the
    domain of the model, that the temperature is a finite number of at least 0, and that `decode` and `sample` return
    finite events.

    Args:
      distribution: a `tfd.Distribution`. `encode`, `decode` and a temperature other than 1 require a
        `tfd.TransformedDistribution`.
      num_bits: bits per channel value, an int from 1 to 16. `decode` and `sample` then return integers in
        `[0, 2**num_bits)`. None makes them return floats.
      dequantization: the `Dequantization` that adds noise to integers.
      checks: the `EventChecks` of the model.
      events_per_part: least number of events in a part of a batch, if batches are divided among the cores of a CPU; see
        `tfp_glow.divide_batches_among_cores`. Default: None, batches are not divided.
      nested: False makes each function plain Python, for a graph without calls of other graphs. It then does not
        accept batches without events. Default: True.

    Attributes:
      distribution: the distribution, as passed.
      num_bits: bits per channel value, or None.
      dequantization: the `Dequantization`, as passed.
      checks: the `EventChecks`, as passed.
      event_shape: shape of one event, a tuple of ints.
      condition: the `Condition` of the distribution, which checks and converts labels or contexts.
    """

    def __init__(self, distribution: tfp.distributions.Distribution, num_bits: int | None,
                 dequantization: Dequantization, checks: EventChecks, events_per_part: int | None = None,
                 nested: bool = True) -> None:
        self.distribution, self.num_bits, self.dequantization = distribution, num_bits, dequantization
        self.checks, self._events_per_part, self._nested = checks, events_per_part, nested
        self.event_shape = tuple(distribution.event_shape)
        self.condition = Condition(distribution)

    @property
    def has_latents(self) -> bool:
        """True if the distribution is a `tfd.TransformedDistribution`, which `encode` and `decode` require."""
        return is_transformed(self.distribution)

    @property
    def latent_shape(self) -> Shape:
        """Shape of the latents of one event, a tuple of ints.

        Raises:
          ValueError: if the distribution is not a `tfd.TransformedDistribution`.
        """
        if not self.has_latents:
            raise ValueError("Latents and a temperature require a tfd.TransformedDistribution; the distribution of "
                             f"this model is {self.distribution!r}.")
        return tuple(self.distribution.distribution.event_shape)

    def to_bits(self, log_prob: tf.Tensor) -> tf.Tensor:
        """Computes bits per dimension, `-log_prob / (D log 2)`, where `D` is the number of values of one event.

        Args:
          log_prob: log-densities in nats, a float tensor of any shape.

        Returns:
          A float tensor of the shape of `log_prob`. A higher density gives fewer bits.
        """
        return -log_prob / (math.prod(self.event_shape) * math.log(2.0))

    def points(self, x: tf.Tensor, seed: Sequence[int | tf.Tensor] | None = None) -> tf.Tensor:
        """Converts a batch of events to floats in the dtype of the distribution.

        Args:
          x: batch of events, integers or floats, `[batch, *event_shape]`. Floats keep their values.
          seed: a pair of integers that determines uniform noise in [0, 1) on integers. None (the default) adds 1/2
            instead, the middle of the bin of an integer.

        Returns:
          A float tensor of the shape of `x`.
        """
        return to_points(x, self.distribution.dtype, seed)

    @functools.cached_property
    def log_prob(self) -> GraphFunction:
        """`(events, seed) -> [batch]`: log-density of each event in nats, `log p(x)` for floats `x`.

        For integers `x` it is `log p(x + u) - log q(u | x)`, with noise `u` in [0, 1) of density `q` that `seed`
        determines. Its mean over `u` is a lower bound of the log-probability of `x`.
        """
        return self._of_events(lambda x, seed, *c: self._bound(*self.dequantization(x, (seed, 0)), *c))

    @functools.cached_property
    def log_prob_with_noise(self) -> GraphFunction:
        """`(integers, noise) -> [batch]`: `log_prob` with given uniform noise in [0, 1) instead of a seed."""
        return self._of_events(lambda x, noise, *c: self._bound(*self.dequantization.with_noise(x, noise), *c))

    @functools.cached_property
    def importance_weighted(self) -> GraphFunction:
        """`(integers, number, seed) -> [batch]`: `log(mean(exp(log_prob)))` over `number` draws of noise, in nats."""
        return self._of_events(self._importance_weighted)

    # The public functions share these three, because most of the time of their first call is the tracing of the flow.

    @functools.cached_property
    def _density(self) -> GraphFunction:
        return self._divided(lambda points, *c: self.distribution.log_prob(points, **self.condition.keywords(*c)))

    @functools.cached_property
    def _inverse(self) -> GraphFunction:
        return self._divided(lambda points, *c: self.distribution.bijector.inverse(
            points, **self._keywords_for("bijector", *c)))

    @functools.cached_property
    def _forward(self) -> GraphFunction:
        return self._divided(lambda latents, *c: self.distribution.bijector.forward(
            latents, **self._keywords_for("bijector", *c)))

    def _divided(self, python_function: GraphFunction) -> GraphFunction:
        return self._function(lambda *batch: among_cores(python_function, *batch, least=self._events_per_part))

    def _bound(self, points: tf.Tensor, log_q: tf.Tensor, *condition: tf.Tensor) -> tf.Tensor:
        return self._density(points, *condition) - log_q

    def _importance_weighted(self, x: tf.Tensor, number: tf.Tensor, seed: tf.Tensor,
                             *condition: tf.Tensor) -> tf.Tensor:
        def add(k, total):
            return k + 1, tfp.math.log_add_exp(total, self._bound(*self.dequantization(x, (seed, k)), *condition))

        # One draw at a time, so that memory does not grow with their number. The first draw is the noise of `log_prob`.
        nothing = tf.fill(tf.shape(x)[:1], tf.constant(-math.inf, self.distribution.dtype))
        _, total = tf.while_loop(lambda k, _: k < number, add, (0, nothing), parallel_iterations=1,
                                 shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])))
        return total - tf.math.log(tf.cast(number, total.dtype))

    @functools.cached_property
    def bits_per_dim(self) -> GraphFunction:
        """`(events, seed) -> [batch]`: `-log_prob / (D log 2)`, where `D` is the number of values of one event."""
        return self._function(lambda x, seed, *c: self.to_bits(self.log_prob(x, seed, *c)))

    @functools.cached_property
    def bits_per_dim_with_noise(self) -> GraphFunction:
        """`(integers, noise) -> [batch]`: `bits_per_dim` with given uniform noise in [0, 1) instead of a seed."""
        return self._function(lambda x, noise, *c: self.to_bits(self.log_prob_with_noise(x, noise, *c)))

    @functools.cached_property
    def encode(self) -> GraphFunction:
        """`(events) -> latents`: the inverse pass of the bijector. It first adds 1/2 to integers, without noise."""
        return self._of_events(lambda x, *c: self._inverse(self.points(x), *c))

    @functools.cached_property
    def decode(self) -> GraphFunction:
        """`(latents) -> events`: the forward pass of the bijector.

        If `num_bits` is not None, the function rounds the events down to integers.
        """
        return self._function(self._of_any_batch(self._decode))

    @functools.cached_property
    def decode_floats(self) -> GraphFunction:
        """`(latents) -> events`: the forward pass of the bijector, without rounding."""
        return self._function(self._of_any_batch(self._decode_floats))

    @functools.cached_property
    def returns(self) -> GraphFunction:
        """`(integers, latents) -> [batch]`: True for each event of integers that the latents decode to.

        The forward pass of the latents must come within 1/4 of the middle of each bin. The margin of another 1/4 covers
        the rounding of the same pass in a batch of another size.
        """
        return self._of_events(self._returns)

    @functools.cached_property
    def sample(self) -> GraphFunction:
        """`(number, temperature, seed) -> events`: draws `number` events.

        The temperature is a factor on the deviation of latents from their mean. Without latents it has no effect.
        """
        return self._function(self._sample)

    def _of_events(self, python_function: GraphFunction) -> GraphFunction:
        """Returns a `tf.function` of a batch of events, which it checks, and of other arguments."""
        return self._function(
            lambda x, *others: self._of_any_batch(python_function)(self.checks.batch(x), *others))

    def _of_any_batch(self, python_function: GraphFunction) -> GraphFunction:
        return allow_no_events(python_function) if self._nested else python_function

    def _function(self, python_function: GraphFunction) -> GraphFunction:
        if not self._nested:
            return python_function
        # TensorFlow counts the traces of functions that share their code, and warns of too many. A partial has no code.
        return tf.function(functools.partial(python_function), autograph=False, reduce_retracing=True)

    def _decode(self, latents: tf.Tensor, *condition: tf.Tensor) -> tf.Tensor:
        return to_bins(self._decode_floats(latents, *condition), self.num_bits)

    def _decode_floats(self, latents: tf.Tensor, *condition: tf.Tensor) -> tf.Tensor:
        return finite_events(self._forward(latents, *condition))

    def _returns(self, x: tf.Tensor, latents: tf.Tensor, *condition: tf.Tensor) -> tf.Tensor:
        error = tf.abs(self._forward(latents, *condition) - self.points(x))
        return tf.reduce_all(error < 0.25, axis=list(range(1, 1 + len(self.event_shape))))  # NaN is not less.

    def _sample(self, number: tf.Tensor, temperature: tf.Tensor, seed: tf.Tensor,
                *condition: tf.Tensor) -> tf.Tensor:
        temperature = require(tf.math.is_finite(temperature) & (temperature >= 0.0), temperature,
                              "temperature must be a finite number of at least 0; received", temperature)
        seed = tf.stack([seed, 0])
        if not self.has_latents:
            return to_bins(finite_events(self.distribution.sample(number, seed=seed)), self.num_bits)
        base = self.distribution.distribution
        latents = base.sample(number, seed=seed, **self._keywords_for("distribution", *condition))
        try:
            mean = base.mean()
        except NotImplementedError:
            mean = tf.zeros([], latents.dtype)
        latents = mean + temperature * (latents - mean)
        return self._of_any_batch(self._decode)(latents, *condition)

    def _keywords_for(self, part: str, *condition: tf.Tensor) -> dict[str, Any]:
        """Returns the keyword arguments for the bijector (`part="bijector"`) or the base (`part="distribution"`)."""
        return self.condition.keywords(*condition).get(f"{part}_kwargs", {})


def allow_no_events(function: GraphFunction) -> GraphFunction:
    """Returns a function that also receives batches without events, and returns empty results for them.

    Some kernels of convolutions fail for an empty batch. The function therefore adds one event of zeros to an empty
    batch, and removes its result.

    Args:
      function: a function of tensors, the first of which is a batch. It returns tensors `[batch, ...]`.
    """
    def function_of_any_batch(*tensors: tf.Tensor) -> Any:
        if tensors[0].shape[0]:
            return function(*tensors)
        size = tf.shape(tensors[0])[0]
        results = function(*(_at_least_one(tensor) if tensor.shape.rank else tensor for tensor in tensors))
        return tf.nest.map_structure(lambda result: result[:size], results)

    return function_of_any_batch


def _at_least_one(batch: tf.Tensor) -> tf.Tensor:
    shape = tf.shape(batch)
    missing = tf.cast(tf.equal(shape[:1], 0), tf.int32)
    return tf.concat([batch, tf.zeros(tf.concat([missing, shape[1:]], axis=0), batch.dtype)], axis=0)
