# SPDX-License-Identifier: Apache-2.0
"""Tests of flows in Keras: one list of weights, saving of all weights, `summary` and `training`."""

import dataclasses
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tutorials
from small_flows import SMALL_FLOWS as FLOWS

import tfp_glow
from tfp_glow import bijectors as tfgb
from tfp_glow.flows import config_from_dict, config_from_file, config_of, register_config
from tfp_glow.networks import MLP
from trainers.presets import PRESETS

pytestmark = pytest.mark.matrix

tfb, tfd = tfp.bijectors, tfp.distributions


def normal(size):
    return tfd.MultivariateNormalDiag(tf.zeros(size))


def trained_once(flow):
    """Returns the model of a flow. Asserts that Keras and TFP list the same trainable variables, each once."""
    model = tfp_glow.FlowModel(flow)
    keras_s = [id(v.value) for v in model.trainable_variables]
    tfp_s = [id(v) for v in flow.trainable_variables]
    assert len(keras_s) == len(set(keras_s)) and len(tfp_s) == len(set(tfp_s))
    assert set(keras_s) == set(tfp_s) and keras_s
    return model


# Training.

SMOKE = {}  # The name of one smoke preset per flow config.
for _name, _preset in PRESETS.items():
    if _name.endswith("_smoke"):
        SMOKE.setdefault(tuple(sorted(_preset.flow.items())), _name)


@pytest.mark.parametrize("name", SMOKE.values())
def test_every_preset_trains_all_tfp_variables(name):
    flow = dict(PRESETS[name].flow)
    if flow["flow"] == "jet":
        shape = {"image_shape": (2 * flow["patch_size"],) * 2 + (1,)}
    elif flow["flow"] in ("glow", "pyramid", "realnvp"):
        shape = {"image_shape": (2 ** flow.get("num_levels", flow.get("num_scales")),) * 2 + (1,)}
    elif flow["flow"] == "pixelcnn":
        shape = {"image_shape": (flow["block_size"],) * 2 + (1,)}
    else:
        shape = {"event_shape": (2,) if "toy" in name else (2, 2, 1)}
    model = trained_once(config_from_dict({**flow, **shape}).build())
    assert model.count_params() == sum(int(np.prod(v.shape)) for v in model.distribution.variables)


@pytest.mark.parametrize(("tutorial", "function"), [
    ("variational_inference", "flow_posterior"), ("variational_inference", "mean_field_posterior"),
    ("conditional_density", "conditional_flow"), ("plane_densities", "mixture_of_two")])
def test_flows_of_tutorials_train_all_tfp_variables(tutorial, function):
    trained_once(tutorials.definitions(tutorial)[function]())


def shared():
    return tfgb.AffineCoupling((4,), MLP(4, (6,)))


@pytest.mark.parametrize("flow", [
    lambda part: tfd.TransformedDistribution(normal(4), tfb.Chain([part, tfgb.Reverse((4,)), part])),
    lambda part: tfd.TransformedDistribution(normal(4), tfgb.Steps([part, tfgb.Reverse((4,)), part])),
    lambda part: tfd.TransformedDistribution(normal(4), tfb.Chain([part, tfb.Invert(part)])),
    lambda part: tfd.Mixture(tfd.Categorical(logits=[0.0, 0.0]), [
        tfd.TransformedDistribution(normal(4), part), tfd.TransformedDistribution(normal(4), tfb.Chain([part]))]),
], ids=["chain", "steps", "inverted", "two_distributions"])
def test_a_bijector_used_twice_is_listed_once(flow):
    part = shared()
    model = trained_once(flow(part))
    assert len(model.trainable_variables) == len(part.trainable_variables) == 4
    y = tf.random.stateless_normal((3, 4), (1, 2))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model.distribution.log_prob(y))
    assert all(g is not None for g in tape.gradient(loss, part.trainable_variables))


# Saving.


class Listing(keras.layers.Layer):
    """A custom network that stores its layers in nested plain lists."""

    def __init__(self, outputs, **kwargs):
        super().__init__(**kwargs)
        self.outputs = outputs
        self.parts = [keras.layers.Dense(5, "tanh"), [keras.layers.BatchNormalization(), keras.layers.Dense(outputs)]]

    def build(self, input_shape):
        first, (norm, last) = self.parts
        first.build(input_shape)
        norm.build((None, 5))
        last.build((None, 5))

    def call(self, inputs, training=None):
        first, (norm, last) = self.parts
        return last(norm(first(inputs), training=training))

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self.outputs)


def listing():
    couplings = [tfgb.AffineCoupling((4,), Listing(4), mask) for mask in ("channel", "channel_reversed")]
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.Variable(tf.zeros(4))), tfb.Chain([
        tfgb.Steps([tfgb.ActNorm((4,)), couplings[0]]), tfb.Scale(tf.Variable(tf.ones(4))), tfb.Invert(couplings[1])]))


SAVED = {**FLOWS, "networks_with_lists": listing, "repeated_lists": lambda: tfd.TransformedDistribution(
    normal(4), tfgb.Repeat(lambda: tfgb.Steps([tfgb.ActNorm((4,)), tfgb.AffineCoupling((4,), keras.Sequential(
        [keras.Sequential([keras.layers.Dense(5)]), keras.layers.Dense(4)]))]), 2))}


@pytest.mark.parametrize("name", SAVED)
def test_weights_and_checkpoints_hold_every_variable(name, tmp_path):
    if name == "networks_with_lists" and tuple(map(int, keras.__version__.split(".")[:2])) < (3, 15):
        pytest.skip("Keras saves the layers in nested lists from 3.15 on.")
    model = tfp_glow.FlowModel(SAVED[name]())
    rng = np.random.RandomState(0)
    for variable in model.distribution.variables:
        if variable.dtype.is_floating:
            variable.assign(rng.uniform(0.5, 1.5, variable.shape))
        elif variable.dtype == tf.bool:
            variable.assign(tf.ones_like(variable))
    model.save_weights(tmp_path / "model.weights.h5")
    checkpoint = tf.train.Checkpoint(model=model).write(str(tmp_path / "model"))
    bijector = tf.train.Checkpoint(bijector=model.distribution.bijector).write(str(tmp_path / "bijector"))
    others = [tfp_glow.FlowModel(SAVED[name]()) for _ in range(3)]
    others[0].load_weights(tmp_path / "model.weights.h5")
    tf.train.Checkpoint(model=others[1]).read(checkpoint).assert_existing_objects_matched()
    tf.train.Checkpoint(bijector=others[2].distribution.bijector).read(bijector).assert_existing_objects_matched()
    wholes = [model.distribution, others[0].distribution, others[1].distribution]
    for received in (*zip(*(whole.variables for whole in wholes), strict=True), *zip(
            model.distribution.bijector.variables, others[2].distribution.bijector.variables, strict=True)):
        for value in received[1:]:
            np.testing.assert_array_equal(value, received[0])


def test_checkpoints_hold_no_variable_twice(tmp_path):
    model = tfp_glow.FlowModel(listing())
    path = tf.train.Checkpoint(model=model).write(str(tmp_path / "model"))
    saved = [name for name, _ in tf.train.list_variables(path) if name.endswith("VARIABLE_VALUE")]
    assert len(saved) == len(model.variables) == len({id(v) for v in model.distribution.variables})


# Custom flows, saved as whole models.


@register_config("of_the_tests")
@dataclasses.dataclass(frozen=True)
class OwnConfig:
    """Config of a custom composition that no preset uses."""

    size: int
    sizes: tuple = (6,)
    mixed: bool = False

    def build(self):
        """Builds one flow, or a mixture of two flows if `mixed` is True."""
        def flow(mask):
            coupling = tfgb.AffineCoupling((self.size,), MLP(self.size, self.sizes, "tanh"), mask)
            return tfd.TransformedDistribution(
                tfd.MultivariateNormalDiag(tf.Variable(tf.zeros(self.size))), tfb.Chain([tfb.Softsign(), coupling]))

        flows = [flow("channel"), flow("channel_reversed")]
        weights = tfd.Categorical(logits=tf.Variable(tf.zeros(2)))
        return tfd.Mixture(weights, flows) if self.mixed else flows[0]


@pytest.mark.parametrize("mixed", [False, True])
def test_a_registered_composition_is_saved_whole(mixed, tmp_path):
    config = OwnConfig(4, sizes=(5, 3), mixed=mixed)
    model = trained_once(config.build())
    assert config_of(model.distribution).arguments == {"size": 4, "sizes": (5, 3), "mixed": mixed}
    for variable in model.trainable_variables:
        variable.assign_add(0.3 * tf.random.stateless_normal(variable.shape, (1, 2)))
    model.save(tmp_path / "model.keras")
    other = keras.saving.load_model(tmp_path / "model.keras")
    assert config_of(other.distribution) == config_of(model.distribution)
    y = np.random.RandomState(0).uniform(-0.9, 0.9, (5, 4)).astype("float32")
    np.testing.assert_array_equal(other.distribution.log_prob(y), model.distribution.log_prob(y))
    assert len(other.trainable_variables) == len(model.trainable_variables)


def test_saving_an_unregistered_composition_raises(tmp_path):
    model = tfp_glow.FlowModel(listing())
    with pytest.raises(ValueError, match="can be saved whole only if .* Otherwise save the weights"):
        model.save(tmp_path / "model.keras")
    assert not (tmp_path / "model.keras").exists()
    other = tfp_glow.FlowModel(OwnConfig(4).build())
    other.save(tmp_path / "model.keras")
    before = (tmp_path / "model.keras").read_bytes()
    with pytest.raises(ValueError, match="can be saved whole"):
        model.save(tmp_path / "model.keras")
    assert (tmp_path / "model.keras").read_bytes() == before


def test_wrong_configs_raise():
    with pytest.raises(ValueError, match="`name` must be a string; received <class"):
        register_config(OwnConfig)
    with pytest.raises(ValueError, match="`name` must be a name that no other flow has; received 'glow', which "
                                         "belongs to tfp_glow.flows.glow.glow"):
        register_config("glow")(OwnConfig)
    with pytest.raises(ValueError, match="dataclass with a method `build`; received <class 'dict'>"):
        register_config("dict")(dict)
    with pytest.raises(ValueError, match="imported before; received 'unknown'"):
        config_from_dict({"flow": "unknown"})

    @register_config("builds_nothing")
    @dataclasses.dataclass(frozen=True)
    class BuildsNothing:
        def build(self):
            return None

    with pytest.raises(ValueError, match="The flow 'builds_nothing' must return a tfd.Distribution; received None"):
        BuildsNothing().build()


# Summaries, and `training` in networks.


@pytest.mark.parametrize("name", ["glow", "realnvp", "maf", "networks_with_lists"])
def test_summary_shows_layers_and_counts(name, monkeypatch):
    monkeypatch.setenv("COLUMNS", "160")  # The default is 80 columns if the output is not a terminal.
    model = tfp_glow.FlowModel(SAVED[name]())
    lines = []
    model.summary(print_fn=lines.append, line_length=120)
    text = "\n".join(lines)
    shown = {key: int(re.search(rf"{key} params: ([\d,]+)", text)[1].replace(",", ""))
             for key in ("Total", "Trainable", "Non-trainable")}
    numbers = [sum(int(np.prod(v.shape)) for v in variables) for variables in (
        model.distribution.variables, model.distribution.trainable_variables)]
    assert shown["Total"] == model.count_params() == numbers[0]
    assert shown["Trainable"] == numbers[1] == shown["Total"] - shown["Non-trainable"]
    rows = [int(number.replace(",", "")) for number in re.findall(r"│\s+([\d,]+) │$", text, re.M)]
    assert len(rows) == len(model.layers) and sum(rows) == shown["Total"]
    assert all(layer.name[:12] in text for layer in model.layers)


def test_training_reaches_batch_norm_in_a_network():
    network = keras.Sequential([
        keras.layers.BatchNormalization(), keras.layers.Dense(4, kernel_initializer="ones")])
    coupling = tfgb.AffineCoupling((4,), network, scale="exp")
    model = tfp_glow.FlowModel(tfd.TransformedDistribution(normal(4), tfb.Chain([tfb.Softplus(), coupling])))
    y = 5.0 + tf.random.stateless_uniform((64, 4), (1, 2))
    mean = network.layers[0].moving_mean
    outside = model(y, training=False)
    np.testing.assert_array_equal(mean, np.zeros(2))
    inside = model(y, training=True)
    assert np.any(inside != outside) and np.all(mean.numpy() > 0.0)
    moved = mean.numpy()
    model.compile(keras.optimizers.SGD(0.0))
    model.evaluate(y, verbose=0)
    np.testing.assert_array_equal(mean, moved)
    model.fit(y, verbose=0)
    assert np.all(mean.numpy() > moved)


# Dtypes.


@pytest.mark.parametrize("dtype", [np.float64, np.dtype("float64"), tf.float64, "float64"], ids=str)
def test_all_spellings_of_dtypes_are_saved(tmp_path, dtype):
    model = tfp_glow.FlowModel(tfp_glow.maf(2, num_layers=1, hidden_sizes=(4,), dtype=dtype, network_dtype=dtype))
    assert {config_of(model.distribution).arguments[name] for name in ("dtype", "network_dtype")} == {"float64"}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    assert loaded.distribution.dtype == tf.float64
    np.testing.assert_array_equal(loaded.log_prob(np.eye(2)), model.log_prob(np.eye(2)))


def test_files_with_a_dtype_as_keras_wrote_it_load():
    """Earlier versions stored `np.float64` itself."""
    entry = keras.saving.serialize_keras_object(np.float64)
    arguments = {"flow": "maf", "event_shape": (2,), "num_layers": 1, "hidden_sizes": (4,), "dtype": entry}
    assert config_from_file(arguments).build().dtype == tf.float64
