# SPDX-License-Identifier: Apache-2.0
"""The benchmarks of trained flows: figures, tables and READMEs; and which tasks are serial. Nothing is timed."""

import contextlib
import functools
import json
from unittest import mock

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

import tfp_glow
from benchmarks import harness, plane, systems
from tfp_glow.networks import MADE, MLP, ConvNet
from trainers.data.plane_densities import DENSITIES


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFP_GLOW_DATA_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def places(tmp_path):
    """The arguments that keep a benchmark out of the project's own files."""
    readme = tmp_path / "README.md"
    readme.write_text("".join(f"<!-- {name}: {end} -->\n" for name in ("plane", "systems")
                              for end in ("begin", "end")))
    return tmp_path, [f"--{name}={tmp_path / file}" for name, file in (
        ("runs", "runs"), ("results", "results.json"), ("readme", "README.md"))]


class Shifted:
    """A model whose log-density is the true one plus a constant."""

    def __init__(self, target, constant):
        self.target, self.constant = target, constant

    def log_prob(self, x):
        return tf.constant(DENSITIES[self.target].log_density(x.astype(np.float64)) + self.constant)


def test_the_distance_from_the_truth():
    """A density of exp(-0.3) times the true one costs 0.3 nats at any points."""
    measured = plane.distance(Shifted("wave", -0.3), "wave")
    assert measured["kl"] == pytest.approx(0.3) and measured["kl_error"] == pytest.approx(0.0, abs=1e-12)
    assert measured["gap"] == pytest.approx(0.3, abs=4.5 * measured["gap_error"])
    assert measured["gap_error"] < 0.005
    assert measured["nats"] - measured["gap"] == pytest.approx(DENSITIES["wave"].exact_entropy)


def test_plane_in_one_command(places):
    tmp_path, arguments = places
    command = [*arguments, "--targets", "banana", "--presets", "toy_maf_smoke", f"--figure={tmp_path / 'plane.png'}"]
    plane.main(command)
    record = json.loads((tmp_path / "results.json").read_text())
    (row,) = record["measured"]
    assert (row["target"], row["preset"]) == ("banana", "toy_maf_smoke")
    assert 0.0 < row["kl"] < 10.0 and row["seconds"] > 0.0
    assert plane.markdown(record) in (tmp_path / "README.md").read_text()
    with PIL.Image.open(tmp_path / "plane.png") as picture:
        assert picture.width > 3 * picture.height
    plane.main(command)  # Everything is trained: the figures are the same.
    assert json.loads((tmp_path / "results.json").read_text())["measured"] == record["measured"]


def test_systems_in_one_command(places):
    tmp_path, arguments = places
    systems.main([*arguments, "--systems", "NICE", "--suffix=_smoke"])
    record = json.loads((tmp_path / "results.json").read_text())
    row = record["measured"]["NICE"]
    assert (row["preset"], row["epochs"]) == ("digits_nice_smoke", 2)
    assert record["histogram"] == pytest.approx(2.432, abs=5e-4)
    assert row["test_bits_per_dim"] == pytest.approx(row["val_bits_per_dim"], rel=0.2)
    # Two couplings of 64 numbers with 16 hidden units, the scaling, and actnorm.
    assert row["parameters"] == 2 * (64 * 16 + 16 + 16 * 64 + 64) + 64 + 2 * 64
    assert systems.markdown(record) in (tmp_path / "README.md").read_text()


@pytest.mark.parametrize("module", [plane, systems], ids=["plane", "systems"])
def test_the_page_shows_the_results(module):
    name = module.__name__.split(".")[-1]
    record = json.loads((harness.ROOT / "benchmarks" / "results" / f"{name}.json").read_text())
    assert module.markdown(record) in (harness.ROOT / "docs" / "results.md").read_text()


NUM_LAYERS, HIDDEN = 4, (64, 64)
FLOWS = {
    "NICE": lambda shape: tfp_glow.nice(shape, NUM_LAYERS, HIDDEN, seed=0),
    "RealNVP": lambda shape: tfp_glow.realnvp_vector(shape, NUM_LAYERS, HIDDEN, seed=0),
    "Glow": lambda shape: tfp_glow.glow(shape, num_levels=1, num_steps=NUM_LAYERS, width=32, seed=0),
    "MAF": lambda shape: tfp_glow.maf(shape, NUM_LAYERS, HIDDEN, batch_norm=False, seed=0),
    "IAF": lambda shape: tfp_glow.iaf(shape, NUM_LAYERS, HIDDEN, seed=0),
}
TASKS = {
    "inference": lambda flow, x: flow.bijector.inverse(x),
    "sampling": lambda flow, x: flow.sample(x.shape[0], seed=(1, 2)),
    "density": lambda flow, x: flow.log_prob(x),
}
SERIAL = {("MAF", "sampling"), ("IAF", "inference"), ("IAF", "density")}


@contextlib.contextmanager
def counted_evaluations():
    """A context that yields a variable, to which each evaluation of a network traced in the context adds one."""
    count = tf.Variable(0)

    def counting(call):
        @functools.wraps(call)
        def counted(*args, **kwargs):
            count.assign_add(1)
            return call(*args, **kwargs)
        return counted

    with contextlib.ExitStack() as stack:
        for kind in (MLP, ConvNet, MADE):
            stack.enter_context(mock.patch.object(kind, "call", counting(kind.call)))
        yield count


@pytest.mark.parametrize("system", FLOWS)
def test_serial_tasks(system):
    """A parallel task evaluates the network of a layer once, at 4 and at 16 numbers.

    A serial task evaluates it once per number. MAF and IAF return images from their latents to 1e-4, in units where
    pixels span [0, 1).
    """
    for side in (2, 4):
        random = np.random.RandomState(0)
        flow = FLOWS[system]((side, side, 1))
        x = tf.constant(random.uniform(0.0, 256.0, (16, side, side, 1)), tf.float32)
        tfp_glow.initialize(flow, x)
        for variable in flow.trainable_variables:
            variable.assign_add(0.01 * random.standard_normal(variable.shape))
        for name, task in TASKS.items():
            with counted_evaluations() as count:
                tf.function(functools.partial(task, flow), autograph=False)(x)
            assert int(count) / NUM_LAYERS == (side**2 if (system, name) in SERIAL else 1), name
        there, back = (tf.function(way, autograph=False) for way in (flow.bijector.inverse, flow.bijector.forward))
        assert float(tf.reduce_max(tf.abs(back(there(x)) - x))) / 256.0 < 1e-4
