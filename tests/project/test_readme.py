# SPDX-License-Identifier: Apache-2.0
"""The library example in the README runs. The files, presets and programs that the README names exist."""

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
def test_linked_files_exist(path):
    assert (ROOT / path).exists()


def test_named_presets_and_programs_exist():
    from trainers.presets import PRESETS

    rows = re.findall(r"^\| (`\w+_\w+`(?:, `\w+`)*) \|", README, re.M)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row) if not name.endswith("_affine")]
    assert len(names) >= 8
    for name in names:
        assert name in PRESETS
        assert f"{name}_smoke" in PRESETS
    for main in re.findall(r"python -m trainers\.(\w+)", README):
        assert (ROOT / "trainers" / f"{main}.py").exists()
