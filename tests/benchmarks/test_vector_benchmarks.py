# SPDX-License-Identifier: Apache-2.0
"""Benchmarks of flows over vectors: cases, tables, training loop and searches with made-up systems, and our flows."""

import argparse
import json
import math
import types

import numpy as np
import pytest

from benchmarks import harness, plane_peers, tables, vector_sets, vector_trials, vectors
from benchmarks.programs import our_vectors
from benchmarks.programs import vector_training as loop
from benchmarks.programs.timed_training import Clock
from benchmarks.programs.vector_system import VectorSystem
from benchmarks.vector_tables import KINDS, markdown

RNG = np.random.RandomState(0)
POINTS = {split: RNG.standard_normal((n, 2)).astype(np.float32) for split, n in (("train", 50), ("validation", 7))}


def test_every_round_measures_each_kind_in_the_libraries_that_have_it():
    cases = vectors.cases_of_round(1, list(KINDS), (2, 64), full=True)
    assert len(set(cases)) == len(cases)
    assert {c.program for c in cases if c.kind == "maf"} == {"ours", "ours, undivided", "normflows", "zuko"}
    assert "BayesFlow, JAX" in {c.program for c in cases if c.kind == "nsf_coupling"}
    assert set(vectors.PROGRAMS) == {c.program for c in vectors.cases_of_round(0, list(KINDS), (2,), full=True)}
    settings = vectors.settings_of(vectors.Case("BayesFlow, TensorFlow", "realnvp", 2), 512)
    assert settings["num_layers"] == 10 and settings["subnet"]["dropout"] is None


def test_table_of_speed():
    def row(program, step, size=2, round=0):
        return {"program": program, "kind": "maf", "size": size, "round": round, "figures": {"train_step_s": step}}

    record = {"machine": {"date": "2026-01-01", "processor": "a processor", "cores": 2, "memory_gib": 4,
                          "system": "Linux", "python": "3.11"}, "versions": {"torch": "1"}, "batch": 512, "rounds": 3,
              "measurements": [row("ours", 0.004), row("zuko", 0.006, round=1), row("zuko", 0.008, round=2),
                               row("zuko", 0.1, round=0), row("ours", 0.001, size=16)]}
    text = markdown(record)
    assert "| ours | - | 4 / 1 | - | - | - |" in text and "| zuko | - | 8 / - | - | - | - |" in text
    assert "| zuko | - | 2 / - | - | - |" in text
    for block in text.split("\n\n"):
        assert len({line.count("|") for line in block.splitlines()}) == 1


class Fake:
    """Each step takes a second and adds 1 to the only weight; the density falls with its distance from `best`."""

    def __init__(self, best):
        self.now, self.weight, self.best, self.rates, self.sizes = 0.0, 0.0, best, [], []

    def step(self, batch, rate):
        self.now += 1.0
        self.weight += 1.0
        self.rates.append(rate)
        self.sizes.append(len(batch))
        return 0.0

    def train(self, **arguments):
        def set_weights(weights):
            (self.weight,) = weights

        system = VectorSystem(1, lambda x: x, self.step, lambda x: np.full(len(x), -abs(self.weight - self.best)),
                              None, lambda: [self.weight], set_weights)
        clock = Clock(lambda: self.now, lambda: self.now)
        return loop.train(lambda first: system, POINTS, batch_size=20, clock=clock, **arguments)[0]


def test_early_stopping_keeps_the_best_weights():
    fake = Fake(best=7.0)  # Epochs have two steps, so validation sees 2, 4, 6, 8, ...
    result = fake.train(seconds=1000.0, patience=3)
    assert (result["best_epoch"], result["epochs"], fake.weight) == (3, 6, 6.0)
    assert result["validation"] == -1.0 and set(fake.rates) == {1.0} and set(fake.sizes) == {20}


def test_a_clock_ends_the_training_and_lowers_the_rate():
    fake = Fake(best=0.0)
    result = fake.train(seconds=200.0)
    assert (result["seconds"], result["steps"], fake.weight) == (200.0, 201, 201.0)
    assert fake.rates[3:] == sorted(fake.rates[3:], reverse=True) and max(fake.rates) == 1.0 and fake.rates[-1] < 1e-3


def test_a_search_takes_the_best_finite_validation():
    candidate = vector_trials.Candidate("ours", "our_vectors", ({"a": 1}, {"a": 2}), (0.1, 0.2))
    values = {("x", 0): 1.0, ("y", 0): 2.0, ("x", 1): 9.0, ("y", 1): None, ("x", 2): 2.0, ("y", 2): 2.0,
              ("x", 3): 0.0, ("y", 3): 0.0}
    found = vector_trials.search("it", candidate, ["x", "y"], lambda of, n, trial: {"validation": values[of, n]})
    assert found["settings"] == {"a": 2, "learning_rate": 0.1}
    assert [trial["validation"] for trial in found["tried"]] == [1.5, None, 2.0, 0.0]


def test_trainings_side_by_side_keep_their_order_and_their_cores(tmp_path, monkeypatch):
    started = []

    def run_module(python, module, task, vectors, result, settings, prefix, **options):
        started.append(prefix)
        result.write_text(json.dumps({"validation": json.loads(settings)["trial"]}))
        return types.SimpleNamespace(returncode=0)

    monkeypatch.setattr(vector_trials.harness, "run_module", run_module)
    monkeypatch.setattr(vector_trials.harness, "python_of", lambda environment, args: "python")
    candidate = vector_trials.Candidate("ours", "our_vectors", ({},), (0.1,))
    for at_once, cores in ((2, {("taskset", "-c", "0"), ("taskset", "-c", "1")}), (1, {()})):
        args, number = argparse.Namespace(at_once=at_once), len(started)

        def trial(index, args=args):
            return vector_trials.train(args, candidate, tmp_path / "set.npz", tmp_path / f"{index}.json",
                                       {"trial": index})["validation"]

        assert list(harness.side_by_side(args, trial, range(6))) == list(range(6))
        assert len(started) == number + 6 and set(started[number:]) <= cores
        assert list(harness.side_by_side(args, trial, range(6))) == list(range(6))
        assert len(started) == number + 6  # Results are kept.


def test_standardized_vectors_and_their_log_volume(tmp_path):
    arrays = {"train": np.array([[0.0, 1.0], [4.0, 1.5]]), "test": np.array([[2.0, 1.0]])}
    log_volume = vector_trials.write_standardized(arrays, tmp_path / "new" / "set.npz")
    assert log_volume == pytest.approx(math.log(2.0) + math.log(0.25))
    with np.load(tmp_path / "new" / "set.npz") as file:
        np.testing.assert_allclose(file["train"], [[-1.0, -1.0], [1.0, 1.0]])
        np.testing.assert_allclose(file["test"], [[0.0, -1.0]])


def test_sets_have_disjoint_splits_of_distinct_vectors():
    for name, sizes in (("breast_cancer", (398, 85, 86, 30)), ("photographs", (92820, 1272, 1272, 63))):
        splits = vector_sets.SETS[name]()
        assert (*map(len, splits.values()), splits["train"].shape[1]) == sizes
        rows = [row.tobytes() for split in splits.values() for row in split]
        assert len(set(rows)) == len(rows) and all(np.isfinite(split).all() for split in splits.values())


def test_tables_of_peers_name_the_best():
    machine = {"date": "2026-01-01", "processor": "a processor", "cores": 2, "memory_gib": 4, "system": "Linux",
               "python": "3.11"}
    measured = {"target": "wave", "num_examples": 50000, "kl_error": 0.001}
    text = plane_peers.markdown({
        "machine": machine, "versions": {}, "seconds": 120.0, "search_seconds": 40.0, "search_targets": ["wave"],
        "num_trials": 4, "searches": {"zuko, NSF": {"settings": {"kind": "nsf"}}},
        "ours": [{"target": "wave", "preset": "toy_maf", "kl": 0.01, "kl_error": 0.002, "seconds": 60.0}],
        "measured": [{**measured, "peer": "zuko, NSF", "kl": 0.02}]})
    assert "| `toy:wave` | **0.0100 ± 0.0020** in 60 s | 0.0200 ± 0.0010 |" in text
    row = {"set": "wine", "test_error": 0.5, "validation": 1.0, "best_epoch": 3, "seconds": 2.0, "params": 1000}
    text = tables.markdown({
        "machine": machine, "versions": {}, "seconds": 60.0, "num_trials": 4,
        "sets": {"wine": {"size": 3, "train": 9, "validation": 3, "test": 3}},
        "measured": [{**row, "flow": "a", "test": 1.0}, {**row, "flow": "b", "test": 2.0}]})
    assert "| a | 1.00 ± 0.50 | 1.00 | 3 | 2 | 1,000 |" in text and "| b | **2.00 ± 0.50** |" in text


def test_a_flow_of_this_package_is_as_close_as_each_peer():
    """On each target, within two standard errors."""
    record = json.loads((harness.ROOT / "benchmarks" / "results" / "plane_peers.json").read_text())
    ours = [*record["ours"], *(row for row in record["measured"] if "this package" in row["peer"])]
    assert len({row["target"] for row in ours}) == 7
    for peer in record["measured"]:
        best = min((row for row in ours if row["target"] == peer["target"]), key=lambda row: row["kl"])
        assert best["kl"] <= peer["kl"] + 2.0 * math.hypot(best["kl_error"], peer["kl_error"])


def test_ours_learns_and_its_weights_return(tmp_path):
    settings = {"kind": "realnvp", "num_layers": 2, "hidden_sizes": [8], "learning_rate": 1e-2, "divide": False}
    np.savez(tmp_path / "set.npz", **POINTS, test=POINTS["validation"])
    systems = []

    def build(first, **options):
        systems.append(our_vectors.build(first, **options))
        return systems[-1]

    loop.run(build, tmp_path / "set.npz", tmp_path / "result.json", settings, test=True, seconds=60.0, batch_size=50,
             patience=2)
    result, (system,) = json.loads((tmp_path / "result.json").read_text()), systems
    log_densities = np.load(tmp_path / "result.npy")
    np.testing.assert_array_equal(log_densities, loop.log_densities(system, POINTS["validation"]))
    assert result["validation"] == pytest.approx(log_densities.mean()) and result["settings"]["system"] == settings
    kept, batch = system.weights(), system.prepare(POINTS["train"])
    before = system.log_prob(batch)
    assert system.step(batch, 1.0) == pytest.approx(before.mean(), abs=0.5)  # A running mean.
    assert np.abs(system.log_prob(batch) - before).max() > 1e-4
    system.set_weights(kept)
    np.testing.assert_array_equal(system.log_prob(batch), before)
    assert system.sample(3).shape == (3, 2)


@pytest.mark.parametrize("kind", ["maf", "nsf_coupling", "nsf_autoregressive"])
def test_flows_of_ours(kind):
    flow = our_vectors.make_flow(kind, 3, 2, (8,) * 3, seed=0)
    assert flow.event_shape == [3] and len(flow.trainable_variables) > 0
