# SPDX-License-Identifier: Apache-2.0
"""The search for the toy presets' settings: two steps of one trial, and what is chosen of made-up measurements."""

import json

import numpy as np
import pytest

from benchmarks import plane_search, trained
from trainers import data
from trainers.runs import trained_models
from trainers.data.plane_densities import DENSITIES
from trainers.runs.run_directory import RunDirectory


def test_varied_presets_change_their_own_fields_or_their_flows():
    preset = plane_search.varied("toy_maf", {"epochs": 3, "num_layers": 2})
    assert (preset.epochs, preset.flow["num_layers"]) == (3, 2)
    assert preset.flow["hidden_sizes"] == plane_search.STARTS["toy_maf"].flow["hidden_sizes"]
    for name, trials in plane_search.TRIALS.items():
        assert len({plane_search.words(changes) for changes in trials}) == len(trials)
        assert len({str(plane_search.varied(name, changes)) for changes in trials}) == len(trials)


def row(trial, kl):
    return {"preset": "toy_maf", "changes": {"epochs": trial}, "kl": kl}


def test_the_best_mean_is_shown():
    record = {"setting": "A machine.", "targets": ["wave", "banana"], "measured": [
        row(1, [0.03, 0.05]), row(2, [0.01, 0.02]), row(3, [0.0])]}  # The last was not measured on all.
    assert plane_search.best(record, "toy_maf") == "epochs=2"
    assert plane_search.best(record, "toy_realnvp") is None
    text = plane_search.markdown(record)
    assert "| `toy_maf` | epochs=2 | **0.0150** | 0.0100 | 0.0200 |" in text
    assert "| `toy_maf` | epochs=3 | - | 0.0000 | - |" in text and text.count("**") == 2


def test_a_search_of_two_steps(tmp_path, monkeypatch):
    changes = {"epochs": 1, "steps_per_epoch": 2, "num_layers": 2, "hidden_sizes": (8,)}
    monkeypatch.setattr(plane_search, "TRIALS", {"toy_maf": (changes,)})
    readme = tmp_path / "README.md"
    readme.write_text("<!-- plane search: begin -->\n<!-- plane search: end -->\n")
    plane_search.main([f"--runs={tmp_path}", f"--results={tmp_path / 'results.json'}", f"--readme={readme}",
                       "--presets", "toy_maf", "--targets", "wave"])
    record = json.loads((tmp_path / "results.json").read_text())
    assert plane_search.markdown(record) in readme.read_text()
    (measured,) = record["measured"]
    model, _ = trained_models.load(RunDirectory(tmp_path / "plane_search" / f"toy_maf, {plane_search.words(changes)}" / "wave"))
    points = data.load("toy:wave").arrays["validation"]
    kl = np.mean(DENSITIES["wave"].log_density(points.astype(np.float64)) - model.log_prob(points).numpy())
    assert measured["kl"] == [pytest.approx(kl, abs=1e-4)]


def test_the_readme_shows_what_was_measured():
    record = json.loads((trained.ROOT / "benchmarks" / "plane_search.json").read_text())
    assert plane_search.markdown(record) in (trained.ROOT / "benchmarks" / "README.md").read_text()
