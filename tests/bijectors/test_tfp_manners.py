# SPDX-License-Identifier: Apache-2.0
"""Tests every constructor in TFP's compositions, also in graphs of unknown batch size, and memory over many calls."""

import gc
import os
import types

import numpy as np
import psutil
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
from constructors import CONSTRUCTORS, made
from tensorflow.python.ops.distributions import bijector_test_util

from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MADE

pytestmark = pytest.mark.matrix

tfb, tfd = tfp.bijectors, tfp.distributions


def events(shape, batch=(2,)):
    return tf.constant(np.random.RandomState(1).standard_normal((*batch, *shape)))


def cases(bijector):
    """Returns the arguments of `check` for a `tfb.JointMap` with a `tfb.Chain`, and for a `tfb.Invert`."""
    chain = tfb.Chain([tfb.Shift(tf.constant(1.0, bijector.dtype)), bijector])
    y, rest = events(bijector.event_shape), events((3,)) ** 2 + 1.0
    x, log_det = bijector.inverse_and_log_det(y)
    x_ndims, y_ndims = len(bijector.latent_shape), len(bijector.event_shape)
    softplus = tfb.Softplus()
    return [
        (tfb.JointMap({"chain": chain, "rest": softplus}),
         {"chain": y + 1.0, "rest": rest}, {"chain": y_ndims, "rest": 1},
         {"chain": x, "rest": softplus.inverse(rest)}, {"chain": x_ndims, "rest": 1},
         log_det + softplus.inverse_log_det_jacobian(tf.identity(rest), 1)),
        (tfb.Invert(bijector), x, x_ndims, y, y_ndims, -log_det)]


def copy(value):
    return tf.nest.map_structure(tf.identity, value)


def check(whole, above, above_ndims, below, below_ndims, log_det, wrap=lambda f: f):
    def both(above, below):
        return (whole.inverse(above), whole.inverse_log_det_jacobian(copy(above), above_ndims), whole.forward(below),
                whole.forward_log_det_jacobian(copy(below), below_ndims))

    received = wrap(both)(copy(above), copy(below))
    tf.nest.map_structure(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-8),
                          received, (below, log_det, above, -log_det))


@pytest.mark.parametrize("name", CONSTRUCTORS)
def test_chain_invert_and_joint_map(name):
    for case in cases(made(name)):
        check(*case)


@pytest.mark.parametrize("name", ["coupling_vector", "batch_norm", "squeeze", "multiscale", "repeat", "steps_maf"])
def test_unknown_batch_size_in_a_graph(name):
    for case in cases(made(name)):
        specs = [tf.nest.map_structure(lambda t: tf.TensorSpec((None, *t.shape[1:]), t.dtype), case[part])
                 for part in (1, 3)]
        check(*case, wrap=lambda f, specs=specs: tf.function(f, input_signature=specs, autograph=False))


@pytest.mark.parametrize("name", [name for name in CONSTRUCTORS if "vector" in name] + [
    "scale", "standardize", "masked_autoregressive", "inverse_autoregressive", "steps_maf", "coupling_mlp"])
def test_blockwise(name):
    bijector = made(name)
    whole = tfb.Blockwise([bijector, tfb.Softplus()], block_sizes=[5, 2])
    y, rest = events((5,)), 1.0 + events((2,)) ** 2
    x, log_det = bijector.inverse_and_log_det(y)
    below = tf.concat([x, tfb.Softplus().inverse(rest)], axis=-1)
    log_det += tfb.Softplus().inverse_log_det_jacobian(tf.identity(rest), 1)
    check(whole, tf.concat([y, rest], axis=-1), 1, below, 1, log_det)


def scalar(bijector):
    """Converts a bijector over vectors of size 1 into a bijector over scalars."""
    vector = tfb.Reshape(event_shape_out=[1], event_shape_in=[])
    return tfb.Chain([tfb.Invert(vector), bijector, vector])


@pytest.mark.parametrize("bijector", [
    lambda: tfgb.ActNorm((1,)), lambda: tfgb.BatchNorm((1,)), lambda: tfgb.InvertibleConv1x1((1,)),
    lambda: tfgb.DenseConv1x1((1,)), lambda: tfgb.Scale((1,)), lambda: tfgb.Standardize((1,), 1.0, 3.0),
    lambda: tfgb.AffinePixels((1,)), lambda: tfgb.LogitPixels((1,)),
    lambda: tfgb.MaskedAutoregressive((1,), MADE(1, (8,)))],
    ids=["act_norm", "batch_norm", "lu", "dense", "scale", "standardize", "affine_pixels", "logit_pixels", "maf"])
def test_scalar_congruency(bijector):
    """Runs TFP's test that a scalar bijector is monotonic and that its log-det is the change of interval lengths."""
    bijector = bijector()
    for variable in bijector.trainable_variables:
        variable.assign_add(0.3 * tf.ones_like(variable))
    session = types.SimpleNamespace(run=lambda tensors: [t.numpy() for t in tensors])
    bijector_test_util.assert_scalar_congruency(scalar(bijector), -2.0, 1.0, n=2000, rtol=0.05, sess=session)


@pytest.mark.slow
def test_memory_is_stable_over_ten_thousand_calls():
    bijector = tfgb.ActNorm((2,))
    flow = tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), bijector)
    y = tf.zeros((1, 2))

    def calls(number):
        for _ in range(number // 2):
            flow.log_prob(y)
            flow.sample(seed=(1, 2))
        gc.collect()
        return psutil.Process(os.getpid()).memory_info().rss, len(gc.get_objects()), len(bijector._cache.storage)

    memory, objects, entries = calls(1000)
    later_memory, later_objects, later_entries = calls(10_000)
    assert later_entries <= entries and later_objects < objects + 200
    assert later_memory < memory + 2**22  # Less than 420 bytes per call.
