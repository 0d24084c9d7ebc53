# SPDX-License-Identifier: Apache-2.0
"""README.md and README.zh.md: length, equal content, the example, links and commands."""

import importlib
import json
import re
import shlex

import pytest
from paths import ROOT

from benchmarks.features import why

README = (ROOT / "README.md").read_text(encoding="utf-8")
CHINESE = (ROOT / "README.zh.md").read_text(encoding="utf-8")
PAGES = {path: path.read_text(encoding="utf-8") for path in (
    ROOT / "README.md", ROOT / "README.zh.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md"),
    *(ROOT / "docs" / "guides").glob("*.md"), *(ROOT / "docs" / "api").glob("*.md"))}


def blocks(text):
    return re.findall(r"```(\w*)\n(.*?)```", text, re.S)


def test_the_readme_is_read_in_a_minute():
    assert README.count("\n") <= 120


def test_the_library_example_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    code = re.search(r"```python\n(.*?)```", README, re.S).group(1)
    names, short = {}, code.replace("epochs=10", "epochs=1")
    assert short != code
    exec(compile(short, "README.md", "exec"), names)
    assert names["samples"].shape == (16, 8, 8, 1) and names["samples"].dtype == "uint8"
    assert (tmp_path / "serving" / "1" / "saved_model.pb").exists()
    assert "(9,)" in capsys.readouterr().out
    with pytest.raises(ValueError, match="'serving/1', which exists. .* next version, 'serving/2'"):
        names["tfp_glow"].export_saved_model(names["model"], "serving/1")  # The example run twice.


def test_the_chinese_readme_is_equal_in_content():
    """Code, commands, links and numbers are the same, and so is the number of sections and rows.

    The table of versions is in README.md only.
    """
    code = [(language, re.sub(r" *#.*", "", text)) for language, text in blocks(README)]
    assert [(language, re.sub(r" *#.*", "", text)) for language, text in blocks(CHINESE)] == code

    def parts(text):
        text = re.sub(r"```.*?```|^`make matrix`(.*?<!-- versions: end -->|.*?\n\n)", "", text, flags=re.S | re.M)
        commands = [re.sub(r" *#.*", "", line) for line in re.findall(r"^    \S.*", text, re.M)]
        links = sorted(link for link in re.findall(r"\]\(([^)]+)\)", text) if "README" not in link)
        words = re.sub(r"\]\([^)]*\)|README\S*", "", text)
        numbers = sorted(re.findall(r"\d+(?:\.\d+)*", words))
        return commands, links, numbers, text.count("\n## "), text.count("\n|")

    for english, chinese in zip(parts(README), parts(CHINESE), strict=True):
        assert chinese == english


def test_the_table_of_flows_agrees_with_the_guide():
    """Each flow has the same cells in the columns "events", "parallel" and "conditional", up to their wording."""
    def rows(text, start):
        table = text[text.index(start):].split("\n\n")[0].splitlines()[2:]
        return {name: [cell.strip() for cell in line.split("|")[3:6]] for line in table if line.startswith("|")
                for name in re.findall(r"`(\w+)`", line.split("|")[1])}

    guide = rows(PAGES[ROOT / "docs" / "guides" / "choosing.md"].split("<!-- flows: begin -->")[1], "| function")
    guide.pop("dequantizer")
    words = {"`num_classes`": "on classes", "`context_shape`": "on contexts", "no": "no"}
    expected = {name: [events.split(",")[0], parallel.replace(" and ", ", "), words[conditional]]
                for name, (events, parallel, conditional) in guide.items()}
    assert rows(README, "| flow | paper") == expected


def test_the_five_rows_are_those_of_the_checks():
    record = json.loads((ROOT / "benchmarks" / "results" / "why.json").read_text(encoding="utf-8"))
    assert why.markdown(record) in README
    assert set(record["cells"]) == set(why.PEERS)
    assert all(set(cells) == set(why.WHY) and all(cell["saw"] for cell in cells.values())
               for cells in record["cells"].values())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_linked_files_exist(page):
    text = re.sub(r"```.*?```", "", PAGES[page], flags=re.S)
    missing = [path for path in re.findall(r"\]\((?!http)([^)#\s]+)[^)]*\)", text)
               if not (page.parent / path).exists() and "play/" not in path]
    assert not missing


def test_named_presets_and_programs_exist():
    from trainers.presets import PRESETS

    rows = re.findall(r"^\| (`\w+_\w+`(?:, `\w+`)*) \|", PAGES[ROOT / "docs" / "guides" / "training.md"], re.M)
    names = [name for row in rows for name in re.findall(r"`(\w+)`", row) if not name.endswith("_affine")]
    assert len(names) >= 8
    for name in names:
        assert name in PRESETS
        assert f"{name}_smoke" in PRESETS
    for text in PAGES.values():
        for main in re.findall(r"python -m trainers\.(\w+)", text):
            assert (ROOT / "trainers" / f"{main}.py").exists()


def commands():
    """The commands with flags in the pages and at the top of the programs, as pairs of program and arguments."""
    texts = [*PAGES.values(), *(path.read_text(encoding="utf-8") for path in sorted((ROOT / "trainers").glob("*.py")))]
    for text in texts:
        for program, flags in re.findall(r"(?:python -m trainers\.|tfp-glow )(\w+) +(--(?:[^`\n\\]|\\\n)+)", text):
            yield program, shlex.split(flags.replace("\\\n", " "))


def test_commands_parse_and_write_into_ignored_folders(tmp_path, monkeypatch):
    assert "/runs/" in (ROOT / ".gitignore").read_text(encoding="utf-8").splitlines()
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    found = list(commands())
    assert len(found) > 15 and {program for program, _ in found} >= {"train", "sample", "interpolate", "figure2d"}
    for program, flags in found:
        if flags in (["--list_presets"], ["--help"]) or "..." in " ".join(flags):
            continue
        values = importlib.import_module(f"trainers.{program}").flag_values()
        assert values([program, *flags])[1:] == []
        for name in ("out", "output_dir"):
            assert name not in values or values[name].value.startswith("runs/"), flags
