# SPDX-License-Identifier: Apache-2.0
"""Named constructors of bijectors for bijectors/test_battery.py. Each new bijector needs one entry."""

import functools

import keras
import numpy as np
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow.bijectors.masks import make_mask
from tfp_glow.networks import (
    MADE,
    MLP,
    CausalResNet,
    ConvNet,
    PixelInputs,
    PlacedResNet,
    ResidualMADE,
    ResidualMLP,
    ResNet,
    ScaledTanh,
    ViT,
    ZeroConv2D,
)
from tfp_glow.transforms import Affine, LogisticMixture, LogisticMixtureCDF, RationalQuadraticSpline

tfb = tfp.bijectors

IMAGE, VECTOR = (4, 4, 2), (5,)


def dense(outputs, dtype):
    return keras.Sequential([keras.layers.Dense(8, "tanh", dtype=dtype), keras.layers.Dense(outputs, dtype=dtype)])


def conv(outputs, dtype):
    return ConvNet(width=6, out_channels=outputs, dtype=dtype)


def resnet(outputs, dtype, mask=None):
    mask = make_mask(mask, IMAGE).kept if mask else None
    return ResNet(4, outputs, num_blocks=1, mask=mask, dtype=dtype)


def batch_norm(shape, dtype):
    """Returns a BatchNorm whose running statistics differ from their initial values."""
    norm = tfgb.BatchNorm(shape, dtype=dtype)
    norm.statistics.mean.assign(keras.ops.linspace(-1.0, 1.0, shape[-1], dtype=dtype))
    norm.statistics.variance.assign(keras.ops.linspace(0.5, 2.0, shape[-1], dtype=dtype))
    return norm


def mlp(outputs, dtype):
    return keras.Sequential([MLP(outputs, (8,), "tanh", dtype=dtype), ScaledTanh(0.5, dtype=dtype)])


class Given(tfgb.FlowBijector):
    """A conditioned bijector with a fixed context. The battery can call it without a context."""

    context_shape = None

    def __init__(self, bijector, context):
        super().__init__(bijector.event_shape, bijector.latent_shape, dtype=bijector.dtype, name="given")
        self._bijector, self._context = self._add_child(bijector), context

    def _forward_and_log_det(self, x, **conditions):
        return self._bijector._forward_and_log_det(x, context=self._context)

    def _inverse_and_log_det(self, y, **conditions):
        return self._bijector._inverse_and_log_det(y, context=self._context)


def autoregressive(dtype):
    return tfgb.MaskedAutoregressive(VECTOR, MADE(5, (8,), "tanh", dtype=dtype), dtype=dtype)


def on_pixels(bijector, shape, dtype):
    """Puts a map from real numbers to 3-bit pixel values before `bijector`, whose events are such values."""
    to_logits = tfgb.LogitPixels(shape, num_bits=3, alpha=1e-6, dtype=dtype)
    return tfgb.Steps([tfb.Invert(to_logits), bijector])


def mixture(shape, dtype):
    """Returns a coupling whose elementwise transform is a mixture of logistics."""
    transform = LogisticMixture(num_components=2, num_bits=3)
    network = keras.Sequential([
        PixelInputs(num_bits=3, mark_black=True, dtype=dtype), PlacedResNet(4, 6, num_blocks=1, dtype=dtype)])
    return on_pixels(tfgb.Coupling(shape, network, transform, dtype=dtype), shape, dtype)


def autoregressive_mixture(dtype):
    transform = LogisticMixture(num_components=2, num_bits=3)
    network = MADE(5, (8,), "tanh", transform.num_parameters, dtype=dtype)
    return on_pixels(tfgb.MaskedAutoregressive(VECTOR, network, dtype, transform=transform), VECTOR, dtype)


def spline_coupling(shape, dtype, mask="channel", circular=False):
    """Returns a coupling whose elementwise transform is a spline on an interval that contains the data."""
    transform = RationalQuadraticSpline(3, bound=6.0, circular=circular)
    changed = shape[-1] if mask == "checkerboard" else shape[-1] - shape[-1] // 2
    outputs = transform.num_parameters * changed
    network = conv(outputs, dtype) if len(shape) == 3 else ResidualMLP(outputs, 8, 1, "tanh", dtype=dtype)
    return tfgb.Coupling(shape, network, transform, mask, dtype=dtype)


def mixture_cdf_coupling(shape, dtype):
    """Returns a coupling with the transform of Flow++."""
    transform = LogisticMixtureCDF(2)
    outputs = transform.num_parameters * (shape[-1] - shape[-1] // 2)
    network = conv(outputs, dtype) if len(shape) == 3 else ResidualMLP(outputs, 8, 1, "tanh", dtype=dtype)
    return tfgb.Coupling(shape, network, transform, dtype=dtype)


def spline_autoregressive(dtype):
    transform = RationalQuadraticSpline(3)
    network = ResidualMADE(5, 8, 1, "tanh", transform.num_parameters, dtype=dtype)
    return tfgb.MaskedAutoregressive(VECTOR, network, dtype, transform=transform)


def spline_step(dtype):
    """Returns one step of a neural spline flow."""
    order = np.random.RandomState(0).permutation(5)
    return tfgb.Steps([
        tfgb.InvertibleConv1x1(VECTOR, dtype=dtype, order=order), spline_coupling(VECTOR, dtype),
        tfgb.Elementwise(VECTOR, RationalQuadraticSpline(3), 2, dtype=dtype)])


def channel_autoregressive(dtype):
    networks = [PlacedResNet(4, 2, num_blocks=1, activation="tanh", dtype=dtype) for _ in range(2)]
    return tfgb.ChannelAutoregressive((2, 2, 3), networks, Affine("tanh"), num_kept=1, dtype=dtype)


def channel_groups(dtype):
    networks = [PlacedResNet(4, 2 * size, num_blocks=1, activation="tanh", dtype=dtype) for size in (3, 1)]
    return tfgb.ChannelAutoregressive((2, 2, 6), networks, Affine("tanh"), num_kept=2, group_sizes=(3, 1), dtype=dtype)


def pixel_autoregressive(dtype):
    networks = [PlacedResNet(4, None, num_blocks=1, activation="tanh", dtype=dtype) for _ in range(2)]
    heads = [[MLP(2, (8,), "tanh", dtype=dtype) for _ in range(2)] for _ in networks]
    return tfgb.PixelAutoregressive((2, 2, 6), networks, heads, Affine("tanh"), num_kept=2, dtype=dtype)


def raster_autoregressive(dtype):
    network = CausalResNet(4, num_blocks=1, first_kernel=3, activation="tanh", dtype=dtype)
    head = MADE(2, (6,), "tanh", context_size=4, dtype=dtype)
    return tfgb.RasterAutoregressive((2, 3, 2), network, head, Affine("tanh"), dtype=dtype)


def vit(outputs, dtype):
    return ViT(4, outputs, num_blocks=1, num_heads=2, dtype=dtype)


def reordered(axis, dtype):
    """Returns a coupling that keeps a random half of the channels or pixels."""
    order = keras.ops.convert_to_numpy(keras.random.shuffle(keras.ops.arange(4)))
    coupling = tfgb.AffineCoupling((2, 2, 4), vit(4 if axis == "channel" else 8, dtype), axis, "double_sigmoid",
                                   dtype=dtype)
    return tfgb.Reordered(coupling, order, axis)


def step(shape, dtype):
    """Returns one step of Glow: actnorm, invertible convolution and affine coupling."""
    return tfgb.Steps([
        tfgb.ActNorm(shape, dtype=dtype), tfgb.InvertibleConv1x1(shape, dtype=dtype),
        tfgb.AffineCoupling(shape, conv(shape[-1], dtype), dtype=dtype)])


def two_levels(dtype):
    top = tfgb.Multiscale(tfgb.Squeeze((2, 2, 4), dtype=dtype))
    prior = tfgb.AffineCoupling((2, 2, 8), ZeroConv2D(8, dtype=dtype), scale="exp", dtype=dtype)
    return tfgb.Multiscale(tfgb.Steps([tfgb.Squeeze(IMAGE, dtype=dtype), step((2, 2, 8), dtype), prior]), top)


def realnvp_scale(dtype):
    """Returns one scale of RealNVP (figure 4b of the paper), with one coupling instead of three."""
    board = tfgb.AffineCoupling(IMAGE, resnet(4, dtype, "checkerboard"), "checkerboard", scale="exp", dtype=dtype)
    channel = tfgb.AffineCoupling((2, 2, 8), resnet(8, dtype), scale="exp", dtype=dtype)
    top = tfgb.Multiscale(tfgb.Reverse((2, 2, 4), dtype=dtype))
    return tfgb.Multiscale(tfgb.Steps([
        board, batch_norm(IMAGE, dtype), tfgb.Squeeze(IMAGE, dtype=dtype), channel,
        tfgb.Permute((2, 2, 8), [0, 4, 3, 7, 1, 5, 2, 6], dtype=dtype)]), top)


# Each constructor accepts the name of a dtype and returns a bijector with new weights.
CONSTRUCTORS = {
    "act_norm": lambda d: tfgb.ActNorm(IMAGE, dtype=d),
    "act_norm_vector": lambda d: tfgb.ActNorm(VECTOR, dtype=d),
    "affine_pixels": lambda d: tfgb.AffinePixels(IMAGE, num_bits=3, dtype=d),
    "affine_pixels_bound": lambda d: tfgb.AffinePixels(IMAGE, num_bits=3, bound=1.5, dtype=d),
    "invertible_conv": lambda d: tfgb.InvertibleConv1x1(IMAGE, dtype=d),
    "invertible_conv_vector": lambda d: tfgb.InvertibleConv1x1(VECTOR, dtype=d),
    "squeeze": lambda d: tfgb.Squeeze(IMAGE, dtype=d),
    "squeeze_space_to_depth": lambda d: tfgb.Squeeze(IMAGE, order="space_to_depth", dtype=d),
    "squeeze_by_4": lambda d: tfgb.Squeeze(IMAGE, factor=4, dtype=d),
    "coupling_sigmoid": lambda d: tfgb.AffineCoupling(IMAGE, conv(2, d), dtype=d),
    "coupling_exp": lambda d: tfgb.AffineCoupling(IMAGE, conv(2, d), scale="exp", dtype=d),
    "coupling_tanh": lambda d: tfgb.AffineCoupling(IMAGE, conv(2, d), scale="tanh", dtype=d),
    "coupling_double_sigmoid": lambda d: tfgb.AffineCoupling(IMAGE, conv(2, d), scale="double_sigmoid", dtype=d),
    "coupling_reversed": lambda d: tfgb.AffineCoupling(IMAGE, conv(2, d), "channel_reversed", dtype=d),
    "coupling_odd_channels": lambda d: tfgb.AffineCoupling((4, 4, 3), conv(4, d), dtype=d),
    "coupling_checkerboard": lambda d: tfgb.AffineCoupling(IMAGE, conv(4, d), "checkerboard", dtype=d),
    "coupling_checkerboard_reversed": lambda d: tfgb.AffineCoupling(
        IMAGE, conv(4, d), "checkerboard_reversed", dtype=d),
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
    "batch_norm": lambda d: batch_norm(IMAGE, d),
    "batch_norm_vector": lambda d: batch_norm(VECTOR, d),
    "batch_norm_fresh": lambda d: tfgb.BatchNorm(IMAGE, dtype=d),
    "dense_conv": lambda d: tfgb.DenseConv1x1(IMAGE, dtype=d),
    "dense_conv_vector": lambda d: tfgb.DenseConv1x1(VECTOR, dtype=d),
    "permute": lambda d: tfgb.Permute((2, 2, 4), [2, 0, 3, 1], dtype=d),
    "reverse": lambda d: tfgb.Reverse(IMAGE, dtype=d),
    "reverse_vector": lambda d: tfgb.Reverse(VECTOR, dtype=d),
    "shuffle": lambda d: tfgb.Shuffle((2, 2, 6), dtype=d),
    "shuffle_vector": lambda d: tfgb.Shuffle(VECTOR, dtype=d),
    "scale": lambda d: tfgb.Scale(VECTOR, dtype=d),
    "standardize": lambda d: tfgb.Standardize(VECTOR, loc=[1.0, 2.0, 3.0, 4.0, 5.0], scale=3.0, dtype=d),
    "flatten": lambda d: tfgb.Flatten(IMAGE, dtype=d),
    "raw_pixels": lambda d: tfgb.RawPixels(IMAGE, num_bits=3, dtype=d),
    "logit_pixels": lambda d: tfgb.LogitPixels(IMAGE, dtype=d),
    "logit_pixels_vector": lambda d: tfgb.LogitPixels(VECTOR, alpha=0.1, dtype=d),
    "conditional_affine": lambda d: Given(tfgb.ConditionalAffine(IMAGE, (3,), dtype=d), (0.5, -1.0, 2.0)),
    "conditional_affine_vector": lambda d: Given(tfgb.ConditionalAffine(VECTOR, (2,), dtype=d), (0.0, 1.0)),
    "masked_autoregressive": autoregressive,
    "inverse_autoregressive": lambda d: tfgb.Steps([tfgb.ActNorm(VECTOR, dtype=d), tfb.Invert(autoregressive(d))]),
    "steps_maf": lambda d: tfgb.Steps([
        autoregressive(d), batch_norm(VECTOR, d), tfgb.ActNorm(VECTOR, dtype=d), tfgb.Reverse(VECTOR, dtype=d),
        autoregressive(d)]),
    "coupling_mlp": lambda d: tfgb.AffineCoupling(VECTOR, mlp(6, d), scale="exp", dtype=d),
    "coupling_resnet": lambda d: tfgb.AffineCoupling(IMAGE, resnet(2, d), scale="exp", dtype=d),
    "coupling_resnet_checkerboard": lambda d: tfgb.AffineCoupling(
        IMAGE, resnet(4, d, "checkerboard"), "checkerboard", scale="exp", dtype=d),
    "realnvp_scale": realnvp_scale,
    "repeat_shuffle": lambda d: tfgb.Repeat(
        lambda: tfgb.Steps([
            tfgb.ActNorm(VECTOR, dtype=d), tfgb.Shuffle(VECTOR, dtype=d),
            tfgb.AdditiveCoupling(VECTOR, dense(3, d), dtype=d)]), 2, backprop="reversible"),
    "coupling_mixture": lambda d: mixture(IMAGE, d),
    "masked_autoregressive_mixture": autoregressive_mixture,
    "coupling_mixture_cdf": lambda d: mixture_cdf_coupling(IMAGE, d),
    "coupling_mixture_cdf_vector": lambda d: mixture_cdf_coupling(VECTOR, d),
    "coupling_spline": lambda d: spline_coupling(IMAGE, d),
    "coupling_spline_vector": lambda d: spline_coupling(VECTOR, d, "checkerboard"),
    "coupling_spline_circular": lambda d: spline_coupling(VECTOR, d, circular=True),
    "masked_autoregressive_spline": spline_autoregressive,
    "elementwise_spline": lambda d: tfgb.Elementwise(VECTOR, RationalQuadraticSpline(4), dtype=d),
    "elementwise_affine": lambda d: tfgb.Elementwise(IMAGE, Affine("tanh"), 1, dtype=d),
    "invertible_conv_ordered": lambda d: tfgb.InvertibleConv1x1(VECTOR, dtype=d, order=[3, 0, 4, 1, 2]),
    "masked_autoregressive_context": lambda d: Given(tfgb.MaskedAutoregressive(
        VECTOR, MADE(5, (8,), "tanh", dtype=d, context_size=2), d, context_shape=(2,)), (0.5, -1.0)),
    "repeat_spline_reversible": lambda d: tfgb.Repeat(lambda: spline_step(d), 3, backprop="reversible"),
    "repeat_inverse_autoregressive": lambda d: tfgb.Repeat(
        lambda: tfgb.Steps([tfb.Invert(autoregressive(d)), tfgb.Reverse(VECTOR, dtype=d)]), 2, backprop="reversible"),
    "channel_autoregressive": channel_autoregressive,
    "channel_autoregressive_groups": channel_groups,
    "pixel_autoregressive": pixel_autoregressive,
    "raster_autoregressive": raster_autoregressive,
    "multiscale_kept_third": lambda d: tfgb.Multiscale(
        channel_autoregressive(d), tfgb.Multiscale(tfgb.ActNorm((2, 2, 1), dtype=d)), num_kept=1),
    "coupling_pixel": lambda d: tfgb.AffineCoupling((2, 2, 2), vit(4, d), "pixel", dtype=d),
    "coupling_vit": lambda d: tfgb.AffineCoupling((2, 2, 3), vit(4, d), dtype=d),
    "reordered_vector": lambda d: tfgb.Reordered(
        tfgb.AffineCoupling(VECTOR, dense(6, d), dtype=d), [4, 1, 0, 3, 2]),
    "reordered_map": lambda d: tfgb.Reordered(tfgb.InvertibleConv1x1(IMAGE, dtype=d), [1, 0]),
    "repeat_reordered": lambda d: tfgb.Repeat(lambda: tfgb.Steps([reordered("channel", d), reordered("pixel", d)]), 2),
    "repeat_reordered_reversible": lambda d: tfgb.Repeat(lambda: reordered("pixel", d), 3, backprop="reversible"),
    "repeat_dense_conv": lambda d: tfgb.Repeat(lambda: tfgb.DenseConv1x1(IMAGE, dtype=d), 2),
}


@functools.cache
def made(name, dtype="float64"):
    """Returns the bijector with weights away from their initial values, so that zero-initialized layers matter."""
    keras.utils.set_random_seed(3)
    bijector = CONSTRUCTORS[name](dtype)
    rng = np.random.RandomState(0)
    for variable in bijector.trainable_variables:
        variable.assign_add(0.1 * rng.standard_normal(variable.shape))
    return bijector
