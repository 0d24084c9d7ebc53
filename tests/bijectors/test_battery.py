# SPDX-License-Identifier: Apache-2.0
"""Tests that every bijector in `constructors.CONSTRUCTORS` must pass."""

import types

import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import CONSTRUCTORS, made
from small_flows import log_det_by_autodiff
from tensorflow.python.ops.distributions import bijector_test_util

every_bijector = pytest.mark.parametrize("name", CONSTRUCTORS)




def data(bijector, batch_shape, seed=0):
    shape = (*batch_shape, *bijector.forward_event_shape(bijector.latent_shape))
    return tf.constant(np.random.RandomState(seed).standard_normal(shape), bijector.dtype)


def snapshot(bijector):
    return [v.numpy() for v in bijector.variables]


def restored(bijector, values):
    for variable, value in zip(bijector.variables, values, strict=True):
        variable.assign(value)


@every_bijector
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_shapes_finiteness_and_round_trip(name, dtype):
    bijector = made(name, dtype)
    tolerance = 1e-4 if dtype == "float32" else 1e-10
    for batch_shape in ((), (3,), (2, 3)):
        y = data(bijector, batch_shape)
        x = bijector.inverse(y)
        assert x.dtype == dtype and x.shape == (*batch_shape, *bijector.latent_shape)
        ildj = bijector.inverse_log_det_jacobian(tf.identity(y))
        fldj = bijector.forward_log_det_jacobian(tf.identity(x))
        assert ildj.shape == fldj.shape == batch_shape
        np.testing.assert_allclose(bijector.forward(tf.identity(x)), y, atol=tolerance, rtol=tolerance)
        np.testing.assert_allclose(fldj, -ildj, atol=tolerance, rtol=tolerance)
        assert np.all(np.isfinite(x)) and np.all(np.isfinite(ildj))


@every_bijector
def test_log_det_matches_the_jacobian(name):
    bijector = made(name)
    y = data(bijector, (2,))
    x, ildj = bijector.inverse_and_log_det(y)
    np.testing.assert_allclose(ildj, log_det_by_autodiff(lambda v: bijector.inverse_and_log_det(v)[0], y), atol=1e-8)
    fldj = bijector.forward_and_log_det(x)[1]
    np.testing.assert_allclose(fldj, log_det_by_autodiff(lambda v: bijector.forward_and_log_det(v)[0], x), atol=1e-8)


@every_bijector
@pytest.mark.parametrize("direction", ["forward", "inverse"])
def test_gradients_exist_and_match_finite_differences(name, direction):
    """Compares the gradients with a central difference of the loss along a random direction."""
    bijector = made(name)
    value = data(bijector, (2,))
    if direction == "forward":
        value = bijector.inverse(value)
    run = getattr(bijector, f"{direction}_and_log_det")
    variables = bijector.trainable_variables
    rng = np.random.RandomState(1)
    weight = rng.standard_normal(run(value)[0].shape)

    def loss():
        result, log_det = run(tf.identity(value))
        return tf.reduce_sum(result * weight) + tf.reduce_sum(tf.sin(log_det))

    with tf.GradientTape() as tape:
        total = loss()
    gradients = tape.gradient(total, variables)
    assert all(g is not None for g in gradients)
    if not variables:
        return
    before = snapshot(bijector)
    steps = [rng.standard_normal(v.shape) for v in variables]
    sides = []
    for sign in (1, -1):
        for variable, step in zip(variables, steps, strict=True):
            variable.assign_add(sign * 1e-6 * step)
        sides.append(float(loss()))
        restored(bijector, before)
    expected = (sides[0] - sides[1]) / 2e-6
    received = sum(float(tf.reduce_sum(g * s)) for g, s in zip(gradients, steps, strict=True))
    assert received == pytest.approx(expected, rel=1e-4, abs=1e-4)


@every_bijector
def test_graph_of_unknown_batch_size_equals_eager(name):
    bijector = made(name)
    y = data(bijector, (3,))

    @tf.function(input_signature=[tf.TensorSpec((None, *y.shape[1:]), y.dtype)])
    def both(y):
        x = bijector.inverse(y)
        return x, bijector.inverse_log_det_jacobian(y), bijector.forward(tf.identity(x))

    x, log_det = bijector.inverse_and_log_det(y)
    for received, expected in zip(both(y), (x, log_det, y), strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-9)


@every_bijector
def test_checkpoint_restores_the_outputs(name, tmp_path):
    bijector = made(name)
    y = data(bijector, (2,))
    expected = bijector.inverse_and_log_det(y)
    path = tf.train.Checkpoint(bijector=bijector).write(str(tmp_path / "checkpoint"))
    keras.utils.set_random_seed(99)
    other = CONSTRUCTORS[name]("float64")
    tf.train.Checkpoint(bijector=other).read(path).assert_existing_objects_matched()
    for received, value in zip(other.inverse_and_log_det(y), expected, strict=True):
        np.testing.assert_array_equal(received, value)


@every_bijector
def test_tfp_oracle(name):
    """Runs TFP's own bijector test, which only TensorFlow's wheel contains.

    No constructor returns a bijector over scalars. tests/bijectors/test_tfp_manners.py tests scalar congruency with
    vectors of size 1.
    """
    bijector = made(name)
    if len(bijector.latent_shape) != len(bijector.event_shape):
        pytest.skip("TFP's test supports one event rank; test_shapes_finiteness_and_round_trip covers this bijector")
    y = data(bijector, (3,)).numpy()
    x = bijector.inverse(data(bijector, (3,), seed=1)).numpy()
    session = types.SimpleNamespace(run=lambda tensors: [t.numpy() for t in tensors])
    bijector_test_util.assert_bijective_and_finite(
        bijector, x, y, len(bijector.event_shape), rtol=1e-6, atol=1e-8, sess=session)


@every_bijector
def test_tfp_and_keras_list_the_same_parameters(name):
    bijector = made(name)
    if "foreign" not in name:
        assert {id(v.value) for v in bijector.keras_variables} == {id(v) for v in bijector.variables}
    assert len({id(v) for v in bijector.variables}) == len(bijector.variables)


@every_bijector
def test_initialize_normalizes_once_and_returns_latents(name):
    bijector = CONSTRUCTORS[name]("float64")
    batch = 3.0 + 2.0 * data(bijector, (64,))
    latents = bijector._initialize(batch)
    np.testing.assert_allclose(latents, bijector.inverse(tf.identity(batch)), atol=1e-6)
    assert bijector.is_initialized
    before = snapshot(bijector)
    bijector._initialize(batch * 5.0)
    for old, new in zip(before, snapshot(bijector), strict=True):
        np.testing.assert_array_equal(old, new)
