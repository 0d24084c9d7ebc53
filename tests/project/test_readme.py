# SPDX-License-Identifier: Apache-2.0
"""The README's example runs, and what it names exists."""

import re

import pytest
from paths import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_library_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    names = {}
    exec(compile(code, "README.md", "exec"), names)
    assert names["samples"].shape == (16, 8, 8, 1)
    assert (tmp_path / "serving" / "1" / "saved_model.pb").exists()
    assert "(256,)" in capsys.readouterr().out


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_links_lead_somewhere(path):
    assert (ROOT / path).exists()


def test_presets_and_mains_are_those_of_the_trainers():
    from trainers.presets import PRESETS

    rows = re.findall(r"^\| (`\w+_\w+`(?:, `\w+`)*) \|", README, re.M)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row) if not name.endswith("_affine")]
    assert len(names) >= 8
    for name in names:
        assert name in PRESETS
        assert f"{name}_smoke" in PRESETS
    for main in re.findall(r"python -m trainers\.(\w+)", README):
        assert (ROOT / "trainers" / f"{main}.py").exists()
