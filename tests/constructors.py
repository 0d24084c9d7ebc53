# SPDX-License-Identifier: Apache-2.0
"""Named constructors that feed the battery: a new bijector costs one line."""

import keras
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow.networks import ConvNet, ZeroConv2D

tfb = tfp.bijectors

IMAGE, VECTOR = (4, 4, 2), (5,)


def dense(outputs, dtype):
    return keras.Sequential([keras.layers.Dense(8, "tanh", dtype=dtype), keras.layers.Dense(outputs, dtype=dtype)])


def conv(outputs, dtype):
    return ConvNet(width=6, out_channels=outputs, dtype=dtype)


def step(shape, dtype):
    """A step of Glow."""
    return tfgb.Steps([
        tfgb.ActNorm(shape, dtype=dtype), tfgb.InvertibleConv1x1(shape, dtype=dtype),
        tfgb.AffineCoupling(shape, conv(shape[-1], dtype), dtype=dtype)])


def two_levels(dtype):
    top = tfgb.Multiscale(tfgb.Squeeze((2, 2, 4), dtype=dtype))
    prior = tfgb.AffineCoupling((2, 2, 8), ZeroConv2D(8, dtype=dtype), scale="exp", dtype=dtype)
    return tfgb.Multiscale(tfgb.Steps([tfgb.Squeeze(IMAGE, dtype=dtype), step((2, 2, 8), dtype), prior]), top)


# Each takes a dtype name and returns a bijector with fresh weights.
CONSTRUCTORS = {
    "act_norm": lambda d: tfgb.ActNorm(IMAGE, dtype=d),
    "act_norm_vector": lambda d: tfgb.ActNorm(VECTOR, dtype=d),
    "affine_pixels": lambda d: tfgb.AffinePixels(IMAGE, num_bits=3, dtype=d),
    "invertible_conv": lambda d: tfgb.InvertibleConv1x1(IMAGE, dtype=d),
    "invertible_conv_vector": lambda d: tfgb.InvertibleConv1x1(VECTOR, dtype=d),
    "squeeze": lambda d: tfgb.Squeeze(IMAGE, dtype=d),
    "squeeze_space_to_depth": lambda d: tfgb.Squeeze(IMAGE, order="space_to_depth", dtype=d),
    "squeeze_by_4": lambda d: tfgb.Squeeze(IMAGE, factor=4, dtype=d),
    "coupling_sigmoid": lambda d: tfgb.AffineCoupling(IMAGE, conv(2, d), dtype=d),
    "coupling_exp": lambda d: tfgb.AffineCoupling(IMAGE, conv(2, d), scale="exp", dtype=d),
    "coupling_tanh": lambda d: tfgb.AffineCoupling(IMAGE, conv(2, d), scale="tanh", dtype=d),
    "coupling_reversed": lambda d: tfgb.AffineCoupling(IMAGE, conv(2, d), "channel_reversed", dtype=d),
    "coupling_odd_channels": lambda d: tfgb.AffineCoupling((4, 4, 3), conv(4, d), dtype=d),
    "coupling_checkerboard": lambda d: tfgb.AffineCoupling(IMAGE, conv(4, d), "checkerboard", dtype=d),
    "coupling_checkerboard_reversed": lambda d: tfgb.AffineCoupling(IMAGE, conv(4, d), "checkerboard_reversed", dtype=d),
    "coupling_vector": lambda d: tfgb.AffineCoupling(VECTOR, dense(6, d), dtype=d),
    "coupling_vector_checkerboard": lambda d: tfgb.AffineCoupling(VECTOR, dense(10, d), "checkerboard", dtype=d),
    "additive_coupling": lambda d: tfgb.AdditiveCoupling(IMAGE, conv(1, d), dtype=d),
    "additive_coupling_checkerboard": lambda d: tfgb.AdditiveCoupling(IMAGE, conv(2, d), "checkerboard", dtype=d),
    "steps_glow": lambda d: step(IMAGE, d),
    "steps_folded_only": lambda d: tfgb.Steps([
        tfgb.ActNorm(VECTOR, dtype=d), tfgb.InvertibleConv1x1(VECTOR, dtype=d), tfgb.ActNorm(VECTOR, dtype=d)]),
    "steps_with_foreign": lambda d: tfgb.Steps([tfb.Shift(keras.ops.cast(1.0, d)), tfgb.ActNorm(VECTOR, dtype=d)]),
    "repeat": lambda d: tfgb.Repeat(lambda: step(IMAGE, d), 3),
    "repeat_reversible": lambda d: tfgb.Repeat(lambda: step(IMAGE, d), 3, backprop="reversible"),
    "repeat_vector": lambda d: tfgb.Repeat(
        lambda: tfgb.Steps([tfgb.ActNorm(VECTOR, dtype=d), tfgb.AffineCoupling(VECTOR, dense(6, d), dtype=d)]), 2),
    "multiscale": two_levels,
}
