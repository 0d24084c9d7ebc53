# SPDX-License-Identifier: Apache-2.0
"""The comparisons of flows: their figures, their tables, and what the READMEs show of them. Nothing is timed."""

import json

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from benchmarks import plane, systems, three_tasks, trained
from trainers.data.plane_densities import DENSITIES


@pytest.fixture(scope="module", autouse=True)
def _own_cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFP_GLOW_DATA_DIR", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture
def places(tmp_path):
    """The arguments that keep a comparison out of the project's own files."""
    readme = tmp_path / "README.md"
    readme.write_text("".join(f"<!-- {name}: {end} -->\n" for name in ("plane", "systems")
                              for end in ("begin", "end")))
    return tmp_path, [f"--{name}={tmp_path / file}" for name, file in (
        ("runs", "runs"), ("results", "results.json"), ("readme", "README.md"))]


class Off:
    """A model whose log-density is the true one and a constant."""

    def __init__(self, target, by):
        self.target, self.by = target, by

    def log_prob(self, x):
        return tf.constant(DENSITIES[self.target].log_density(x.astype(np.float64)) + self.by)


def test_the_distance_from_the_truth():
    """A density of exp(-0.3) times the true one costs 0.3 nats, whatever points were drawn."""
    measured = plane.distance(Off("wave", -0.3), "wave")
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
        assert picture.mode == "P" and picture.width > 3 * picture.height
    plane.main(command)  # Everything is trained: the same figures again.
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


EXPECTED = {
    "NICE": {"inference": "parallel", "sampling": "parallel", "density": "parallel"},
    "RealNVP": {"inference": "parallel", "sampling": "parallel", "density": "parallel"},
    "Glow": {"inference": "parallel", "sampling": "parallel", "density": "parallel"},
    "MAF": {"inference": "parallel", "sampling": "serial", "density": "parallel"},
    "IAF": {"inference": "serial", "sampling": "parallel", "density": "serial"},
}


@pytest.mark.parametrize("system", EXPECTED)
def test_three_tasks(system):
    """Network evaluations at 4 and 16 numbers: one a layer; or one a number, one for the log-det, and one before TFP's
    loop, in graphs. MAF and IAF round-trip to 1e-4, in units where pixels span [0, 1)."""
    flows = [three_tasks.prepared(system, side) for side in (2, 4)]
    for task, expected in EXPECTED[system].items():
        counts = [three_tasks.evaluations(task, *flow) for flow in flows]
        assert counts == {"parallel": [1, 1], "serial": [6, 18]}[expected], task
        assert three_tasks.verdict({"evaluations": counts, "dimensions": [4, 16]}) == expected
    assert all(three_tasks.round_trip(*flow) < 1e-4 for flow in flows)


PUBLISHED = {plane: ("README.md", "plane.json"), systems: ("README.md", "systems.json"),
             three_tasks: ("benchmarks/README.md", "three_tasks.json")}


@pytest.mark.parametrize("module", [m for m in PUBLISHED if (trained.ROOT / "benchmarks" / PUBLISHED[m][1]).exists()],
                         ids=lambda module: module.__name__)
def test_readmes_show_what_was_measured(module):
    readme, results = PUBLISHED[module]
    record = json.loads((trained.ROOT / "benchmarks" / results).read_text())
    assert module.markdown(record) in (trained.ROOT / readme).read_text()


def test_the_three_tasks_were_measured_as_they_are_tested():
    record = json.loads((trained.ROOT / "benchmarks" / "three_tasks.json").read_text())
    assert {(row["system"], row["task"]): three_tasks.verdict(row) for row in record["measured"]} == {
        (system, task): verdict for system, tasks in EXPECTED.items() for task, verdict in tasks.items()}
    assert all(max(row["round_trip"]) < 1e-4 for row in record["measured"])
