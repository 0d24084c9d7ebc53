# SPDX-License-Identifier: Apache-2.0
"""Flows over vectors run their layers in a loop. Files of earlier versions, which have no loop, still load."""

import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from paths import TESTS

import tfp_glow
from tfp_glow.bijectors import Repeat
from tfp_glow.flows import config_from_dict, config_of
from trainers import data, presets
from trainers.runs import trained_models
from trainers.runs.configuration import configure
from trainers.runs.run_directory import RunDirectory

pytestmark = pytest.mark.matrix

EARLIER = TESTS / "flows" / "earlier"
BUILDERS = {
    "realnvp_vector": lambda n, **k: tfp_glow.realnvp_vector(3, n, (6,), **k),
    "maf": lambda n, **k: tfp_glow.maf(3, n, (6,), batch_norm=False, log_scale="tanh", **k),
    "iaf": lambda n, **k: tfp_glow.iaf(3, n, (6,), **k),
    "nsf": lambda n, **k: tfp_glow.nsf(3, n, 6, num_blocks=1, num_bins=3, **k),
    "nsf_autoregressive": lambda n, **k: tfp_glow.nsf(
        3, n, 6, num_blocks=1, num_bins=3, kind="autoregressive", linear="permutation", **k),
}
every_flow = pytest.mark.parametrize("name", BUILDERS)


@pytest.mark.parametrize("name", ["realnvp_vector", "maf", "iaf"])
def test_files_of_earlier_versions_have_equal_densities(name, tmp_path):
    model = keras.saving.load_model(EARLIER / f"{name}.keras")
    events = np.random.RandomState(0).standard_normal((64, 3)).astype("float32")[:4]
    expected = json.loads((EARLIER / "densities.json").read_text())[name]
    np.testing.assert_allclose(model.log_prob(events), expected, rtol=1e-5)
    arguments = config_of(model.distribution).arguments
    assert arguments["backprop"] == "unrolled" and arguments.get("partition", "odd_even") == "odd_even"
    model.save(tmp_path / "again.keras")
    again = keras.saving.load_model(tmp_path / "again.keras")
    np.testing.assert_array_equal(again.log_prob(events), model.log_prob(events))


def test_runs_of_earlier_versions_resume(tmp_path):
    """Their `config.json` has no entry `backprop`. Their weights are those of an unrolled flow."""
    toy = data.load("toy:banana")
    config = configure("toy_maf_smoke", presets.get("toy_maf_smoke"), "toy:banana", toy)
    assert config["flow"]["backprop"] == "stored"
    run = RunDirectory(tmp_path / "run")
    assert run.adopted(config) == config
    run.open(config)
    assert run.config()["flow"]["backprop"] == run.adopted(config)["flow"]["backprop"] == "stored"
    stored = json.loads((run.path / "config.json").read_text())
    del stored["flow"]["backprop"], stored["flow"]["context_shape"]
    (run.path / "config.json").write_text(json.dumps(stored))
    adopted = run.adopted(config)
    assert run.config()["flow"]["backprop"] == adopted["flow"]["backprop"] == "unrolled"
    for same in (adopted, config):
        run.check(same)
    for each in (adopted, run.config()):
        assert not any(isinstance(b, Repeat) for b in trained_models.build(each).distribution.bijector.bijectors)
    other = {**config, "flow": {**config["flow"], "num_layers": config["flow"]["num_layers"] + 1}}
    with pytest.raises(ValueError, match="another configuration: flow.num_layers"):
        run.check(other)


@every_flow
@pytest.mark.parametrize("context_shape", [pytest.param(None, marks=pytest.mark.slow), (2,)])
def test_loops_equal_unrolled_layers_and_reversible_gradients_are_exact(name, context_shape):
    """With five couplings, one coupling of RealNVP follows the loop over pairs."""
    rng = np.random.RandomState(0)
    y, context = (tf.constant(rng.standard_normal((4, size))) for size in (3, 2))
    keywords = {} if context_shape is None else {"bijector_kwargs": {"context": context}}
    results = {}
    for backprop in ("unrolled", "stored", "reversible"):
        flow = BUILDERS[name](5 if name == "realnvp_vector" else 2, backprop=backprop, context_shape=context_shape,
                              seed=1, dtype="float64")
        assert any(isinstance(b, Repeat) for b in flow.bijector.bijectors) == (backprop != "unrolled")
        for variable in flow.trainable_variables:  # The same change in each layer.
            variable.assign_add(0.1 * tf.ones_like(variable))
        with tf.GradientTape() as tape:
            tape.watch([y, context])
            log_prob = flow.log_prob(y, **keywords)
            loss = tf.reduce_sum(tf.sin(log_prob))
        sources = [y, *([] if context_shape is None else [context]), *flow.trainable_variables]
        results[backprop] = log_prob, flow.bijector.forward(y, **keywords.get("bijector_kwargs", {})), (
            tape.gradient(loss, sources))
    inputs = 1 if context_shape is None else 2
    for received, expected in zip(results["stored"][:2], results["unrolled"][:2], strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-10)
    for received, expected in zip(results["stored"][2][:inputs], results["unrolled"][2][:inputs], strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-9)
    for received, expected in zip(results["reversible"][2], results["stored"][2], strict=True):
        np.testing.assert_allclose(received, expected, atol=1e-9)
    assert all(np.any(gradient != 0.0) for gradient in results["stored"][2][:inputs])


@every_flow
def test_the_graph_does_not_grow_with_depth(name):
    def num_nodes(depth):
        flow = BUILDERS[name](depth)
        graph = tf.function(flow.log_prob).get_concrete_function(tf.zeros((2, 3))).graph.as_graph_def()
        return len(graph.node) + sum(len(f.node_def) for f in graph.library.function)

    assert num_nodes(4) == num_nodes(12)


def test_layers_with_batch_normalization_are_unrolled():
    for flow in (tfp_glow.maf(3, 4, (4,)), tfp_glow.realnvp_vector(3, 4, (4,), batch_norm=True)):
        assert not any(isinstance(b, Repeat) for b in flow.bijector.bijectors)
    with pytest.raises(ValueError, match="`backprop` must be 'stored' or 'unrolled' with batch_norm=True"):
        tfp_glow.maf(3, 4, (4,), backprop="reversible")
    for build in (tfp_glow.maf, tfp_glow.iaf, tfp_glow.realnvp_vector, tfp_glow.nsf):
        with pytest.raises(ValueError, match="`backprop` must be one of 'stored', .*; received 'all'"):
            build(3, backprop="all")


def test_configs_without_an_entry_have_the_default():
    assert config_from_dict({"flow": "maf", "event_shape": 3}).arguments["backprop"] == "stored"
