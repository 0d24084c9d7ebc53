# SPDX-License-Identifier: Apache-2.0
"""The library example in the README runs. The files, presets and programs that the README names exist."""

import importlib
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
    with pytest.raises(ValueError, match="'serving/1', which exists. .* next version, 'serving/2'"):
        names["tfp_glow"].export_saved_model(names["model"], "serving/1")  # The example run twice.


@pytest.mark.parametrize("path", re.findall(r"\]\((?!http)([^)#]+)\)", README))
def test_linked_files_exist(path):
    assert (ROOT / path).exists()


def test_named_presets_and_programs_exist():
    from trainers.presets import PRESETS

    text = README.partition("<!-- flows: begin -->")[0] + README.partition("<!-- flows: end -->")[2]
    rows = re.findall(r"^\| (`\w+_\w+`(?:, `\w+`)*) \|", text, re.M)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row) if not name.endswith("_affine")]
    assert len(names) >= 8
    for name in names:
        assert name in PRESETS
        assert f"{name}_smoke" in PRESETS
    for main in re.findall(r"python -m trainers\.(\w+)", README):
        assert (ROOT / "trainers" / f"{main}.py").exists()


def commands():
    """The commands with flags in the README and at the top of the programs, as pairs of program and arguments."""
    texts = [README, *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "trainers").glob("*.py")))]
    for text in texts:
        for program, flags in re.findall(r"python -m trainers\.(\w+) +(--(?:[^`\n\\]|\\\n)+)", text):
            yield program, flags.replace("\\\n", " ").split()


def test_commands_parse_and_write_into_ignored_folders(tmp_path, monkeypatch):
    assert "/runs/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    found = list(commands())
    assert len(found) > 15 and {program for program, _ in found} >= {"train", "sample", "interpolate", "figure2d"}
    for program, flags in found:
        if flags == ["--list_presets"]:
            continue
        values = importlib.import_module(f"trainers.{program}").flag_values()
        assert values([program, *flags])[1:] == []
        for name in ("out", "output_dir"):
            assert name not in values or values[name].value.startswith("runs/"), flags
