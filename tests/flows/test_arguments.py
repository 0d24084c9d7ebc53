# SPDX-License-Identifier: Apache-2.0
"""Tests of errors from public constructors: each names the argument, the requirement and the received value."""

import keras
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow import networks

tfb, tfd = tfp.bijectors, tfp.distributions


def affine(network=None, **kwargs):
    return tfgb.AffineCoupling((4,), network or networks.MLP(4, (2,)), **kwargs)


def normal():
    return tfd.MultivariateNormalDiag(tf.zeros(2))


# (call, argument, part of the requirement, received value as the message shows it)
WRONG = [
    # Bijectors.
    (lambda: tfgb.ActNorm((4, 4)), "shape", "(size,) or (height, width, channels)", "(4, 4)"),
    (lambda: tfgb.ActNorm((0,)), "shape", "positive integers", "(0,)"),
    (lambda: tfgb.ActNorm("four"), "shape", "(size,)", "four"),
    (lambda: tfgb.ActNorm((4,), data_dependent="yes"), "data_dependent", "True or False", "'yes'"),
    (lambda: tfgb.ActNorm((4,), dtype="int32"), "dtype", "float32 or float64", "'int32'"),
    (lambda: tfgb.ActNorm((4,), dtype="bfloat16"), "dtype", "float32 or float64", "'bfloat16'"),
    (lambda: tfgb.BatchNorm((4,), momentum=1.0), "momentum", "in [0, 1)", "1.0"),
    (lambda: tfgb.BatchNorm((4,), momentum="high"), "momentum", "in [0, 1)", "'high'"),
    (lambda: tfgb.BatchNorm((4,), epsilon=0.0), "epsilon", "positive", "0.0"),
    (lambda: tfgb.BatchNorm((4,), epsilon=None), "epsilon", "positive", "None"),
    (lambda: tfgb.ConditionalAffine((4, 4), (3,)), "shape", "(size,)", "(4, 4)"),
    (lambda: tfgb.ConditionalAffine((4,), (2, 2, 3)), "context_shape", "(size,)", "(2, 2, 3)"),
    (lambda: tfgb.InvertibleConv1x1((4, 4)), "shape", "(height, width, channels)", "(4, 4)"),
    (lambda: tfgb.InvertibleConv1x1((4,), seed=1.5), "seed", "integer", "1.5"),
    (lambda: tfgb.DenseConv1x1((4,), seed="one"), "seed", "integer", "one"),
    (lambda: tfgb.Permute((3,), [0, 1]), "order", "a permutation of range(3)", "[0, 1]"),
    (lambda: tfgb.Permute((3,), [0, 1, 1]), "order", "a permutation of range(3)", "[0, 1, 1]"),
    (lambda: tfgb.Permute((3,), "reverse"), "order", "a permutation of range(3)", "'reverse'"),
    (lambda: tfgb.Shuffle((3,), seed=0.5), "seed", "integer", "0.5"),
    (lambda: tfgb.Reverse(()), "shape", "(size,)", "()"),
    (lambda: tfgb.Squeeze((4, 4)), "shape", "(height, width, channels)", "(4, 4)"),
    (lambda: tfgb.Squeeze((4, 3, 1)), "shape", "divisible by 2", "(4, 3, 1)"),
    (lambda: tfgb.Squeeze((4, 4, 1), factor=1), "factor", "at least 2", "1"),
    (lambda: tfgb.Squeeze((4, 4, 1), order="random"), "order", "'channel_major', 'space_to_depth'", "'random'"),
    (lambda: tfgb.Flatten((4,)), "shape", "(height, width, channels)", "(4,)"),
    (lambda: tfgb.Scale((4, 4)), "shape", "(size,)", "(4, 4)"),
    (lambda: tfgb.Standardize((2,), scale=-1.0), "scale", "positive", "-1."),
    (lambda: tfgb.Standardize((2,), loc=[1.0, 2.0, 3.0]), "loc", "a finite number or 2 finite numbers", "[1. 2. 3.]"),
    (lambda: tfgb.Standardize((2,), loc="zero"), "loc", "a finite number", "nan"),
    (lambda: tfgb.AffinePixels((4, 4, 1), num_bits=0), "num_bits", "at least 1", "0"),
    (lambda: tfgb.AffinePixels((4, 4, 1), num_bits=8.0), "num_bits", "an integer", "8.0"),
    (lambda: tfgb.AffinePixels((4, 4, 1), num_bits=17), "num_bits", "at most 16", "17"),
    (lambda: tfgb.LogitPixels((4, 4, 1), alpha=0.5), "alpha", "between 0 and 1/2", "0.5"),
    (lambda: tfgb.LogitPixels((4, 4, 1), alpha=None), "alpha", "between 0 and 1/2", "None"),
    (lambda: tfgb.Affine("linear"), "scale", "'exp', 'sigmoid', 'double_sigmoid', 'tanh'", "'linear'"),
    (lambda: tfgb.AffineCoupling((1,), networks.MLP(2)), "shape", "at least 2 channels", "(1,)"),
    (lambda: tfgb.AffineCoupling((1,), networks.MLP(2), "checkerboard"), "shape", "at least 2 pixels", "(1,)"),
    (lambda: affine(mask="stripes"), "mask", "'checkerboard'", "'stripes'"),
    (lambda: affine(scale="cubic"), "scale", "'sigmoid'", "'cubic'"),
    (lambda: affine(context_shape=(2, 2)), "context_shape", "(size,)", "(2, 2)"),
    (lambda: affine(networks.MLP(3)), "network", "outputs of shape (4,)", "(3,)"),
    (lambda: affine("dense"), "network", "a Keras layer or model, or another callable", "'dense'"),
    (lambda: affine(keras.layers.Dense), "network", "a Keras layer or model, or another callable", "Dense"),
    (lambda: tfgb.Coupling((4,), networks.MLP(4), "affine"), "transform", "an elementwise transform", "'affine'"),
    (lambda: tfgb.Coupling((4,), networks.MLP(4), tfgb.Affine), "transform", "an elementwise transform", "Affine"),
    (lambda: tfgb.MaskedAutoregressive((4, 4, 1), networks.MADE(4)), "shape", "(size,)", "(4, 4, 1)"),
    (lambda: tfgb.MaskedAutoregressive((4,), lambda x: x), "network", "a Keras 3 layer", "<function"),
    (lambda: tfgb.MaskedAutoregressive((4,), networks.MLP(4)), "network", "outputs of shape (4, 2)", "(4,)"),
    (lambda: tfgb.Steps([]), "bijectors", "non-empty sequence", "[]"),
    (lambda: tfgb.Steps(None), "bijectors", "non-empty sequence", "None"),
    (lambda: tfgb.Steps([tfgb.Reverse((4,)), "exp"]), "bijectors", "sequence of bijectors", "'exp'"),
    (lambda: tfgb.Steps([tfb.Exp()]), "bijectors", "at least one FlowBijector", "exp"),
    (lambda: tfgb.Repeat(tfgb.Reverse((4,)), 2), "make_step", "a callable", "Reverse"),
    (lambda: tfgb.Repeat(lambda: tfb.Exp(), 2), "make_step", "return a FlowBijector", "Exp"),
    (lambda: tfgb.Repeat(lambda: tfgb.Reverse((4,)), 2.0), "num_steps", "an integer", "2.0"),
    (lambda: tfgb.Repeat(lambda: tfgb.Reverse((4,)), 2, "none"), "backprop", "'stored', 'reversible'", "'none'"),
    (lambda: tfgb.Multiscale(tfgb.Reverse((4,))), "body", "images as latents", "Reverse"),
    (lambda: tfgb.Multiscale(tfgb.Reverse((4, 4, 2)), tfgb.Reverse((4, 4, 2))), "next_level", "(4, 4, 1)", "Reverse"),
    # Networks.
    (lambda: networks.MLP(0), "out_features", "an integer of at least 1", "0"),
    (lambda: networks.MLP(2, hidden_sizes=8), "hidden_sizes", "a sequence", "8"),
    (lambda: networks.MLP(2, hidden_sizes=(8, -1)), "hidden_sizes", "an integer of at least 1", "-1"),
    (lambda: networks.MLP(2, activation="spline"), "activation", "the name of a Keras activation", "'spline'"),
    (lambda: networks.MLP(2, seed=0.5), "seed", "integer", "0.5"),
    (lambda: networks.MADE(2.5), "size", "an integer of at least 1", "2.5"),
    (lambda: networks.MADE(2, hidden_sizes="many"), "hidden_sizes", "a sequence", "'many'"),
    (lambda: networks.ConvNet(True, 2), "width", "an integer of at least 1", "True"),
    (lambda: networks.ConvNet(2, None), "out_channels", "an integer of at least 1", "None"),
    (lambda: networks.ResNet(2, 3, 1), "out_channels", "even", "3"),
    (lambda: networks.ResNet(2, 2, 0), "num_blocks", "an integer of at least 1", "0"),
    (lambda: networks.ResNet(2, 2, 1, mask="checkerboard"), "mask", "an array [height, width, 1]", "'checkerboard'"),
    (lambda: networks.ResNet(2, 2, 1, factor="one"), "factor", "a real number", "'one'"),
    (lambda: networks.ScaledTanh(factor=None), "factor", "a real number", "None"),
    (lambda: networks.ZeroConv2D(0), "filters", "an integer of at least 1", "0"),
    (lambda: networks.NormalizedConv2D(2, 0.5), "kernel_size", "an integer of at least 1", "0.5"),
    (lambda: networks.WeightNormConv2D(2, (3, 3)), "kernel_size", "an integer of at least 1", "(3, 3)"),
    # Flows.
    (lambda: tfp_glow.glow((8, 8)), "image_shape", "(height, width, channels)", "(8, 8)"),
    (lambda: tfp_glow.glow((8, 6, 1)), "image_shape", "divisible by 2**num_levels = 8", "(8, 6, 1)"),
    (lambda: tfp_glow.glow((8, 8, 1), num_steps=0), "num_steps", "at least 1", "0"),
    (lambda: tfp_glow.glow((8, 8, 1), width=2.5), "width", "an integer", "2.5"),
    (lambda: tfp_glow.glow((8, 8, 1), learn_top=1), "learn_top", "True or False", "1"),
    (lambda: tfp_glow.glow((8, 8, 1), seed="x"), "seed", "an integer", "'x'"),
    (lambda: tfp_glow.glow((8, 8, 1), coupling="spline"), "coupling", "'affine', 'additive'", "'spline'"),
    (lambda: tfp_glow.glow((8, 8, 1), permutation="none"), "permutation", "'lu'", "'none'"),
    (lambda: tfp_glow.glow((8, 8, 1), dtype="float16"), "dtype", "float32 or float64", "'float16'"),
    (lambda: tfp_glow.glow((8, 8, 1), network_dtype="mixed"), "network_dtype", "a Keras dtype policy", "'mixed'"),
    (lambda: tfp_glow.maf(4, network_dtype="int32"), "network_dtype", "a float dtype", "'int32'"),
    (lambda: tfp_glow.maf(4, network_dtype="int8_from_float32"), "network_dtype", "policy of floats", "'int8_from_fl"),
    (lambda: tfp_glow.pyramid((4, 4, 1), num_levels=1, scale=1e300), "scale", "at most 256", "1e+300"),
    (lambda: tfp_glow.glow((8, 8, 1), num_classes=1), "num_classes", "at least 2", "1"),
    (lambda: tfp_glow.realnvp((8, 8, 1), num_classes="ten"), "num_classes", "an integer", "'ten'"),
    (lambda: tfp_glow.realnvp((8, 8, 1), alpha=0.7), "alpha", "between 0 and 1/2", "0.7"),
    (lambda: tfp_glow.realnvp((8, 8, 1), l2=-1.0), "l2", "not be negative", "-1.0"),
    (lambda: tfp_glow.realnvp((8, 8, 1), batch_norm=None), "batch_norm", "True or False", "None"),
    (lambda: tfp_glow.realnvp((9, 8, 1)), "image_shape", "divisible by", "(9, 8, 1)"),
    (lambda: tfp_glow.nice(4, partition="thirds"), "partition", "'odd_even', 'halves'", "'thirds'"),
    (lambda: tfp_glow.nice(4, prior="cauchy"), "prior", "'logistic', 'normal'", "'cauchy'"),
    (lambda: tfp_glow.nice(4, hidden_sizes=16), "hidden_sizes", "a sequence", "16"),
    (lambda: tfp_glow.nice((4, 4, 1), loc=2.0), "loc", "for vectors", "2.0"),
    (lambda: tfp_glow.realnvp_vector(4, scale=0.0), "scale", "positive", "0."),
    (lambda: tfp_glow.realnvp_vector(4, act_norm="no"), "act_norm", "True or False", "'no'"),
    (lambda: tfp_glow.realnvp_vector(4, activation="spline"), "activation", "a Keras activation", "'spline'"),
    (lambda: tfp_glow.maf(4, num_layers=-1), "num_layers", "at least 1", "-1"),
    (lambda: tfp_glow.maf(4, pixels="raw"), "pixels", "'logit', 'affine'", "'raw'"),
    (lambda: tfp_glow.iaf((2, 2)), "event_shape", "(size,)", "(2, 2)"),
    (lambda: tfp_glow.iaf(4, num_bits="eight"), "num_bits", "an integer", "'eight'"),
    # Models.
    (lambda: tfp_glow.FlowModel("glow"), "distribution", "a tfd.Distribution", "'glow'"),
    (lambda: tfp_glow.FlowModel(tfd.Normal([0.0, 1.0], 1.0)), "distribution", "no batch shape", "(2,)"),
    (lambda: tfp_glow.FlowModel(normal(), num_bits="some"), "num_bits", "an integer", "'some'"),
    (lambda: tfp_glow.FlowModel(normal(), num_bits=32), "num_bits", "at most 16", "32"),
    (lambda: tfp_glow.FlowModel(normal(), weight_y=-1.0), "weight_y", "not be negative", "-1.0"),
    (lambda: tfp_glow.FlowModel(normal(), weight_y=0.1), "weight_y", "class-conditional prior", "Normal"),
    (lambda: tfp_glow.FlowModel(normal()).sample(condition=1), "condition", "left out", "1"),
    (lambda: tfp_glow.FlowModel(normal(), seed=0.5), "seed", "an integer", "0.5"),
    (lambda: tfp_glow.FlowModel(normal()).sample(temperature="hot"), "temperature", "be finite and not be negative",
     "'hot'"),
    (lambda: tfp_glow.export_saved_model(normal(), "x"), "model", "a tfp_glow.FlowModel", "MultivariateNormalDiag"),
    (lambda: tfp_glow.export_saved_model(tfp_glow.FlowModel(normal()), 3), "path", "a path", "3"),
    (lambda: tfp_glow.initialize("flow", tf.zeros((2, 2))), "flow", "a tfb.Bijector or a tfd.Distribution", "'flow'"),
]


@pytest.mark.parametrize(("call", "argument", "rule", "received"), WRONG,
                         ids=[f"{argument}-{received}" for _, argument, _, received in WRONG])
def test_errors_name_the_argument_the_requirement_and_the_value(call, argument, rule, received):
    with pytest.raises((ValueError, TypeError)) as caught:
        call()
    message = str(caught.value)
    assert f"`{argument}`" in message and rule in message and received in message.split(rule)[-1], message


@pytest.mark.parametrize("build", [tfp_glow.maf, tfp_glow.iaf, tfp_glow.nice, tfp_glow.realnvp_vector, tfp_glow.glow])
def test_errors_name_unknown_arguments(build):
    with pytest.raises(TypeError, match=rf"^{build.__name__}\(\) got .*'seeed'; did you mean seed\?$"):
        build(4, seeed=2)


@pytest.mark.parametrize(("build", "given", "named"), [
    (tfp_glow.glow, "context_shape", "classes, argument num_classes"),
    (tfp_glow.realnvp, "context_shape", "classes, argument num_classes"),
    (tfp_glow.nsf, "num_classes", "contexts, argument context_shape")])
def test_errors_name_the_condition_of_the_flow(build, given, named):
    with pytest.raises(TypeError, match=rf"^{build.__name__}\(\) .* '{given}'; this flow is conditioned on {named}$"):
        build(4, **{given: 3})
