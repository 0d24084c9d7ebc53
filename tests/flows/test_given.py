# SPDX-License-Identifier: Apache-2.0
"""`tfp_glow.given` and `BindContext`: conditional flows with a fixed context."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow

tfd = tfp.distributions


@pytest.fixture(scope="module")
def flow():
    flow = tfp_glow.realnvp_vector(2, 2, (8,), context_shape=(3,), seed=0)
    rng = np.random.RandomState(0)
    for variable in flow.trainable_variables:
        variable.assign_add(0.3 * rng.standard_normal(variable.shape))
    return flow


def test_equals_the_flow_with_its_context(flow):
    rng = np.random.RandomState(1)
    y, c = (rng.standard_normal((5, size)).astype("float32") for size in (2, 3))
    expected = flow.log_prob(y, bijector_kwargs={"context": c})
    each = tfp_glow.given(flow, c)
    assert (each.batch_shape, each.event_shape) == ([5], [2])
    np.testing.assert_allclose(each.log_prob(y), expected, rtol=1e-6)
    np.testing.assert_allclose(tfp_glow.given(flow, c[0]).log_prob(y[0]), expected[0], rtol=1e-6)
    assert each.sample(4, seed=1).shape == (4, 5, 2) and tfp_glow.given(flow, c[0]).sample(4).shape == (4, 2)
    assert len(each.trainable_variables) == len(flow.trainable_variables)
    samples, log_prob = each.experimental_sample_and_log_prob(4, seed=1)
    np.testing.assert_allclose(each.log_prob(tf.identity(samples)), log_prob, atol=1e-4)


def test_unknown_batch_size_in_a_graph(flow):
    @tf.function(input_signature=[tf.TensorSpec([None, 3])])
    def sample(c):
        return tfp_glow.given(flow, c).sample(seed=[0, 1])

    assert sample(tf.zeros((4, 3))).shape == (4, 2)


def test_is_a_variable_of_joint_distributions(flow):
    for joint in (
            tfd.JointDistributionNamedAutoBatched({
                "c": tfd.MultivariateNormalDiag(tf.zeros(3)), "y": lambda c: tfp_glow.given(flow, c)}),
            tfd.JointDistributionNamed({
                "c": tfd.MultivariateNormalDiag(tf.zeros(3)), "y": lambda c: tfp_glow.given(flow, c)})):
        draws = joint.sample(6, seed=1)
        expected = (tfd.MultivariateNormalDiag(tf.zeros(3)).log_prob(draws["c"])
                    + flow.log_prob(draws["y"], bijector_kwargs={"context": draws["c"]}))
        np.testing.assert_allclose(joint.log_prob(draws), expected, rtol=1e-5)
        with tf.GradientTape() as tape:
            c = tf.constant(draws["c"])
            tape.watch(c)
            log_prob = joint.log_prob({"c": c, "y": draws["y"]})
        assert np.all(np.isfinite(tape.gradient(log_prob, c)))


def test_wrong_arguments_raise(flow):
    for wrong in (tfp_glow.realnvp_vector(2, 2, (8,)), tfd.Normal(0.0, 1.0)):
        with pytest.raises(ValueError, match="`distribution` must be a flow with a `context_shape` or with"):
            tfp_glow.given(wrong, [0.0] * 3)
    with pytest.raises(ValueError, match=r"`context` must hold numbers in a shape that ends in \(3,\)"):
        tfp_glow.given(flow, [0.0] * 4)
    with pytest.raises(ValueError, match="`bijector` must be a FlowBijector with a `context_shape`"):
        tfp_glow.bijectors.BindContext(tfp.bijectors.Exp(), [0.0])
