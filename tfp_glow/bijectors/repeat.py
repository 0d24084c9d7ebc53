# SPDX-License-Identifier: Apache-2.0
"""`Repeat`: depth as a loop over stacked parameters."""

import contextlib

import keras
import numpy as np
import tensorflow as tf

from tfp_glow.bijectors.channel_affine import Affine, tensors_of
from tfp_glow._checks import check_choice, check_int
from tfp_glow.bijectors.flow_bijector import FlowBijector, FlowParameters
from tfp_glow.bijectors._stacking import key_of, substituted


class Repeat(FlowBijector):
    """`num_steps` bijectors of one structure, run as a loop over stacked parameters.

    Equal to `Steps([make_step() for _ in range(num_steps)])`, with the first step on the image side; but the structure
    is traced once, so neither graph nor trace time grows with depth. Each parameter of a step becomes one of shape
    `[num_steps, ...]`.

    In training, `backprop="stored"` keeps every step's activations, as ordinary backpropagation does, and
    `"reversible"` rebuilds them from the outputs, so that memory does not grow with depth.

    Args:
      make_step: a callable without arguments that returns a new `FlowBijector`, the same in structure every time,
        over events whose shape it does not change, with Keras variables only.
      num_steps: how many, an int of at least 1.
      backprop: `"stored"` or `"reversible"`; the latter acts in the direction image to latent, that of training.
      validate_args: passed to `tfb.Bijector`.
      name: name of the bijector.

    Raises:
      ValueError: if an argument is not as said, or a step changes its own variables in training, as `BatchNorm` does.

    Reference: Gomez, Ren, Urtasun and Grosse, *The reversible residual network*, 2017, for the rebuilt activations.

    >>> flow = Repeat(lambda: tfp_glow.bijectors.ActNorm((3,)), num_steps=4)
    >>> [tuple(v.shape) for v in flow.trainable_variables]
    [(4, 3), (4, 3)]
    """

    def __init__(self, make_step, num_steps, backprop="stored", validate_args=False, name="repeat"):
        parameters = dict(locals())
        self._num_steps = check_int("num_steps", num_steps)
        self._backprop = check_choice("backprop", backprop, ("stored", "reversible"))
        if not callable(make_step) or isinstance(make_step, FlowBijector):
            raise ValueError("Argument `make_step` must be a callable that returns a new FlowBijector; "
                             f"received {make_step!r}.")
        template = _check_step(make_step())
        values = [np.empty((num_steps, *v.shape), v.dtype) for v in template.keras_variables]
        for k in range(num_steps):  # One at a time: of the others only the values are wanted.
            _put_values(values, k, template if k == 0 else make_step())
        super().__init__(
            template.event_shape, dtype=template.dtype, is_constant_jacobian=template.is_constant_jacobian,
            validate_args=validate_args, parameters=parameters, name=name)
        # Only the stacked variables are parameters: the template's own must stay out of everybody's sight.
        self._template = _Hidden(template)
        stacks = []
        for index, variable in enumerate(template.keras_variables):
            stacks.append(self._add_parameter(
                f"{variable.name}_{index}", (num_steps, *variable.shape), _given(values[index]), variable.trainable,
                variable.dtype, variable.regularizer))
        self._stacks = self._no_dependency(stacks)
        self._is_diagonal = self._no_dependency({
            key_of(stage, direction): stage._affine(direction).diagonal
            for stage in template._affine_stages() for direction in ("forward", "inverse")})
        prepared = {key_of(v) for stage in template._affine_stages() for v in stage.keras_variables}
        self._prepared = self._no_dependency(prepared)
        self._source_keys = self._no_dependency(sorted([
            *(key_of(v) for v in template.keras_variables if v.trainable and key_of(v) not in prepared),
            *(key_of(stage, "inverse") for stage in template._affine_stages())]))

    @property
    def num_steps(self):
        """How many steps there are."""
        return self._num_steps

    @property
    def context_shape(self):
        """Shape of the context that every step needs for one event, a tuple, or None."""
        return self._template.bijector.context_shape

    def _forward_and_log_det(self, x, **conditions):
        return self._loop("forward", x, self._stacked("forward"), **conditions)

    def _inverse_and_log_det(self, y, **conditions):
        stacked = self._stacked("inverse")
        if self._backprop == "stored":
            return self._loop("inverse", y, stacked, **conditions)
        # A custom gradient is with respect to arguments only: the context, which all steps share, must be one too.
        shared = {} if self.context_shape is None or conditions.get("context") is None else {
            "context": tf.cast(tf.convert_to_tensor(conditions["context"]), self.dtype)}
        sources = ({key: stacked[key] for key in self._source_keys}, shared)

        @tf.custom_gradient
        def run(y, *tensors):
            sources_here, shared_here = tf.nest.pack_sequence_as(sources, tensors)
            stacked_here, conditions_here = {**stacked, **sources_here}, {**conditions, **shared_here}
            x, log_det = self._loop("inverse", y, stacked_here, differentiable=False, **conditions_here)

            def gradient(dx, dlog_det):
                dy, d_sources, d_shared = self._rebuild(x, dx, dlog_det, stacked_here, shared_here, **conditions_here)
                return dy, *tf.nest.flatten((d_sources, d_shared))

            return (x, log_det), gradient

        return run(y, *tf.nest.flatten(sources))

    def _initialize(self, y, **conditions):
        variables = self._template.bijector.keras_variables
        stacks = [keras.ops.convert_to_numpy(stack).copy() for stack in self._stacks]
        for k in range(self._num_steps):
            for variable, stack in zip(variables, stacks, strict=True):
                variable.assign(stack[k])
            y = self._template.bijector._initialize(y, **conditions)
            for variable, stack in zip(variables, stacks, strict=True):
                stack[k] = keras.ops.convert_to_numpy(variable)
        for variable, stack in zip(self._stacks, stacks, strict=True):
            variable.assign(stack)
        return y

    def _stacked(self, direction):
        """All steps' parameters in a direction, by key: what the loop reads row by row.

        The affine maps among the steps' parts are made here, once for all steps, from the stacks of their parameters.
        """
        variables = self._template.bijector.keras_variables
        values = {key_of(v): tf.convert_to_tensor(s.value) for v, s in zip(variables, self._stacks, strict=True)}
        stages = self._template.bijector._affine_stages()
        stacked = {key: value for key, value in values.items() if key not in self._prepared}
        with substituted(values):
            for stage in stages:
                stacked[key_of(stage, direction)] = tensors_of(stage._affine(direction))
        return stacked

    @contextlib.contextmanager
    def _as_step(self, rows):
        """Makes the template the step of which these are the parameters."""
        bijector = self._template.bijector
        state = [(v, rows[key_of(v)]) for v in bijector.keras_variables if key_of(v) in rows]
        affines = {}
        for stage in bijector._affine_stages():
            for direction in ("forward", "inverse"):
                key = key_of(stage, direction)
                if key in rows:
                    affines[key] = Affine.of_tensors(rows[key], self._is_diagonal[key])
        with keras.StatelessScope(state), substituted(affines):
            yield bijector

    def _loop(self, direction, value, stacked, differentiable=True, **conditions):
        row = _row_reader(stacked, differentiable)

        def body(i, value, log_det):
            k = i if direction == "inverse" else self._num_steps - 1 - i
            with self._as_step(row(k)) as step:
                value, one = getattr(step, f"_{direction}_and_log_det")(value, **conditions)
            return i + 1, value, log_det + one

        start = (0, value, tf.zeros(tf.shape(value)[:-len(self.event_shape)], value.dtype))
        return tf.while_loop(lambda i, *_: i < self._num_steps, body, start, maximum_iterations=self._num_steps)[1:]

    def _rebuild(self, x, dx, dlog_det, stacked, shared, **conditions):
        """The gradient of the inverse direction, from its outputs: each step's input is rebuilt on the way back."""
        row = _row_reader({**self._stacked("forward"), **stacked}, differentiable=False)
        grads = {key: tf.nest.map_structure(_empty_like, stacked[key]) for key in self._source_keys}

        def body(i, x, dx, grads, d_shared):
            k = self._num_steps - 1 - i
            with self._as_step(row(k)) as step:
                y, dy, d_sources = step._inverse_vjp(x, dx, dlog_det, **conditions)
            grads = {key: tf.nest.map_structure(lambda g, d: g.write(k, d), grads[key], d_sources[key])
                     for key in grads}
            return i + 1, y, dy, grads, {key: d + d_sources[key] for key, d in d_shared.items()}

        start = (0, x, dx, grads, {key: tf.zeros_like(value) for key, value in shared.items()})
        # One step at a time: none waits for the gradients of kernels, which would pile up with what they need.
        *_, dy, grads, d_shared = tf.while_loop(lambda i, *_: i < self._num_steps, body, start, parallel_iterations=1,
                                                maximum_iterations=self._num_steps)
        return dy, tf.nest.map_structure(lambda g: g.stack(), grads), d_shared


class _Hidden:
    """Holds a bijector where neither `tf.Module` nor Keras looks."""

    def __init__(self, bijector):
        self.bijector = bijector


def _check_step(template):
    if not isinstance(template, FlowBijector) or template.event_shape != template.latent_shape:
        raise ValueError("Argument `make_step` must return a FlowBijector that keeps the shape of events; "
                         f"received {template!r}.")
    if len(template.variables) != len(template.keras_variables):
        raise ValueError(f"Argument `make_step` must return a bijector with Keras variables only; {template.name} has "
                         f"{len(template.variables)} variables, of which {len(template.keras_variables)} are Keras's.")
    written = _written_in_training(template)
    if written:
        raise ValueError("Argument `make_step` must return a bijector that a training pass leaves as it is, as a loop "
                         "cannot carry running averages or the state of dropout (use Steps); received one that writes "
                         f"{', '.join(written[:3])}.")
    return template


def _put_values(stacks, k, step):
    shapes = [stack.shape[1:] for stack in stacks]
    received = [tuple(v.shape) for v in getattr(step, "keras_variables", ())]
    if received != shapes:
        raise ValueError("Argument `make_step` must return the same structure every time; received one with parameters "
                         f"of shapes {received} after one with {shapes}.")
    for stack, variable in zip(stacks, step.keras_variables, strict=True):
        stack[k] = keras.ops.convert_to_numpy(variable)


def _written_in_training(bijector):
    """Names of the variables that a training pass changes: those of batch norm and dropout, in networks too."""
    networks = [layer for layer in bijector.keras_layers if not isinstance(layer, FlowParameters)]
    if not any(v.dtype != "bool" for layer in networks for v in layer.non_trainable_variables):
        return []
    context = None if bijector.context_shape is None else tf.zeros((1, *bijector.context_shape), bijector.dtype)
    with keras.StatelessScope() as scope:
        bijector._inverse_and_log_det(
            tf.zeros((1, *bijector.event_shape), bijector.dtype), context=context, training=True)
    return [v.path for v in bijector.keras_variables if scope.get_current_value(v) is not None]


def _given(value):
    return lambda shape, dtype=None: tf.convert_to_tensor(value, dtype=dtype)


def _empty_like(value):
    return tf.TensorArray(value.dtype, value.shape[0], element_shape=value.shape[1:])


def _row_reader(stacked, differentiable):
    """A function of `k` that reads the rows `k`.

    Autodiff of a slice in a loop would make a gradient as large as the stack in every turn, which lists of rows avoid;
    but a list is a copy of the stack, of no use where autodiff does not go.
    """
    if not differentiable:
        return lambda k: tf.nest.map_structure(lambda value: value[k], stacked)
    arrays = tf.nest.map_structure(_unstack, stacked)
    return lambda k: tf.nest.map_structure(lambda array: array.read(k), arrays)


def _unstack(value):
    array = tf.TensorArray(value.dtype, value.shape[0], element_shape=value.shape[1:], clear_after_read=False)
    return array.unstack(value)
