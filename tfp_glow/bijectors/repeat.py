# SPDX-License-Identifier: Apache-2.0
"""`Repeat`: depth as a loop over stacked parameters."""

import keras
import tensorflow as tf

from tfp_glow.bijectors.checks import check_choice, check_int
from tfp_glow.bijectors.flow_bijector import FlowBijector


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
      ValueError: if an argument is not as said.

    Reference: Gomez, Ren, Urtasun and Grosse, *The reversible residual network*, 2017, for the rebuilt activations.

    >>> flow = Repeat(lambda: tfp_glow.bijectors.ActNorm((3,)), num_steps=4)
    >>> [tuple(v.shape) for v in flow.trainable_variables]
    [(4, 3), (4, 3)]
    """

    def __init__(self, make_step, num_steps, backprop="stored", validate_args=False, name="repeat"):
        parameters = dict(locals())
        self._num_steps = check_int("num_steps", num_steps)
        self._backprop = check_choice("backprop", backprop, ("stored", "reversible"))
        steps = [make_step() for _ in range(num_steps)]
        template = _check_steps(steps)
        super().__init__(
            template.event_shape, dtype=template.dtype, is_constant_jacobian=template.is_constant_jacobian,
            validate_args=validate_args, parameters=parameters, name=name)
        # Only the stacked variables are parameters: the template's own must stay out of everybody's sight.
        self._template = _Hidden(template)
        stacks = []
        for index, variable in enumerate(template.keras_variables):
            values = [keras.ops.convert_to_numpy(step.keras_variables[index]) for step in steps]
            stacks.append(self._add_parameter(
                f"{variable.name}_{index}", (num_steps, *variable.shape), _stack_of(values), variable.trainable,
                variable.dtype, variable.regularizer))
        self._stacks = self._no_dependency(stacks)

    @property
    def num_steps(self):
        """How many steps there are."""
        return self._num_steps

    def _forward_and_log_det(self, x, **conditions):
        template = self._template.bijector
        return self._loop(template._forward_and_log_det, x, self._values(), reverse=True, **conditions)

    def _inverse_and_log_det(self, y, **conditions):
        inverse = self._template.bijector._inverse_and_log_det
        if self._backprop == "stored":
            return self._loop(inverse, y, self._values(), **conditions)
        fixed = {i: v for i, (v, s) in enumerate(zip(self._values(), self._stacks, strict=True)) if not s.trainable}

        @tf.custom_gradient
        def run(y, *trainable):
            trainable = iter(trainable)
            values = [fixed[i] if i in fixed else next(trainable) for i in range(len(self._stacks))]
            x, log_det = self._loop(inverse, y, values, **conditions)

            def gradient(dx, dlog_det):
                dy, d_values = self._rebuild(x, dx, dlog_det, values, **conditions)
                return dy, *d_values

            return (x, log_det), gradient

        return run(y, *(v for v, s in zip(self._values(), self._stacks, strict=True) if s.trainable))

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

    def _values(self):
        return [tf.convert_to_tensor(stack.value) for stack in self._stacks]

    def _step(self, arrays, k):
        """The scope in which the template is step `k`."""
        variables = self._template.bijector.keras_variables
        return keras.StatelessScope([(v, a.read(k)) for v, a in zip(variables, arrays, strict=True)])

    def _loop(self, method, value, values, reverse=False, **conditions):
        arrays = [_unstack(v) for v in values]

        def body(i, value, log_det):
            with self._step(arrays, self._num_steps - 1 - i if reverse else i):
                value, one = method(value, **conditions)
            return i + 1, value, log_det + one

        batch_shape = tf.shape(value)[:-len(self.event_shape)]
        start = (0, value, tf.zeros(batch_shape, value.dtype))
        _, value, log_det = tf.while_loop(
            lambda i, *_: i < self._num_steps, body, start, maximum_iterations=self._num_steps)
        return value, log_det

    def _rebuild(self, x, dx, dlog_det, values, **conditions):
        """The gradient of the inverse direction, from its outputs: each step's input is rebuilt on the way back."""
        arrays = [_unstack(v) for v in values]
        template = self._template.bijector
        grads = [tf.TensorArray(s.dtype, self._num_steps, element_shape=s.shape[1:])
                 for s in self._stacks if s.trainable]

        def body(i, x, dx, grads):
            k = self._num_steps - 1 - i
            with self._step(arrays, k):
                y, dy, d_parameters = template._inverse_vjp(x, dx, dlog_det, **conditions)
            return i + 1, y, dy, [g.write(k, d) for g, d in zip(grads, d_parameters, strict=True)]

        *_, dy, grads = tf.while_loop(
            lambda i, *_: i < self._num_steps, body, (0, x, dx, grads), maximum_iterations=self._num_steps)
        return dy, [g.stack() for g in grads]


class _Hidden:
    """Holds a bijector where neither `tf.Module` nor Keras looks."""

    def __init__(self, bijector):
        self.bijector = bijector


def _check_steps(steps):
    template = steps[0]
    if not isinstance(template, FlowBijector) or template.event_shape != template.latent_shape:
        raise ValueError("Argument `make_step` must return a FlowBijector that keeps the shape of events; "
                         f"received {template!r}.")
    if len(template.variables) != len(template.keras_variables):
        raise ValueError(f"Argument `make_step` must return a bijector with Keras variables only; {template.name} has "
                         f"{len(template.variables)} variables, of which {len(template.keras_variables)} are Keras's.")
    shapes = {tuple(tuple(v.shape) for v in step.keras_variables) for step in steps}
    if len(shapes) > 1:
        raise ValueError(f"Argument `make_step` must return the same structure every time; received {len(shapes)} "
                         "different lists of parameter shapes.")
    return template


def _stack_of(values):
    return lambda shape, dtype=None: tf.stack([tf.convert_to_tensor(v, dtype=dtype) for v in values])


def _unstack(value):
    array = tf.TensorArray(value.dtype, value.shape[0], element_shape=value.shape[1:], clear_after_read=False)
    return array.unstack(value)
