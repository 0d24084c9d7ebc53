# SPDX-License-Identifier: Apache-2.0
"""`Repeat`: `K` steps of one structure as a loop over stacked parameters.

How a step receives its parameters
----------------------------------
The constructor calls `make_step` `K` times. It keeps the first bijector as the *template*. From the other bijectors it
keeps only the values of their parameters. The parameters of `Repeat` are *stacks*: for each variable of the template,
one Keras variable `[K, ...]`. Neither Keras nor TFP finds the variables of the template, because they are no
parameters.

A pass has three stages:

1. **Prepare**, once per pass: `_prepare(direction)` computes the tensors that the loop reads, each with `K` rows. Most
   of them are the stacks without a change. For bijectors that are affine in the channels, such as actnorm and 1x1
   convolutions, it computes the matrices of all `K` steps at once, which is much cheaper than inside the loop.
   The loop therefore does not run the template. It runs the *prepared step*, which `FlowBijector._prepared()` makes: a
   copy of the template's structure in which a `PreparedChannelAffine` replaces each channel-affine bijector. Its
   parameters are the matrices.
2. **Read**, once per iteration: the loop reads row `k` of each tensor.
3. **Step**, once per iteration: `_bound_step(inputs, row)` sets the variables of the prepared step to the values of the
   row, in a `keras.StatelessScope`. The step then maps `x`.

With `backprop="stored"` TensorFlow differentiates the loop. With `backprop="reversible"` a second loop over the same
rows computes the gradient, from the last step to the first. `FlowBijector._inverse_vjp` rebuilds the input of each step
from the output of the step and computes the gradient of the row.

A step may contain a `Repeat` itself. The rows of the outer stacks are then the stacks of the inner one.
"""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from tfp_glow._checks import check_choice, check_int
from tfp_glow._compat_keras import IndexVariable
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._tracking import Hidden, ParameterLayer
from tfp_glow._types import Shape
from tfp_glow.bijectors._stacking import Row, constant_initializer, empty_array, row_reader, stack_values
from tfp_glow.bijectors._unrolling import loop
from tfp_glow.bijectors.channel_affine import PreparedChannelAffine
from tfp_glow.bijectors.flow_bijector import FlowBijector, source_key


class Repeat(FlowBijector):
    """Composes `num_steps` bijectors of one structure and runs them as a loop over stacked parameters.

    The result equals `Steps([make_step() for _ in range(num_steps)])`, with the first step on the data side. The
    structure is traced once, so the graph and the tracing time do not grow with `num_steps`. Each parameter of a step
    becomes one parameter `[num_steps, ...]`.

    Args:
      make_step: a callable without arguments that returns a new `FlowBijector`. Every call must return the same
        structure. The latent shape of the bijector must equal its event shape, and all its variables must be Keras
        variables.
      num_steps: number of steps, an int of at least 1.
      backprop: how the gradient of the inverse direction, which training uses, is computed. `"stored"` (the default)
        keeps the activations of every step, as ordinary backpropagation does. `"reversible"` rebuilds the activations
        from the latents, so that memory does not grow with `num_steps`.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if an argument violates its description above, or a training pass changes variables of a step, as
        `BatchNorm` and dropout do.

    References:
      Gomez, Ren, Urtasun and Grosse, *The reversible residual network*, 2017, for the rebuilt activations.

    Example:

    >>> flow = tfp_glow.bijectors.Repeat(lambda: tfp_glow.bijectors.ActNorm((3,), data_dependent=False), num_steps=4)
    >>> [tuple(v.shape) for v in flow.trainable_variables]
    [(4, 3), (4, 3)]
    """

    def __init__(self, make_step: Callable[[], FlowBijector], num_steps: int, backprop: str = "stored",
                 validate_args: bool = False, name: str = "repeat"):
        parameters = dict(locals())
        num_steps = check_int("num_steps", num_steps)
        check_choice("backprop", backprop, ("stored", "reversible"))
        if not callable(make_step) or isinstance(make_step, FlowBijector):
            raise ValueError("Argument `make_step` must be a callable that returns a new FlowBijector; "
                             f"received {make_step!r}.")
        template = _checked_step(make_step())
        values = stack_values(make_step, num_steps, template)
        super().__init__(
            template.event_shape, dtype=template.dtype, is_constant_jacobian=template.is_constant_jacobian,
            validate_args=validate_args, parameters=parameters, name=name)
        self._num_steps, self._backprop = num_steps, backprop
        self._template = Hidden(template)
        self._stacks = untracked(self, [
            self._add_stack(f"{variable.name}_{index}", variable, value)
            for index, (variable, value) in enumerate(zip(template.keras_variables, values, strict=True))])
        self._step = Hidden(template._prepared())
        self._maps = Hidden(_prepared_maps(self._step.value))
        of_maps = {id(v) for channel_map in self._maps.value for v in channel_map.keras_variables}
        self._direct = Hidden([v for v in self._step.value.keras_variables if id(v) not in of_maps])

    def _add_stack(self, name: str, variable: keras.Variable, values: np.ndarray) -> keras.Variable:
        """Creates the parameter that holds the values of a variable of the template in all steps."""
        if isinstance(variable, IndexVariable):
            return self._add_indices(name, values)
        return self._add_parameter(name, values.shape, constant_initializer(values), variable.trainable,
                                   variable.dtype, variable.regularizer)

    @property
    def num_steps(self) -> int:
        """The number of steps."""
        return self._num_steps

    @property
    def network_dtypes(self) -> set[str]:
        """Names of the dtypes that the Keras layers of the repeated bijector compute in."""
        return self._template.value.network_dtypes

    @property
    def context_shape(self) -> Shape | None:
        """Shape of the additional input `context` of every step for one event: a tuple of ints, or None."""
        return self._template.value.context_shape

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        return self._loop("forward", x, self._prepare("forward"), **conditions)

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        stacks = self._prepare("inverse")
        if self._backprop == "stored":
            return self._loop("inverse", y, stacks, **conditions)
        # A custom gradient covers only arguments of the function, so the context of all steps is an argument.
        shared = [] if self.context_shape is None or conditions.get("context") is None else [
            tf.cast(tf.convert_to_tensor(conditions["context"]), self.dtype)]
        # The gradient may be computed later, where the parameters no longer have the values that an outer `Repeat` set.
        forward = self._prepare_rebuilding()
        sizes = len(stacks), len(stacks) + len(forward)

        @tf.custom_gradient
        def run(y: tf.Tensor, *tensors: tf.Tensor) -> Any:
            stacks, forward, shared = tensors[:sizes[0]], tensors[sizes[0]:sizes[1]], tensors[sizes[1]:]
            given = {**conditions, "context": shared[0]} if shared else conditions
            x, log_det = self._loop("inverse", y, stacks, differentiable=False, **given)

            def gradient(dx: tf.Tensor, dlog_det: tf.Tensor) -> Any:
                _, dy, d_stacks, d_shared = self._rebuild(x, dx, dlog_det, stacks, forward, shared, **given)
                return dy, *d_stacks, *[None] * len(forward), *d_shared

            return (x, log_det), gradient

        return run(y, *stacks, *forward, *shared)

    def _inverse_vjp(self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor,
                     **conditions: Any) -> tuple[tf.Tensor, tf.Tensor, dict[str, tf.Tensor]]:
        # Another `Repeat`, whose step contains this one, calls this method.
        sources = self._sources(**conditions)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            stacks = self._prepare("inverse")
        shared = [tf.cast(sources["context"], self.dtype)] if "context" in sources else []
        y, dy, d_stacks, d_shared = self._rebuild(
            x, dx, dlog_det, stacks, self._prepare_rebuilding(), shared, **conditions)
        trained = [index for index, d in enumerate(d_stacks) if d is not None]
        d_sources = tape.gradient([stacks[index] for index in trained], sources, [d_stacks[index] for index in trained],
                                  tf.UnconnectedGradients.ZERO)
        return y, dy, {**d_sources, "context": d_shared[0]} if shared else d_sources

    def _initialize(self, y: tf.Tensor, **conditions: Any) -> tf.Tensor:
        variables = self._template.value.keras_variables
        rows = list(zip(*(tf.unstack(tf.convert_to_tensor(stack.value)) for stack in self._stacks), strict=True))
        for k, row in enumerate(rows):
            with keras.StatelessScope(list(zip(variables, row, strict=True))) as scope:
                y = self._template.value._initialize(y, **conditions)
                rows[k] = tuple(scope.get_current_value(variable) for variable in variables)
        for stack, values in zip(self._stacks, zip(*rows, strict=True), strict=True):
            stack.assign(tf.stack(values))
        return y

    # The stages prepare, read and step of the module docstring.

    def _inputs(self, direction: str) -> list[keras.Variable]:
        """Returns the variables of the prepared step that a pass reads, in the order of `_prepare`."""
        return [*self._direct.value, *(v for channel_map in self._maps.value
                                       for v in channel_map.variables_of(direction))]

    def _prepare(self, direction: str) -> list[tf.Tensor]:
        """Computes, for all steps at once, the values of `_inputs(direction)`, each `[num_steps, ...]`."""
        stacks = {id(variable): tf.convert_to_tensor(stack.value)
                  for variable, stack in zip(self._template.value.keras_variables, self._stacks, strict=True)}

        def read(variable: keras.Variable) -> tf.Tensor:
            return stacks[id(variable)]

        return [*map(read, self._direct.value), *(value for channel_map in self._maps.value
                                                  for value in channel_map.values_of(direction, read))]

    @contextlib.contextmanager
    def _bound_step(self, inputs: list[keras.Variable], row: Row) -> Iterator[FlowBijector]:
        """Yields the prepared step with its variables `inputs` set to the tensors of `row`, one per variable."""
        with keras.StatelessScope(list(zip(inputs, row, strict=True))):
            yield self._step.value

    def _loop(self, direction: str, value: tf.Tensor, stacks: Sequence[tf.Tensor], differentiable: bool = True,
              **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        inputs, read_row = self._inputs(direction), row_reader(stacks, differentiable)

        def body(i: tf.Tensor, value: tf.Tensor, log_det: tf.Tensor) -> Any:
            k = i if direction == "inverse" else self._num_steps - 1 - i
            with self._bound_step(inputs, read_row(k)) as step:
                run = step._inverse_and_log_det if direction == "inverse" else step._forward_and_log_det
                value, one = run(value, **conditions)
            return i + 1, value, log_det + one

        start = (value, tf.zeros(tf.shape(value)[:-len(self.event_shape)], value.dtype))
        return loop(self._num_steps, body, start)

    def _prepare_rebuilding(self) -> list[tf.Tensor]:
        """Computes the values that `_rebuild` reads in addition to `_prepare("inverse")`, each `[num_steps, ...]`."""
        return self._prepare("forward")[len(self._direct.value):]  # Both directions share the inputs before this index.

    def _rebuild(self, x: tf.Tensor, dx: tf.Tensor, dlog_det: tf.Tensor, stacks: Sequence[tf.Tensor],
                 forward: Sequence[tf.Tensor], shared: Sequence[tf.Tensor],
                 **conditions: Any) -> tuple[tf.Tensor, tf.Tensor, list[Any], list[tf.Tensor]]:
        """Computes the gradient of the inverse direction for `backprop="reversible"`.

        Args:
          x: the latents that the inverse pass returned.
          dx: gradient of the loss with respect to `x`.
          dlog_det: gradient of the loss with respect to the log-determinant, of the batch shape.
          stacks: the tensors of `_prepare("inverse")`.
          forward: the tensors of `_prepare_rebuilding()`.
          shared: a list with the context, or an empty list.
          **conditions: the keyword arguments of the inverse pass.

        Returns:
          `(y, dy, d_stacks, d_shared)`: the rebuilt data, and the gradients with respect to the data, to each tensor of
          `stacks` and to each tensor of `shared`. The gradient of a stack that is not trainable is None.
        """
        inputs, forward_inputs = self._inputs("inverse"), self._inputs("forward")[len(self._direct.value):]
        trained = [index for index, variable in enumerate(inputs) if variable.trainable]
        read_row = row_reader([*stacks, *forward], differentiable=False)

        def body(i: tf.Tensor, x: tf.Tensor, dx: tf.Tensor, d_stacks: Any, d_shared: Any) -> Any:
            k = self._num_steps - 1 - i
            with self._bound_step([*inputs, *forward_inputs], read_row(k)) as step:
                y, dy, d_sources = step._inverse_vjp(x, dx, dlog_det, **conditions)
            d_stacks = [array.write(k, d_sources[source_key(inputs[index])])
                        for array, index in zip(d_stacks, trained, strict=True)]
            return i + 1, y, dy, d_stacks, [total + d_sources["context"] for total in d_shared]

        start = (0, x, dx, [empty_array(stacks[index]) for index in trained], [tf.zeros_like(s) for s in shared])
        # One iteration at a time. In parallel, iterations would run ahead of the gradients of kernels, whose inputs
        # would then accumulate in memory.
        _, y, dy, arrays, d_shared = tf.while_loop(
            lambda i, *_: i < self._num_steps, body, start, parallel_iterations=1,
            maximum_iterations=self._num_steps)
        d_stacks: list[Any] = [None] * len(inputs)
        for index, array in zip(trained, arrays, strict=True):
            d_stacks[index] = array.stack()
        return y, dy, d_stacks, d_shared


def _prepared_maps(step: FlowBijector) -> list[PreparedChannelAffine]:
    """Returns every `PreparedChannelAffine` in a prepared step."""
    return [part for part in (step, *step.submodules) if isinstance(part, PreparedChannelAffine)]


def _checked_step(template: Any) -> FlowBijector:
    if not isinstance(template, FlowBijector) or template.event_shape != template.latent_shape:
        raise ValueError("Argument `make_step` must return a FlowBijector whose latent shape is its event shape; "
                         f"received {template!r}.")
    if len(template.variables) != len(template.keras_variables):
        raise ValueError("Argument `make_step` must return a bijector with Keras variables only; received "
                         f"{template.name!r}, which has {len(template.variables)} variables and "
                         f"{len(template.keras_variables)} Keras variables.")
    changed = _changed_in_training(template)
    if changed:
        raise ValueError("Argument `make_step` must return a bijector that does not change its variables in a training "
                         "pass, because a loop cannot carry running statistics or the state of dropout (use Steps "
                         f"instead); received one that changes {', '.join(changed[:3])}.")
    return template


def _changed_in_training(bijector: FlowBijector) -> list[str]:
    """Returns the names of the variables that a training pass changes, such as those of batch normalization."""
    networks = [layer for layer in bijector.keras_layers if not isinstance(layer, ParameterLayer)]
    if not any(v.dtype != "bool" for layer in networks for v in layer.non_trainable_variables):
        return []
    context = None if bijector.context_shape is None else tf.zeros((1, *bijector.context_shape), bijector.dtype)
    with keras.StatelessScope() as scope:
        bijector._inverse_and_log_det(
            tf.zeros((1, *bijector.event_shape), bijector.dtype), context=context, training=True)
    return [v.path for v in bijector.keras_variables if scope.get_current_value(v) is not None]
