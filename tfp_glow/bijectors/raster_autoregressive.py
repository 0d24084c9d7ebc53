# SPDX-License-Identifier: Apache-2.0
"""`RasterAutoregressive`: autoregression over the pixels of an image, row after row."""

import math
from typing import Any

import keras
import tensorflow as tf

from tfp_glow._checks import check_shape
from tfp_glow._compat_tensorflow import untracked
from tfp_glow._types import DTypeLike, ShapeLike
from tfp_glow.bijectors._conditioner import Conditioner
from tfp_glow.bijectors.flow_bijector import FlowBijector
from tfp_glow.transforms import ElementwiseTransform, check_transform


class RasterAutoregressive(FlowBijector):
    """Applies an elementwise transform to every pixel, with parameters computed from the pixels before it.

    The pixels are ordered by rows from top to bottom, and within a row from left to right. With
    `features = network(y)`, where `features[i]` of the pixel `i` depends on the pixels before `i` only, and
    `raw[i, k] = head([y[i], features[i]])[k]`, which depends on the channels `y[i, :k]` only:

    * inverse: `x[i, k] = transform.inverse(y[i, k], raw[i, k])` for all `i` and `k` in parallel, by one evaluation of
      the network;
    * forward: `y[i, k] = transform.forward(x[i, k], raw[i, k])`, one channel of one pixel after the other, by an
      evaluation of the network per pixel.

    The log-determinant is the sum of the transform's log-determinants over all elements.

    Args:
      shape: event shape, `(height, width, channels)`.
      network: a Keras layer that maps `[batch, height, width, channels]` to features `[batch, height, width, size]` of
        any size, such as `tfp_glow.networks.CausalResNet`. The features of a pixel must depend on earlier pixels only;
        this is not checked. If the layer has a method `at`, as `tfp_glow.networks.PixelFeatures` has, `at(y, row,
        column)` returns the features of one pixel, `[batch, size]`, and the forward pass calls it. The constructor
        builds network and head if they are not built.
      head: a Keras layer that maps the pair of `[batch, channels]` and `[batch, size]`, a pixel and its features, to
        `[batch, channels, transform.num_parameters]`, such as `tfp_glow.networks.MADE` with a context. Its outputs
        `[:, k]` must depend on the features and on the channels `[:, :k]` only; this is not checked.
      transform: an elementwise transform, such as `tfp_glow.transforms.LogisticMixture()`.
      dtype: float32 (the default) or float64, of events. The networks may compute in another dtype, such as bfloat16.
      validate_args: a bool, passed to `tfb.Bijector`. The default is False.
      name: name of the bijector.

    Raises:
      ValueError: if `shape` does not have 3 positive sizes, `network` or `head` is no Keras 3 layer or does not accept
        these inputs, the output of `head` does not have the shape above, `transform` is no elementwise transform, or
        `dtype` is neither float32 nor float64.

    References:
      van den Oord, Kalchbrenner and Kavukcuoglu, *Pixel recurrent neural networks*, 2016, section 2.

    Example:

    >>> network = tfp_glow.networks.CausalResNet(8, num_blocks=1)
    >>> head = tfp_glow.networks.MADE(3, (16,), context_size=8)
    >>> transform = tfp_glow.transforms.Affine("tanh")
    >>> flow = tfp_glow.bijectors.RasterAutoregressive((4, 4, 3), network, head, transform)
    >>> flow.inverse(tf.zeros((5, 4, 4, 3))).shape
    TensorShape([5, 4, 4, 3])
    """

    def __init__(self, shape: ShapeLike, network: keras.Layer, head: keras.Layer, transform: ElementwiseTransform,
                 dtype: DTypeLike = "float32", validate_args: bool = False, name: str = "raster_autoregressive"):
        parameters = dict(locals())
        shape = check_shape("shape", shape, ranks=(3,))
        for argument, layer in (("network", network), ("head", head)):
            if not isinstance(layer, keras.Layer):
                raise ValueError(f"Argument `{argument}` must be a Keras 3 layer or model; received {layer!r}.")
        super().__init__(shape, dtype=dtype, validate_args=validate_args, parameters=parameters, name=name)
        self._transform = check_transform(transform)
        features = tuple(network.compute_output_shape((None, *shape)))[1:]
        if features[:-1] != shape[:-1]:
            raise ValueError(f"Argument `network` must map images of shape {shape} to features of shape "
                             f"{(*shape[:-1], 'size')}; received a network with outputs of shape {features}.")
        self._features = untracked(self, Conditioner(name, network, shape, None, features, self.dtype, "images"))
        self._raw_parameters = untracked(self, Conditioner(
            f"{name}_head", head, shape[-1:], features[-1:], (shape[-1], transform.num_parameters), self.dtype,
            "pixels"))
        self._networks = [self._add_network(network), self._add_network(head)]

    def _raw(self, y: tf.Tensor, features: tf.Tensor, **conditions: Any) -> tf.Tensor:
        """Returns parameters in the layout of elementwise transforms, `[..., num_parameters, channels]`."""
        return tf.linalg.matrix_transpose(self._raw_parameters(y, **{**conditions, "context": features}))

    def _features_at(self, y: tf.Tensor, i: tf.Tensor, **conditions: Any) -> tf.Tensor:
        """Returns the features of pixel `i` of images, `[..., size]`."""
        row, column = i // self.event_shape[1], i % self.event_shape[1]
        at = getattr(self._networks[0], "at", None)
        if at is None or 0 in y.shape[:-3]:  # `self._features` accepts empty batches.
            return self._features(y, **conditions)[..., row, column, :]
        features = tf.cast(at(tf.reshape(y, (-1, *self.event_shape)), row, column), self.dtype)
        return tf.reshape(features, tf.concat([tf.shape(y)[:-3], features.shape[-1:]], axis=0))

    def _inverse_and_log_det(self, y: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        raw = self._raw(y, self._features(y, **conditions), **conditions)
        size = self._transform.num_parameters * self.event_shape[-1]
        x, log_det = self._transform.inverse(y, tf.reshape(raw, tf.concat([tf.shape(y)[:-1], [size]], axis=0)))
        return x, tf.zeros([], self.dtype) if log_det is None else tf.reduce_sum(log_det, axis=(-3, -2, -1))

    def _forward_and_log_det(self, x: tf.Tensor, **conditions: Any) -> tuple[tf.Tensor, tf.Tensor]:
        size, channels = math.prod(self.event_shape[:-1]), self.event_shape[-1]
        batch_shape = tf.shape(x)[:-3]
        flat, image = (tf.concat([batch_shape, shape], axis=0) for shape in ([size, channels], self.event_shape))
        latents = tf.reshape(x, flat)

        def transform_pixel(i: tf.Tensor, y: tf.Tensor, log_det: tf.Tensor) -> tuple[tf.Tensor, ...]:
            """Adds pixel `i`, from the features of the pixels before it; later pixels of y are 0."""
            features, latent = self._features_at(tf.reshape(y, image), i, **conditions), tf.gather(latents, i, axis=-2)
            pixel = tf.zeros_like(latent)
            for k in range(channels):
                raw = self._raw(pixel, features, **conditions)[..., k]
                channel, one = self._transform.forward(latent[..., k:k + 1], raw)
                pixel = tf.concat([pixel[..., :k], channel, pixel[..., k + 1:]], axis=-1)
                log_det = log_det if one is None else log_det + one[..., 0]
            y = tf.where((tf.range(size) == i)[:, tf.newaxis], pixel[..., tf.newaxis, :], y)
            return i + 1, y, log_det

        y, log_det = tf.while_loop(lambda i, *_: i < size, transform_pixel,
                                   (0, tf.zeros_like(latents), tf.zeros_like(x[..., 0, 0, 0])),
                                   maximum_iterations=size)[1:]
        return tf.reshape(y, image), log_det
