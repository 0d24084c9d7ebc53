# SPDX-License-Identifier: Apache-2.0
"""The recorded search: its trials, what they see, what is kept, and its table."""

import dataclasses
import json

import numpy as np
import pytest

from benchmarks.budget import ours, search
from benchmarks.budget.trials import STARTS, TRIALS
from benchmarks.trained import ROOT
from tfp_glow.flows import config_from_dict


@pytest.mark.parametrize("name", TRIALS)
def test_every_trial_is_a_flow_with_the_same_images_and_noise(name):
    preset = TRIALS[name].preset
    ours.check(preset)
    config_from_dict({**preset.flow, "image_shape": (28, 28, 1)})
    changed = {key for key, value in dataclasses.asdict(preset).items()
               if value != dataclasses.asdict(STARTS[TRIALS[name].start])[key]}
    assert changed == {*TRIALS[name].training, *["flow"] * bool(TRIALS[name].flow)}


def result_of(args, name, **changes):
    result = {"settings": search.settings_of(args, name), "validation": 3.2, "curve": [{"train": 3.1}], "params": 1000,
              "images_per_second": 100.0, "date": "2026-01-01", **changes}
    search.result_path(args, name).write_text(json.dumps(result))


def test_table_has_what_is_done_and_nothing_runs_again(tmp_path, monkeypatch):
    arguments = ["--trials", "base", "narrow", "glow", f"--work={tmp_path}", f"--results={tmp_path / 'results.json'}",
                 f"--readme={tmp_path / 'README.md'}"]
    args = search.parse_arguments(arguments)
    for name, bits in (("base", 3.2), ("narrow", 3.1), ("glow", None)):
        result_of(args, name, validation=bits)
    (tmp_path / "README.md").write_text("<!-- search: begin -->\n<!-- search: end -->\n")
    monkeypatch.setattr(search, "run_apart", None)
    search.main(arguments)
    rows = [line for line in (tmp_path / "README.md").read_text().splitlines() if line.startswith("|")]
    assert [row.split(" | ")[:2] for row in rows[2:]] == [
        ["| pyramid, width=(48, 64)", "3.100"], ["| pyramid", "3.200"], ["| glow", "-"]]
    assert not search.finished(search.parse_arguments([*arguments, "--seed=1"]))


@pytest.mark.slow
def test_a_trial_sees_no_test_image(tmp_path):
    arguments = ["--trials", "narrow", "--minutes=0.02", "--data=digits", "--limit=20", f"--work={tmp_path}",
                 f"--results={tmp_path / 'results.json'}", f"--readme={tmp_path / 'README.md'}"]
    (tmp_path / "README.md").write_text("<!-- search: begin -->\n<!-- search: end -->\n")
    search.main(arguments)
    with np.load(tmp_path / "images.npz") as images:
        assert set(images) == {"train", "validation"} and len(images["validation"]) == 20
    assert "test" not in json.loads((tmp_path / "narrow_seed0.json").read_text())


def test_readme_shows_what_was_measured():
    record = json.loads((ROOT / "benchmarks" / "search.json").read_text())
    assert search.markdown(record) in (ROOT / "benchmarks" / "README.md").read_text()
    assert len(record["measured"]) >= 6
