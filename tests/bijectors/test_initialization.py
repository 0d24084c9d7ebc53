# SPDX-License-Identifier: Apache-2.0
"""Tests of data-dependent initialization in TFP's compositions, and of `Steps` with wrapped bijectors."""

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MADE, MLP, ConvNet

tfb, tfd = tfp.bijectors, tfp.distributions
BATCH = 7.0 + 2.0 * np.random.RandomState(0).standard_normal((600, 4)).astype("float32")


def flow(size=4, mean=0.0):
    base = tfd.MultivariateNormalDiag(tf.fill([size], mean))
    return tfd.TransformedDistribution(base, tfb.Chain([tfgb.ActNorm((size,)), tfb.Scale(2.0)]))


def norms(thing):
    return [part for part in thing.submodules if isinstance(part, tfgb.ActNorm)]


def is_normalized(norm, batch):
    latents = np.reshape(norm.inverse(batch), (-1, norm.event_shape[-1]))
    np.testing.assert_allclose(latents.mean(axis=0), 0.0, atol=1e-4)
    np.testing.assert_allclose(latents.std(axis=0), 1.0, atol=1e-4)
    assert norm.is_initialized


WRAPPED = {
    "mixture": lambda: tfd.Mixture(tfd.Categorical(logits=[0.0, 0.0]), [flow(), flow(mean=1.0)]),
    "independent": lambda: tfd.Independent(flow(), reinterpreted_batch_ndims=0),
    "sample": lambda: tfd.Sample(flow(), 3),
    "batch_reshape": lambda: tfd.BatchReshape(flow(), [1]),
    "masked": lambda: tfd.Masked(flow(), True),
    "nested": lambda: tfd.Sample(tfd.Mixture(tfd.Categorical(logits=[0.0, 0.0]), [flow(), flow()]), 2),
}


@pytest.mark.parametrize("name", WRAPPED)
def test_initialize_reaches_flows_inside_other_distributions(name):
    whole = WRAPPED[name]()
    batch = np.reshape(BATCH, (-1, *whole.batch_shape, *whole.event_shape))
    tfp_glow.initialize(whole, batch)
    assert len(norms(whole)) == (2 if name in ("mixture", "nested") else 1)
    for norm in norms(whole):
        is_normalized(norm, batch)


def test_flow_model_initializes_a_mixture():
    model = tfp_glow.FlowModel(WRAPPED["mixture"]())
    assert not model.is_initialized
    model.initialize(BATCH)
    assert model.is_initialized
    for norm in norms(model.distribution):
        is_normalized(norm, BATCH)


def test_initialize_passes_each_block_its_part():
    parts = [tfgb.ActNorm((1,)), tfb.Softplus(), tfgb.ActNorm((2,))]
    whole = tfb.Chain([tfb.Blockwise(parts, block_sizes=[1, 1, 2]), tfgb.ActNorm((4,))])
    latents = tfp_glow.initialize(whole, BATCH)
    is_normalized(parts[0], BATCH[:, :1])
    is_normalized(parts[2], BATCH[:, 2:])
    np.testing.assert_allclose(latents, whole.inverse(tf.constant(BATCH)), atol=1e-4)


@pytest.mark.parametrize("whole", [
    lambda: tfb.Invert(tfgb.ActNorm((4,))),
    lambda: tfb.Chain([tfgb.ActNorm((4,)), tfb.Invert(tfgb.Steps([tfgb.ActNorm((4,), name="hidden")]))]),
    lambda: tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(4)), tfb.Invert(tfgb.ActNorm((4,)))),
    lambda: tfgb.Steps([tfb.Invert(tfgb.ActNorm((4,)))]),
], ids=["invert", "chain", "distribution", "steps"])
def test_initialize_raises_if_it_cannot_reach_a_bijector(whole):
    whole = whole()
    with pytest.raises(ValueError, match="`flow` must have its data-dependent parameters .* could not be initialized"):
        tfp_glow.initialize(whole, BATCH)
    for norm in (part for part in (whole, *whole.submodules) if isinstance(part, tfgb.ActNorm)):
        tfp_glow.initialize(norm, BATCH)
    tfp_glow.initialize(whole, BATCH)


def test_initialize_accepts_unreachable_bijectors_without_data_dependence():
    inverted = tfb.Invert(tfgb.AffineCoupling((4,), MLP(4)))
    assert tfp_glow.initialize(inverted, BATCH).shape == (600, 4)
    inverted = tfb.Invert(tfgb.ActNorm((4,), data_dependent=False))
    assert tfp_glow.initialize(inverted, BATCH).shape == (600, 4)
    assert tfp_glow.initialize(tfd.Sample(tfd.Normal(0.0, 1.0), 4), BATCH).shape == (600, 4)


def autoregressive():
    return tfgb.MaskedAutoregressive((4,), MADE(4, (8,), "tanh"))


def test_steps_infer_shapes_from_wrapped_bijectors():
    reshape = tfb.Reshape(event_shape_in=[2, 2, 4], event_shape_out=[16])
    cases = [
        ([tfb.Invert(autoregressive())], (4,), (4,)),
        ([tfb.Softplus(), tfb.Chain([tfb.Shift(1.0), autoregressive()])], (4,), (4,)),
        ([tfb.Invert(tfb.Chain([autoregressive(), tfb.Softplus()]))], (4,), (4,)),
        ([reshape, tfb.Invert(tfgb.Squeeze((4, 4, 1)))], (16,), (4, 4, 1)),
        ([tfb.Invert(tfgb.Flatten((2, 2, 4)))], (16,), (2, 2, 4)),
    ]
    for parts, event_shape, latent_shape in cases:
        steps, chain = tfgb.Steps(parts), tfb.Chain(parts)
        assert (steps.event_shape, steps.latent_shape) == (event_shape, latent_shape)
        x = 1.0 + tf.random.stateless_uniform((3, *latent_shape), (1, 2))
        y = steps.forward(x)
        np.testing.assert_allclose(y, chain.forward(tf.identity(x)), atol=1e-5)
        np.testing.assert_allclose(steps.forward_log_det_jacobian(tf.identity(x)),
                                   chain.forward_log_det_jacobian(tf.identity(x), len(latent_shape)), atol=1e-5)
        np.testing.assert_allclose(steps.inverse(tf.identity(y)), x, atol=1e-4)


def test_networks_inside_a_chain_are_initialized():
    chain = tfb.Chain([tfb.Chain([tfgb.Squeeze((4, 4, 1)), tfb.Scale(3.0)]),
                       tfgb.AffineCoupling((2, 2, 4), ConvNet(4, 4))])
    whole = tfd.TransformedDistribution(tfd.Sample(tfd.Normal(0.0, 1.0), (2, 2, 4)), chain)
    assert not tfp_glow.FlowModel(whole).is_initialized
    tfp_glow.initialize(whole, np.random.RandomState(0).uniform(size=(8, 4, 4, 1)).astype("float32"))
    assert tfp_glow.FlowModel(whole).is_initialized


@pytest.mark.parametrize(("batch", "message"), [
    (np.zeros(4, "float32"), r"batch axis, shape \[batch, 4\]; received shape \(4,\)"),
    (np.zeros((0, 4), "float32"), r"at least one event.*received shape \(0, 4\)"),
    (tf.data.Dataset.range(3), "must be an array or tensor; received <_RangeDataset"),
])
@pytest.mark.parametrize("flow", [
    lambda: tfgb.ActNorm((4,)), lambda: tfb.Chain([tfgb.ActNorm((4,))]),
    lambda: tfp_glow.realnvp_vector(4, 2, (4,), act_norm=True)], ids=["bijector", "chain", "flow"])
def test_batches_without_a_batch_axis_or_events_raise(flow, batch, message):
    with pytest.raises(ValueError, match=message):
        tfp_glow.initialize(flow(), batch)


def test_initialize_in_a_graph_raises():
    with pytest.raises(ValueError, match="outside of a tf.function"):
        tf.function(lambda: tfp_glow.initialize(tfgb.ActNorm((4,)), tf.zeros((3, 4))), autograph=False)()
