# SPDX-License-Identifier: Apache-2.0
"""`MaskedAutoregressive`: an autoregressive bijector over vectors with a masked Keras network."""

from typing import Any

import keras
import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import DTypeLike, Shape, ShapeLike
from tfp_glow.bijectors._conditioner import broadcast_context
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.transforms import Affine, ElementwiseTransform, check_transform


class MaskedAutoregressive(FlowBijector):
    """Applies an elementwise transform to every element of a vector, with parameters computed from earlier elements.

    With `raw = network(y)`, where `raw[i]` depends on `y[:i]` only:

    * inverse: `x[i] = transform.inverse(y[i], raw[i])` for all `i` in parallel, by one evaluation of the network;
    * forward: `y[i] = transform.forward(x[i], raw[i])`, one element after the other, by `size` evaluations.

    The log-determinant is the sum of the transform's log-determinants over all elements. For the default transform
    `Affine("exp")`, with `shift = raw[i, 0]` and `log_scale = raw[i, 1]`:

    * inverse: `x[i] = (y[i] - shift) * exp(-log_scale)`, log-determinant `-sum(log_scale)`;
    * forward: `y[i] = x[i] * exp(log_scale) + shift`, log-determinant `sum(log_scale)`.

    Unlike `tfb.MaskedAutoregressiveFlow`, this class tracks the variables of a Keras 3 network, computes value and
    log-determinant from the same evaluations, and in the forward pass transforms each element once.

    `tfb.Invert` of this bijector is the inverse autoregressive flow. Its forward pass is parallel, and its inverse pass
    computes one element after the other.

    Args:
      shape: event shape, `(size,)`.
      network: a Keras layer or model that maps `[batch, size]` to `[batch, size, transform.num_parameters]`, such as
        `tfp_glow.networks.MADE(size)`. Its outputs `[:, i]` must depend on the inputs `[:, :i]` only; this is not
        checked. With a context, its input is the pair of `[batch, size]` and `[batch, *context_shape]`, and all outputs
        may depend on the context. The constructor builds the network if it is not built.
      dtype: float32 (the default) or float64, of events. The network may compute in another dtype, such as bfloat16.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.
      transform: an elementwise transform, such as `tfp_glow.transforms.LogisticMixture()`. None (the default) means
        `tfp_glow.transforms.Affine("exp")`.
      context_shape: shape of the context of one event, such as `(size,)`. None (the default) means no context.

    Raises:
      ValueError: if `shape` is not one positive size, `network` is no Keras 3 layer, its output does not have the shape
        that the transform requires, `transform` is no elementwise transform, `context_shape` has neither 1 nor 3
        positive sizes, or `dtype` is neither float32 nor float64. In a call: if `context` is missing or has the wrong
        shape.

    References:
      Papamakarios, Pavlakou and Murray, *Masked autoregressive flow for density estimation*, 2017, section 3.1; Kingma
      et al., *Improving variational inference with inverse autoregressive flow*, 2016, section 4.

    Example:

    >>> flow = tfp_glow.bijectors.MaskedAutoregressive((3,), tfp_glow.networks.MADE(3))
    >>> flow.forward(tf.zeros((5, 3))).shape, tfp.bijectors.Invert(flow).forward(tf.zeros((5, 3))).shape
    (TensorShape([5, 3]), TensorShape([5, 3]))
    """

    def __init__(self, shape: ShapeLike, network: keras.Layer, dtype: DTypeLike = "float32",
                 validate_args: bool = False, name: str = "masked_autoregressive",
                 transform: ElementwiseTransform | None = None, context_shape: ShapeLike | None = None):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(1,))
        if context_shape is not None:
            context_shape = check_shape("context_shape", context_shape, ranks=(1, 3))
        if not isinstance(network, keras.Layer):
            raise ValueError(f"Argument `network` must be a Keras 3 layer or model; received {network!r}.")
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._transform = Affine("exp") if transform is None else check_transform(transform)
        self._context_shape = untracked(self, context_shape)
        expected = (*shape, self._transform.num_parameters)
        inputs = [keras.KerasTensor((None, *each), dtype=self.dtype.name) for each in (shape, context_shape) if each]
        received = tuple(network(inputs if len(inputs) > 1 else inputs[0]).shape)[1:]
        if received != expected:
            raise ValueError(f"Argument `network` must map vectors of shape {shape} to outputs of shape {expected}; "
                             f"received a network with outputs of shape {received}.")
        self._network = self._add_network(network)

    @property
    def network(self) -> keras.Layer:
        """The network that the constructor received, a Keras layer."""
        return self._network

    @property
    def context_shape(self) -> Shape | None:
        """Shape of the additional input `context` for one event: a tuple of ints, or None for no context."""
        return self._context_shape

    def _raw_parameters(self, y: tf.Tensor, context: Any = None, training: Any = None) -> tf.Tensor:
        """Returns the network's output in the layout of elementwise transforms, `[..., num_parameters * size]`."""
        arguments = {} if training is None else {"training": training}
        inputs = tf.reshape(y, (-1, *self.event_shape))
        if self._context_shape is not None:
            context = broadcast_context(self.name, context, self._context_shape, y, event_ndims=1)
            inputs = [inputs, tf.reshape(context, (-1, *self._context_shape))]
        raw = tf.cast(self._network(inputs, **arguments), self.dtype)
        raw = tf.linalg.matrix_transpose(raw)
        size = self._transform.num_parameters * self.event_shape[0]
        return tf.reshape(raw, tf.concat([tf.shape(y)[:-1], [size]], axis=0))

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        x, log_det = self._transform.inverse(y, self._raw_parameters(y, **conditions))
        return x, tf.zeros([], self.dtype) if log_det is None else tf.reduce_sum(log_det, axis=-1)

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        size = self.event_shape[0]
        parameters_shape = tf.concat([tf.shape(x)[:-1], [self._transform.num_parameters, size]], axis=0)

        def transform_element(i: tf.Tensor, y: tf.Tensor, log_det: tf.Tensor) -> tuple[tf.Tensor, ...]:
            """Adds element `i`, which the network computes from the elements before it; later elements of y are 0."""
            raw = tf.reshape(self._raw_parameters(y, **conditions), parameters_shape)
            element, element_log_det = self._transform.forward(tf.gather(x, [i], axis=-1), tf.gather(raw, i, axis=-1))
            y = tf.where(tf.range(size) == i, element, y)
            return i + 1, y, log_det if element_log_det is None else log_det + element_log_det[..., 0]

        y, log_det = tf.while_loop(lambda i, *_: i < size, transform_element,
                                   (0, tf.zeros_like(x), tf.zeros_like(x[..., 0])), maximum_iterations=size)[1:]
        return y, log_det
