# SPDX-License-Identifier: Apache-2.0
"""Flows as TFP distributions: names, unknown keywords, contexts, copies, pickles and global dtype policies."""

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tf_keras
from small_flows import IMAGE, SMALL_FLOWS, moved

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.flows import config_from_dict, config_of, config_to_dict, register_flow

tfb, tfd = tfp.bijectors, tfp.distributions
BUILDERS = {
    "glow": lambda **k: tfp_glow.glow(IMAGE, 1, 1, 4, **k),
    "realnvp": lambda **k: tfp_glow.realnvp(IMAGE, 1, 1, 4, **k),
    "realnvp_vector": lambda **k: tfp_glow.realnvp_vector(3, 2, (4,), **k),
    "nice": lambda **k: tfp_glow.nice(3, 2, (4,), **k),
    "maf": lambda **k: tfp_glow.maf(3, 1, (4,), **k),
    "iaf": lambda **k: tfp_glow.iaf(3, 1, (4,), **k),
    "pyramid": lambda **k: tfp_glow.pyramid(IMAGE, 1, 4, 1, top_sizes=(4,), **k),
    "jet": lambda **k: tfp_glow.jet(IMAGE, 2, 1, 1, 4, 2, **k),
    "dequantizer": lambda **k: tfp_glow.dequantizer(IMAGE, 1, 4, **k),
}


@pytest.fixture(scope="module")
def flow():
    return moved(BUILDERS["realnvp_vector"](seed=1, act_norm=True))


@pytest.fixture(scope="module")
def class_flow():
    return moved(tfp_glow.glow((4, 4, 1), 1, 1, 4, num_classes=4))


@pytest.fixture
def policy():
    yield keras.config.set_dtype_policy
    keras.config.set_dtype_policy("float32")


@register_flow("scaled_normal_of_these_tests")
def scaled_normal(size):
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(size)), tfgb.Scale((size,)))


@pytest.mark.parametrize("kind", BUILDERS)
def test_each_builder_takes_a_name_and_explicit_names_are_saved(kind):
    unnamed, named = BUILDERS[kind](), BUILDERS[kind](name="prior")
    assert (unnamed.name, named.name) == (kind, "prior") and unnamed.parameters["name"] is None
    assert "name" not in config_to_dict(config_of(unnamed))  # As in files that are older than the argument.
    config = config_of(named)
    assert config_from_dict(config_to_dict(config)) == config and config.build().name == "prior"
    with pytest.raises(ValueError, match="`name` must be a non-empty string or None; received 3"):
        BUILDERS[kind](name=3)


@pytest.mark.parametrize("joint", [
    lambda flow, x: tfd.JointDistributionSequential([flow, lambda z: x(z)]),
    lambda flow, x: tfd.JointDistributionSequentialAutoBatched([flow, lambda z: x(z)]),
    lambda flow, x: tfd.JointDistributionNamed({"z": flow, "x": lambda z: x(z)}),
    lambda flow, x: tfd.JointDistributionNamedAutoBatched({"z": flow, "x": lambda z: x(z)}),
], ids=["sequential", "sequential_auto_batched", "named", "named_auto_batched"])
def test_joint_distributions_name_their_variables(joint, flow):
    def x(z):
        return tfd.Independent(tfd.Normal(z, 1.0), 1)

    both = joint(flow, x)
    sample = both.sample(2, seed=1)
    z, noisy = (sample["z"], sample["x"]) if isinstance(sample, dict) else sample
    expected = flow.log_prob(tf.identity(z)) + x(z).log_prob(noisy)
    np.testing.assert_allclose(both.log_prob(sample), expected, rtol=1e-5)


@pytest.mark.parametrize("auto_batched", [False, True])
def test_joint_distributions_of_coroutines(auto_batched, flow):
    def model():
        z = yield flow if auto_batched else tfd.JointDistributionCoroutine.Root(flow)
        yield tfd.Independent(tfd.Normal(z, 1.0), 1, name="x")

    both = (tfd.JointDistributionCoroutineAutoBatched if auto_batched else tfd.JointDistributionCoroutine)(model)
    assert {id(v) for v in both.trainable_variables} == {id(v) for v in flow.trainable_variables}
    sample = both.sample(2, seed=1)
    assert both.log_prob(sample).shape == (2,) and sample.x.shape == (2, 3)
    pinned = both.experimental_pin(x=sample.x)
    assert pinned.unnormalized_log_prob(sample[0]).shape == (2,)


def rest():
    return tfd.Independent(tfd.Normal([0.0, 1.0], 1.0), 1)


@pytest.mark.parametrize(("compose", "expected"), [
    (lambda flow: tfd.Independent(flow, 0), lambda p, s: p(s)),
    (lambda flow: tfd.Sample(flow, 4), lambda p, s: tf.reduce_sum(p(s), axis=-1)),
    (lambda flow: tfd.BatchBroadcast(flow, [4]), lambda p, s: p(s)),
    (lambda flow: tfd.BatchReshape(flow, [1, 1]), lambda p, s: p(s)),
    (lambda flow: tfd.Masked(flow, True, safe_sample_fn=lambda _: tf.zeros(3)), lambda p, s: p(s)),
    (lambda flow: tfd.Mixture(tfd.Categorical(probs=[0.3, 0.7]), [flow, flow]), lambda p, s: p(s)),
    (lambda flow: tfd.Blockwise([flow, rest()]), lambda p, s: p(s[..., :3]) + rest().log_prob(s[..., 3:])),
    (lambda flow: tfd.TransformedDistribution(
        tfd.JointDistributionSequential([flow.distribution, rest()]), tfb.JointMap([flow.bijector, tfb.Identity()])),
     lambda p, s: p(s[0]) + rest().log_prob(s[1])),
    (lambda flow: tfd.TransformedDistribution(
        tfd.Blockwise([flow.distribution, rest()]), tfb.Blockwise([flow.bijector, tfb.Identity()], [3, 2])),
     lambda p, s: p(s[..., :3]) + rest().log_prob(s[..., 3:])),
], ids=["independent", "sample", "batch_broadcast", "batch_reshape", "masked", "mixture", "blockwise", "joint_map",
        "blockwise_bijector"])
def test_flows_in_compositions_of_distributions(compose, expected, flow):
    whole = compose(flow)
    sample = whole.sample(2, seed=(1, 2))
    np.testing.assert_allclose(whole.log_prob(sample),
                               expected(flow.log_prob, tf.nest.map_structure(tf.identity, sample)), rtol=1e-4)
    assert {id(v) for v in flow.trainable_variables} <= {id(v) for v in whole.trainable_variables}


@pytest.mark.parametrize("optimizer", [keras.optimizers.Adam, tf_keras.optimizers.Adam], ids=["keras", "tf_keras"])
def test_optimizers_of_tfp_train_flows(optimizer):
    surrogate = BUILDERS["iaf"](seed=1)
    target = tfd.MultivariateNormalDiag(2.0 * tf.ones(3))
    losses = tfp.vi.fit_surrogate_posterior(
        target.log_prob, surrogate, optimizer=optimizer(0.05), num_steps=20, sample_size=8, seed=(1, 2))
    assert losses[-1] < losses[0] - 1.0
    density, data = BUILDERS["realnvp_vector"](seed=1), target.sample(32, seed=(1, 2))
    losses = tfp.math.minimize(lambda: -tf.reduce_mean(density.log_prob(data)), 20, optimizer(0.05),
                               trainable_variables=density.trainable_variables)
    assert losses[-1] < losses[0] - 1.0


def test_markov_chains_with_a_flow_as_target_and_as_transform(flow):
    for kernel in (tfp.mcmc.HamiltonianMonteCarlo(flow.log_prob, 0.1, 2), tfp.mcmc.TransformedTransitionKernel(
            tfp.mcmc.HamiltonianMonteCarlo(lambda x: -tf.reduce_sum(x**2, axis=-1), 0.1, 2), flow.bijector)):
        states = tfp.mcmc.sample_chain(3, current_state=tf.zeros((2, 3)), kernel=kernel, trace_fn=None, seed=(1, 2))
        assert states.shape == (3, 2, 3) and np.all(np.isfinite(states))


@pytest.mark.parametrize("kind", ["glow", "maf"])
def test_empty_batches_have_empty_results(kind):
    flow = BUILDERS[kind]()
    assert flow.sample(0).shape == (0, *flow.event_shape)
    assert flow.log_prob(tf.zeros((2, 0, *flow.event_shape))).shape == (2, 0)


def test_distributions_add_no_noise_to_integers():
    flow, images = BUILDERS["glow"](seed=1), np.random.RandomState(0).randint(0, 256, (3, *IMAGE)).astype("uint8")
    np.testing.assert_array_equal(flow.log_prob(images), flow.log_prob(images.astype("float32")))
    with pytest.raises(ValueError, match="requested dtype float32 for Tensor with dtype uint8"):
        flow.log_prob(tf.constant(images))


def test_flows_are_built_outside_of_graphs():
    message = "must be built outside of a tf.function.*build the flow before this function"
    with pytest.raises(ValueError, match=message):
        tf.function(lambda: BUILDERS["nice"]().sample(), autograph=False)()

    def model():
        z = yield BUILDERS["nice"](name="z")
        yield tfd.Independent(tfd.Normal(z, 1.0), 1, name="x")

    with pytest.raises(ValueError, match=message):
        tfd.JointDistributionCoroutineAutoBatched(model).sample(2)


@pytest.mark.parametrize("call", [
    lambda flow, x, **k: flow.log_prob(x, **k), lambda flow, x, **k: flow.prob(x, **k),
    lambda flow, x, **k: flow.sample(2, **k), lambda flow, x, **k: flow.experimental_sample_and_log_prob(2, **k),
    lambda flow, x, **k: flow.unnormalized_log_prob(x, **k), lambda flow, x, **k: tf.function(flow.log_prob)(x, **k)])
def test_unknown_keywords_raise(call, flow):
    x = tf.zeros((2, 3))
    with pytest.raises(ValueError, match="must be one of 'bijector_kwargs', 'distribution_kwargs'; received 'foo'"):
        call(flow, x, foo=1)
    with pytest.raises(ValueError, match=r"FlowModel\(flow\).sample\(number, temperature=...\)"):
        call(flow, x, temperature=0.1)
    with pytest.raises(ValueError, match='bijector_kwargs={"context": ...}'):
        call(flow, x, condition=x)
    with pytest.raises(ValueError, match="keyword must be one of 'context', 'training'; received 'foo'"):
        call(flow, x, bijector_kwargs={"foo": 1})
    with pytest.raises(ValueError, match="`bijector_kwargs` must be a dict"):
        call(flow, x, bijector_kwargs=x)


def test_unknown_keywords_of_bijectors_and_of_registered_flows_raise(flow):
    x = tf.zeros((2, 3))
    for call in (flow.bijector.forward, flow.bijector.inverse, tfb.Invert(flow.bijector).forward,
                 flow.bijector.forward_log_det_jacobian, flow.bijector.inverse_log_det_jacobian):
        with pytest.raises(ValueError, match="received 'foo'"):
            call(x, foo=1)
    for build in (scaled_normal, lambda size: config_from_dict(config_to_dict(config_of(scaled_normal(size)))).build()):
        with pytest.raises(ValueError, match="received 'foo'"):
            build(3).log_prob(x, foo=1)


@pytest.mark.parametrize(("context", "received"), [
    (None, "None"), (tf.zeros((2, 3)), r"shape \(2, 3\) and dtype float32"),
    (np.array([0, 1]), r"shape \(2,\) and dtype int64"), (tf.zeros((5, 4)), r"shape \(5, 4\)"),
    (np.array([["a"] * 4] * 2), "dtype string"), (tf.zeros((2, 4), tf.complex64), "dtype complex64"),
    (object(), "object")])
def test_calls_of_class_flows_without_one_hot_labels_name_the_remedy(context, received, class_flow):
    keywords = {} if context is None else {"bijector_kwargs": {"context": context}}
    message = rf'received .*{received}.*bijector_kwargs={{"context": ...}}; for class labels, tf.one_hot\(labels, 4\)'
    for call in (lambda: class_flow.log_prob(tf.zeros((2, 4, 4, 1)), **keywords),
                 lambda: class_flow.sample(2, **keywords)):
        with pytest.raises(ValueError, match=message):
            call()


def test_integer_labels_that_would_broadcast_raise(class_flow):
    labels = np.arange(4)  # As many labels as classes.
    with pytest.raises(ValueError, match=r"one-hot labels of shape \[..., 4\]"):
        class_flow.log_prob(tf.zeros((4, 4, 4, 1)), bijector_kwargs={"context": labels})
    one_hot = np.eye(4, dtype="int64")
    assert class_flow.log_prob(tf.zeros((4, 4, 4, 1)), bijector_kwargs={"context": one_hot}).shape == (4,)


def test_contexts_that_chains_route_by_name_still_arrive(class_flow):
    chain = tfb.Chain([class_flow.bijector, tfb.Scale(1.0)])
    one_hot = tf.one_hot([1, 2], 4)
    latents = tf.random.normal((2, 16))
    np.testing.assert_allclose(chain.forward(latents, glow={"context": one_hot}),
                               class_flow.bijector.forward(latents, context=one_hot))


def test_copies_keep_the_config_unless_base_or_bijector_change(class_flow, tmp_path):
    renamed = class_flow.copy(name="renamed")
    assert renamed.name == "renamed" and renamed.bijector is class_flow.bijector
    assert config_of(renamed).arguments == {**config_of(class_flow).arguments, "name": "renamed"}
    assert config_of(class_flow.copy(validate_args=True)) == config_of(class_flow)
    model = tfp_glow.FlowModel(renamed)
    assert model.condition_spec.name == "labels"
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.distribution.name == "renamed"
    plain = class_flow.copy(bijector=tfgb.Flatten((4, 4, 1)))
    assert not plain.variables
    for changed in (plain, class_flow.copy(distribution=tfd.Sample(tfd.Normal(0.0, 2.0), 16))):
        assert config_of(changed) is None and changed.name == "glow"
        with pytest.raises(ValueError, match="can be saved whole only if"):
            tfp_glow.FlowModel(changed).save(tmp_path / "changed.keras")
        with pytest.raises(TypeError, match="cannot be pickled or copied deeply.*register_flow"):
            pickle.dumps(changed)


@pytest.mark.parametrize("name", ["glow_additive_shuffle", "maf"])
def test_pickles_and_deep_copies_have_equal_weights(name):
    flow = moved(SMALL_FLOWS[name](name="mine"))
    value = flow.sample(2, seed=1)
    for other in (pickle.loads(pickle.dumps(flow)), copy.deepcopy({"flow": [flow]})["flow"][0]):
        assert other.name == "mine" and config_of(other) == config_of(flow)
        np.testing.assert_array_equal(other.log_prob(value), flow.log_prob(tf.identity(value)))
        assert not {id(v) for v in other.variables} & {id(v) for v in flow.variables}
    shared = copy.copy(flow)
    assert shared.variables[0] is flow.variables[0] and config_of(shared) == config_of(flow)


def test_pickles_of_registered_flows_and_of_renamed_copies():
    flow = moved(scaled_normal(3))
    other = pickle.loads(pickle.dumps(flow.copy(name="other", validate_args=True)))
    assert other.name == "other" and other.parameters["validate_args"] is True
    np.testing.assert_array_equal(other.log_prob(tf.ones(3)), flow.log_prob(tf.ones(3)))


def test_bijectors_say_that_they_cannot_be_pickled(flow):
    for call in (pickle.dumps, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied deeply.*pickle the flow"):
            call(flow.bijector)


@pytest.mark.parametrize("kind", ["glow", "realnvp_vector", "maf", "dequantizer"])
def test_global_policies_apply_to_networks_only(kind, policy):
    plain = BUILDERS[kind](seed=1)
    policy("mixed_bfloat16")
    mixed, double = BUILDERS[kind](seed=1), BUILDERS[kind](dtype="float64")
    rebuilt, explicit = config_of(plain).build(), BUILDERS[kind](seed=1, network_dtype="float32")
    keywords = {"bijector_kwargs": {"context": tf.ones((2, *IMAGE))}} if kind == "dequantizer" else {}
    value = plain.sample(2, seed=1, **keywords)
    policy("float32")
    assert config_of(mixed).arguments["network_dtype"] == "mixed_bfloat16"
    assert {v.dtype for v in mixed.trainable_variables} == {tf.float32} == {mixed.dtype}
    for flow in (plain, mixed, rebuilt, explicit):
        moved(flow)
    log_probs = [flow.log_prob(tf.identity(value), **keywords).numpy() for flow in (plain, mixed, rebuilt, explicit)]
    np.testing.assert_allclose(log_probs[1], log_probs[0], atol=1.0)
    assert np.any(log_probs[1] != log_probs[0]) and log_probs[1].dtype == np.float32
    np.testing.assert_array_equal(log_probs[2:], [log_probs[0]] * 2)  # Neither a config nor an explicit dtype change.
    assert {v.dtype for v in double.trainable_variables} == {tf.float64}
    assert config_of(double).arguments["network_dtype"] is None


@pytest.mark.parametrize("kind", BUILDERS)
def test_every_builder_honors_global_policies(kind, policy):
    policy("mixed_bfloat16")
    flow = BUILDERS[kind]()
    dtypes = {dtype for part in flow.submodules if isinstance(part, tfgb.FlowBijector) for dtype in part.network_dtypes}
    assert "bfloat16" in dtypes and {v.dtype for v in flow.trainable_variables} == {tf.float32}


def test_mixed_float16_trains_with_loss_scaling(policy, tmp_path):
    policy("mixed_float16")
    model = tfp_glow.FlowModel(BUILDERS["glow"](seed=1))
    policy("float32")
    model.compile(keras.optimizers.Adam(1e-2))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    images = np.random.RandomState(0).randint(100, 120, (32, *IMAGE)).astype("uint8")
    bits = model.fit(images, batch_size=8, epochs=3, verbose=0).history["bits_per_dim"]
    assert bits[-1] < bits[0] and model.skipped_steps == 0
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert isinstance(loaded.optimizer.inner_optimizer, keras.optimizers.Adam)
    np.testing.assert_array_equal(loaded.log_prob(images), model.log_prob(images))
    model.compile("adam", auto_scale_loss=False)
    assert isinstance(model.optimizer, keras.optimizers.Adam)


@pytest.mark.parametrize("shape", [1, (1,), (1, 1, 1)])
@pytest.mark.parametrize("kind", ["realnvp_vector", "nice"])
def test_couplings_of_one_element_name_the_argument(kind, shape):
    with pytest.raises(ValueError, match="`event_shape` must have at least 2 elements.*tfp_glow.maf"):
        getattr(tfp_glow, kind)(shape)


@pytest.mark.parametrize("kind", ["maf", "iaf"])
def test_autoregressive_flows_of_one_element(kind):
    flow = getattr(tfp_glow, kind)(1, 1, (4,))
    assert flow.log_prob(flow.sample(3, seed=1)).shape == (3,)
