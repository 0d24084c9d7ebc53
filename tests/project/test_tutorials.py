# SPDX-License-Identifier: Apache-2.0
"""The tutorials in docs/tutorials: their form, and their code with small settings. The slow tests run them whole."""

import ast
import os
import pathlib
import re
import shutil
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp
import tutorials
from paths import ROOT

import tfp_glow

tfd = tfp.distributions
every_tutorial = pytest.mark.parametrize("name", tutorials.NAMES)

# What a whole run shows, in the names of the tutorial.
SHOWN = {
    "plane_densities": """
assert all(0.0 < kl < 0.08 for kl in divergences.values())
assert losses["mixture of two"] < losses["one flow"]
np.testing.assert_allclose(weights, [0.75, 0.25], atol=0.05)""",
    "digits": """
assert result["bits_per_dim"] < histogram - 0.05
assert np.array_equal(model.decode(latents), pair) and "bits_per_dim_uint8" in answer.stdout
np.testing.assert_allclose(
    [float(value) for value in answer.stdout.partition("bits/dim [")[2].rpartition("]")[0].split(",")],
    model.bits_per_dim(model.sample(3, temperature=0.7, seed=1), seed=0), atol=2e-3)""",
    "conditional_density": """
assert losses["true signals"] < losses["shuffled signals"] - 0.5""",
    "variational_inference": """
assert elbos["mean field"] + 0.5 < elbos["flow"] < 0.02
assert efficiency["NeuTra"] > 10 * efficiency["plain HMC"]
assert abs(float(tf.reduce_mean(chains["NeuTra"][..., 1])) - 1.0) < 0.1""",
    "learned_prior": """
assert bounds["after"] > bounds["before"] + 0.5
assert 1.8 < radius < 2.2
widths = [np.subtract(*np.percentile(np.linalg.norm(points, axis=-1), [75, 25])) for points in (z, data)]
assert widths[0] < widths[1] - 0.05
assert draws.shape == (200, 16, 2) and 1.8 < float(tf.reduce_mean(tf.norm(draws, axis=-1))) < 2.7""",
    "out_of_distribution": """
assert min(areas["noise"].values()) > 0.95 and min(areas["digits"].values()) > 0.95
assert all(areas[name]["bits"] < 0.45 for name in ("blurred", "faded", "flat"))
assert all(areas[name]["groups"] > areas[name]["bits"] + 0.2 for name in ("blurred", "faded", "flat"))""",
    "own_bijector": """
assert losses["HeavyTails, RealNVP"] < losses["RealNVP"] - 0.2
assert batteries[0] == [] and any("test_log_det_matches_the_jacobian" in line for line in batteries[1])""",
    "devices_and_workers": """
assert answers[0].split(":")[1] == answers[1].split(":")[1] != \"\"""",
    "serving": """
assert np.allclose(answer["bits_per_dim"], bits, rtol=1e-5)""",
}


def test_every_tutorial_has_a_whole_run():
    assert set(SHOWN) == set(tutorials.NAMES)


@every_tutorial
def test_form(name):
    """The title, what the reader learns, one install cell for all, exercises and what comes next."""
    text, cells = tutorials.text(name), tutorials.cells(name)
    assert text.startswith("---\njupytext:\n") and "format_name: myst" in text
    title, body = re.search(r"\n---\n\n# ([^\n]+)\n(.*)", text, re.DOTALL).groups()
    assert title and "You learn\n\n- " in body.partition("```")[0] and "\n## Exercises\n" in body
    assert cells[0] == tutorials.cells(tutorials.NAMES[0])[0] and 'find_spec("tfp_glow") is None' in cells[0]
    assert name == "serving" or re.search(r"\n\*\*Next:\*\* \[.+\]\(\w+\.md\)", body)
    assert max(map(len, text.splitlines())) <= 126
    for cell in cells:
        ast.parse(cell)
        assert max(map(len, cell.splitlines())) <= 120 or cell.startswith("__import__")
    for module, attribute in re.findall(r"\btfp_glow\.((?:\w+\.)?)(\w+)", "\n".join(cells)):
        assert hasattr(getattr(tfp_glow, module[:-1]) if module else tfp_glow, attribute), f"{module}{attribute}"


def test_the_index_lists_every_tutorial():
    index = (tutorials.FOLDER / "index.md").read_text(encoding="utf-8")
    assert sorted(re.findall(r"^(\w+)$", index.partition("```{toctree}")[2], re.MULTILINE)) == sorted(tutorials.NAMES)


def test_a_learned_prior_raises_the_evidence():
    names = tutorials.definitions("learned_prior")
    prior = tfp_glow.realnvp_vector(2, num_couplings=4, hidden_sizes=(16,), activation="tanh", name="z", seed=0)
    variables = [v for v in prior.bijector.keras_variables if v.trainable]
    optimizer = keras.optimizers.Adam(1e-2)
    optimizer.build(variables)
    names.update(joint=names["joint_distribution"](prior), variables=variables, optimizer=optimizer, NUM_DRAWS=2)
    x = names["observations"](256, seed=0)
    bounds = [float(names["train_step"](x, tf.constant([1, index]))) for index in range(80)]
    assert np.mean(bounds[-5:]) > np.mean(bounds[:5]) + 0.3
    z, x = names["joint"].sample(10, seed=2)
    assert z.shape == x.shape == (10, 2)


def test_more_draws_raise_the_evidence_bound():
    names = tutorials.definitions("learned_prior")
    prior = tfp_glow.realnvp_vector(2, num_couplings=2, hidden_sizes=(4,), name="z", seed=0)
    joint, x, bounds = names["joint_distribution"](prior), names["observations"](1000, seed=0), []
    for number in (1, 4, 64):
        names["NUM_DRAWS"] = number
        bounds.append(float(names["evidence_bound"](joint, x, seed=(1, 2))))
    assert bounds[0] < bounds[1] - 0.01 and bounds[1] < bounds[2] - 0.01
    exact = tfd.MultivariateNormalDiag(tf.zeros(2), tf.fill([2], 1.0 + names["NOISE"] ** 2) ** 0.5)
    assert bounds[2] == pytest.approx(float(tf.reduce_mean(exact.log_prob(x))), abs=0.05)  # The flow is the identity.


def test_crops_of_different_splits_share_no_pixel():
    names = tutorials.definitions("out_of_distribution")
    numbers = np.arange(427 * 640.0).reshape(427, 640, 1)  # The size of the photograph.
    names["load_sample_image"] = lambda name: numbers
    splits = [set(names["crops"](300, split).ravel()) for split in range(3)]
    assert all(len(split) > 5000 for split in splits)
    assert sum(map(len, splits)) == len(set.union(*splits))


def test_scores_of_areas():
    area = tutorials.definitions("out_of_distribution")["area"]
    crops = np.array([1.0, 2.0, 3.0])
    assert (area(crops, crops + 3.0), area(crops, crops), area(crops, crops - 3.0)) == (1.0, 0.5, 0.0)


def test_the_bijector_of_the_tutorial():
    """Two methods and ten lines. A wrong log-determinant leaves the values as they are."""
    code = re.search(r"^%%writefile heavy_tails.py\n(.*?)^```$", tutorials.text("own_bijector"), re.M | re.S)[1]
    lines = [line for line in code.partition("\nclass ")[2].splitlines() if line.strip() and '"""' not in line]
    assert len(lines) == 10
    x = tf.constant([[0.1, -2.0], [1.5, 0.0]], tf.float64)
    for text, is_right in ((code, True), (code.replace("-0.5 * tf", "-tf"), False)):
        names = {}
        exec(text, names)
        bijector = names["HeavyTails"](2, dtype="float64")
        assert {name for name, value in vars(names["HeavyTails"]).items() if callable(value)} == {
            "__init__", "_forward_and_log_det", "_inverse_and_log_det"}
        bijector.log_a.assign([0.5, -0.3])
        y, log_det = bijector.forward_and_log_det(x)
        a = np.exp([0.5, -0.3])
        np.testing.assert_allclose(y, np.sinh(a * x) / a)
        np.testing.assert_allclose(log_det, np.sum(np.log(np.cosh(a * x)), axis=-1))
        back, inverse_log_det = bijector.inverse_and_log_det(y)
        np.testing.assert_allclose(back, x, atol=1e-12)
        assert np.allclose(inverse_log_det, -log_det) == is_right
        assert len(bijector.trainable_variables) == 1


def test_the_bijector_with_a_network_has_its_variables_and_returns():
    names = {"tf": tf, "keras": keras, "tfp_glow": tfp_glow}
    exec(re.search(r"^class Curve.*?(?=\n\n\ncurve = )", tutorials.text("own_bijector"), re.M | re.S)[0], names)
    curve, x = names["Curve"]("float64"), tf.constant([[[0.1, -2.0]], [[1.5, 0.0]]], tf.float64)
    y = curve.forward(x)
    assert len(curve.trainable_variables) == len(curve.net.trainable_variables) == 4
    np.testing.assert_allclose(y[..., 1] - x[..., 1], curve.net(tf.reshape(x[..., :1], (-1, 1))))
    np.testing.assert_allclose(curve.inverse(tf.identity(y)), x, atol=1e-12)
    assert np.all(curve.inverse_log_det_jacobian(y) == np.zeros((2, 1)))


def test_the_battery_is_found_in_a_checkout_or_the_remedy_is_named(tmp_path):
    code = re.search(r"^def find_source.*?(?=\n\n\nsource = )", tutorials.text("own_bijector"), re.M | re.S)[0]
    installed = types.SimpleNamespace(__file__=str(tmp_path / "site-packages" / "tfp_glow" / "__init__.py"))
    names = {"pathlib": pathlib, "shutil": shutil, "tfp_glow": installed, "START": ROOT / "docs" / "tutorials"}
    exec(code, names)
    assert names["find_source"]() == ROOT
    names["START"] = tmp_path
    with pytest.raises(FileNotFoundError, match="Start this notebook in a checkout, or put the archive"):
        names["find_source"]()


def test_an_encoder_and_a_conditional_flow_train_in_one_fit(tmp_path):
    names = tutorials.definitions("conditional_density")
    x, y = names["draw"](8, seed=0)
    model = names["ConditionalDensity"]()
    model.compile("adam")
    before = [variable.numpy() for variable in model.trainable_variables]
    model.fit((x, y), epochs=3, verbose=0)  # In the first step, the last layers are 0 and pass no gradients on.
    assert all(np.any(v.numpy() != b) for v, b in zip(model.trainable_variables, before, strict=True))
    assert {id(v.value) for v in model.trainable_variables} >= {id(v) for v in model.flow.trainable_variables}
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_array_equal(loaded((x, y)), model((x, y)))
    assert loaded.sample(x).shape == (8, 2)


def test_flow_model_trains_all_variables_of_the_mixture():
    model = tfp_glow.FlowModel(tutorials.definitions("plane_densities")["mixture_of_two"]())
    trained = [id(v.value) for v in model.trainable_variables]
    assert len(trained) == len(set(trained)) == len(model.distribution.trainable_variables)
    assert set(trained) == {id(v) for v in model.distribution.trainable_variables}


def test_mixture_same_family_rejects_flows():
    with pytest.raises(ValueError):
        tfd.MixtureSameFamily(tfd.Categorical(logits=tf.zeros(2)), tfp_glow.maf(2, num_layers=1), validate_args=True)


@pytest.mark.slow
@every_tutorial
def test_the_whole_tutorial_runs(name, tmp_path):
    (tmp_path / "program.py").write_text(f"{tutorials.program(name)}\n{SHOWN[name]}\n", encoding="utf-8")
    result = subprocess.run(
        [sys.executable, "program.py"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg", "CUDA_VISIBLE_DEVICES": ""})
    assert result.returncode == 0, result.stderr[-3000:]
    assert "Warning" not in result.stdout
