# SPDX-License-Identifier: Apache-2.0
"""Layers in NumPy and float64, and a comparison of a flow with its NumPy implementation."""

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp


def randomize_weights(distribution):
    """Randomizes the weights and running statistics of a flow, and returns the flow."""
    rng = np.random.RandomState(1)
    for variable in distribution.bijector.keras_variables:
        if "variance" in variable.name:
            variable.assign(rng.uniform(0.5, 2.0, variable.shape))
        elif variable.trainable or "mean" in variable.name:
            variable.assign_add(0.1 * rng.standard_normal(variable.shape))
    return distribution


def compare(distribution, images, to_latents, to_images):
    """Asserts that a flow and its NumPy implementation agree in both directions and in density."""
    latents, log_det = to_latents(images)
    assert np.all(np.isfinite(latents)) and np.all(np.abs(log_det) < 1e4)
    np.testing.assert_allclose(distribution.bijector.inverse(images), latents, atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(distribution.bijector.inverse_log_det_jacobian(tf.constant(images)), log_det, rtol=1e-6)
    normal = tfp.distributions.Normal(np.float64(0.0), 1.0)
    np.testing.assert_allclose(distribution.log_prob(tf.constant(images)),
                               log_det + normal.log_prob(latents).numpy().sum(-1), rtol=1e-6)
    latents = np.random.RandomState(2).standard_normal(latents.shape)
    expected, log_det = to_images(latents)
    assert np.all(np.isfinite(expected)) and np.all(np.abs(log_det) < 1e4)
    np.testing.assert_allclose(distribution.bijector.forward(latents), expected, atol=1e-6, rtol=1e-6)
    np.testing.assert_allclose(distribution.bijector.forward_log_det_jacobian(tf.constant(latents)), log_det, rtol=1e-6)


def convolution(x, kernel):
    """Computes a convolution with stride 1 and zero padding."""
    pad = kernel.shape[0] // 2
    padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    height, width = x.shape[1:3]
    return sum(padded[:, i:i + height, j:j + width] @ kernel[i, j]
               for i in range(kernel.shape[0]) for j in range(kernel.shape[1]))


def squeezed(x):
    corners = [x[:, a::2, b::2] for a in (0, 1) for b in (0, 1)]
    return np.stack([corner[..., c] for c in range(x.shape[-1]) for corner in corners], -1)


def unsqueezed(x):
    batch, height, width, channels = x.shape
    y = np.zeros((batch, 2 * height, 2 * width, channels // 4))
    for k in range(channels):
        y[:, k % 4 // 2::2, k % 2::2, k // 4] = x[..., k]
    return y


def total(x):
    return x.reshape(len(x), -1).sum(-1)


def relu(x):
    return np.maximum(x, 0.0)


def spline_parts(raw, bins, bound, circular=False, min_width=1e-3, min_height=1e-3, min_slope=1e-3):
    """Returns the widths, heights and slopes of the spline of one element."""
    def lengths(logits, least):
        shares = np.exp(logits) / np.exp(logits).sum()
        return 2 * bound * (least + (1 - bins * least) * shares)

    slopes = min_slope + np.log1p(np.exp(raw[2 * bins:] + np.log(np.exp(1 - min_slope) - 1)))
    slopes = [*slopes, slopes[0]] if circular else [1.0, *slopes, 1.0]
    return lengths(raw[:bins], min_width), lengths(raw[bins:2 * bins], min_height), np.array(slopes)


def spline_value(y, bound, widths, heights, slopes):
    """Returns the rational-quadratic spline at `y`, with the formula of the paper for the bin of `y`."""
    starts, lows = np.cumsum(widths) - widths - bound, np.cumsum(heights) - heights - bound
    k = np.sum(starts <= y) - 1
    s, t = heights[k] / widths[k], (y - starts[k]) / widths[k]
    return lows[k] + heights[k] * (s * t**2 + slopes[k] * t * (1 - t)) / (
        s + (slopes[k] + slopes[k + 1] - 2 * s) * t * (1 - t))
