# SPDX-License-Identifier: Apache-2.0
"""The pages of docs/: their code runs, they list what the code has, and their claims hold. Sphinx is not needed."""

import importlib
import inspect
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from paths import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("guides/*.md"), *DOCS.glob("api/*.md")])
BLOCK = re.compile(r"(?:<!-- ([\w: ]+) -->\n)?```python\n(.*?)```", re.S)
BLOCKS = {page: BLOCK.findall(page.read_text(encoding="utf-8")) for page in PAGES}
PYTHONS = {"normflows": ROOT / ".venv-peers" / "normflows" / "bin" / "python"}


def make_tables():
    sys.path.insert(0, str(DOCS))
    try:
        return importlib.import_module("make_tables")
    finally:
        sys.path.remove(str(DOCS))


def name_of(page):
    return str(page.relative_to(DOCS))


def run(page, kinds, folder):
    """Runs the blocks of these kinds one after the other, with one namespace per page."""
    names = {"__name__": "page"}
    for kind, code in BLOCKS[page]:
        if kind in kinds:
            exec(compile(code, name_of(page), "exec"), names)
    return names


@pytest.mark.parametrize("page", [page for page in PAGES if any(kind == "" for kind, _ in BLOCKS[page])], ids=name_of)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run(page, [""], tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(k == "slow" for k, _ in BLOCKS[page])], ids=name_of)
def test_slow_code_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(page, ["", "slow"], tmp_path)
    if page.name == "start.md":
        bits = re.findall(r"^(\d\.\d+)$", capsys.readouterr().out, re.M)
        assert 2.2 < float(bits[-1]) < 2.4 and (tmp_path / "digits.png").exists()


OTHERS = [(page, kind, code) for page in PAGES for kind, code in BLOCKS[page] if kind not in ("", "slow")]


def test_kinds_of_blocks():
    assert {kind for _, kind, _ in OTHERS} == {
        "new process", "slurm", "kubernetes", "peer: normflows", "peer: nflows"}


@pytest.mark.slow
@pytest.mark.parametrize(("page", "kind", "code"), [block for block in OTHERS if block[1] == "new process"])
def test_code_of_its_own_process_runs(page, kind, code, tmp_path):
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TF_CPP_MIN_LOG_LEVEL": "3"}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)


@pytest.mark.slow
@pytest.mark.parametrize(("page", "kind", "code"), [block for block in OTHERS if block[1].startswith("peer")])
def test_code_of_other_libraries_runs(page, kind, code):
    library = kind.removeprefix("peer: ")
    python = PYTHONS.get(library, pathlib.Path(os.environ.get("NFLOWS_PYTHON", "missing")))
    if not python.exists():
        pytest.skip(f"no environment with {library}; for nflows, name a Python in NFLOWS_PYTHON")
    subprocess.run([python, "-c", code], check=True)


def task(monkeypatch, kind, **variables):
    """Runs a block that sets TF_CONFIG, and returns how the trainers read it."""
    from trainers.distribute import workers

    monkeypatch.setenv("TF_CONFIG", "")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    code = next(code for _, found, code in OTHERS if found == kind)
    exec(compile(code, kind, "exec"), {})
    return json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"], workers.worker_index_and_count()


def test_slurm(monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    addresses, place = task(
        monkeypatch, "slurm", SLURM_NTASKS="2", SLURM_STEP_NUM_TASKS="2", SLURM_PROCID="1",
        SLURM_STEP_NODELIST="n[1-2]", SLURM_STEP_TASKS_PER_NODE="1(x2)")
    assert addresses == ["n1:15000", "n2:15000"] and place == (1, 2)


def test_kubernetes(monkeypatch):
    monkeypatch.setattr("socket.gethostname", lambda: "flow-1")
    addresses, place = task(monkeypatch, "kubernetes", WORKERS="2")
    assert addresses == ["flow-0.flow:2222", "flow-1.flow:2222"] and place == (1, 2)


def test_pages_show_flags_presets_and_messages_as_the_code_has_them():
    """Then flags, presets and messages of the pages are those of `--help`, `--list_presets` and the code."""
    checked = subprocess.run([sys.executable, DOCS / "make_tables.py", "--check"], capture_output=True, text=True)
    assert checked.returncode == 0, f"run `python docs/make_tables.py`: {checked.stdout}{checked.stderr[-2000:]}"


def test_every_message_has_its_cause():
    tables = make_tables()
    found = tables.messages()
    assert len(found) > 150
    missing = [text for _, text in found if tables.cause_of(text) is None]
    assert not missing, "add the causes of these messages to docs/error_causes.json"
    causes = json.loads((DOCS / "error_causes.json").read_text(encoding="utf-8"))
    stale = [part for part in causes if not any(part in text for _, text in found)]
    assert not stale, "no message has these parts; remove them from docs/error_causes.json"


def test_the_reference_has_every_public_name():
    listed = set()
    for page in DOCS.glob("api/*.rst"):
        module = None
        for line in page.read_text(encoding="utf-8").splitlines():
            if line.startswith(".. currentmodule:: "):
                module = line.split()[-1]
            elif re.fullmatch(r"   [A-Za-z]\w*", line):
                listed.add(getattr(importlib.import_module(module), line.strip()))
    missing = []
    for name in ("tfp_glow", "tfp_glow.bijectors", "tfp_glow.transforms", "tfp_glow.networks", "tfp_glow.flows",
                 "tfp_glow.models", "tfp_glow.export"):
        module = importlib.import_module(name)
        for public in module.__all__:
            value = getattr(module, public)
            if callable(value) and value not in listed:
                missing.append(f"{name}.{public}")
            if inspect.isclass(value):
                assert inspect.getdoc(value), public
    assert not missing, "add these names to a page of docs/api"


def test_claims_of_the_results_page():
    """The sentences around the tables repeat numbers of the JSON files."""
    text = (DOCS / "results.md").read_text(encoding="utf-8")
    budget = json.loads((ROOT / "benchmarks" / "results" / "budget.json").read_text())
    numbers = re.findall(r"(\d\.\d{3})", re.search(r"With equal training time.*?\n\n", text, re.S)[0])
    shown = json.dumps(budget)
    assert len(numbers) == 5 and all(re.search(rf"{number[:-1]}\d|{number}", shown) for number in numbers)
    for name in ("budget", "speed", "gpu"):
        assert f'<!-- {name}: begin -->' in (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
        assert f':start-after: "<!-- {name}: begin -->"' in text


def test_claims_of_the_speed_page():
    text = " ".join((DOCS / "guides" / "speed.md").read_text(encoding="utf-8").split())
    gpu = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8").partition("<!-- gpu: begin -->")[2]
    first = re.search(r"### Width 128, batch 32\n(.*?)###", gpu, re.S)[1]
    graph, xla = (float(re.search(rf"\| ours, {kind}, float32 \| ([\d.]+)", first)[1]) for kind in ("graph", "XLA"))
    assert f"took {xla:.1f} ms under XLA and {graph:.0f} ms without it" in text


def test_claims_of_the_sizes():
    """The table of sizes of Glow adds up to the numbers of a flow; the whole is counted at width 512."""
    text = (DOCS / "guides" / "choosing.md").read_text(encoding="utf-8")
    total = int(re.search(r"has ([\d,]+)\s+trainable numbers", text)[1].replace(",", ""))
    rows = [int(row.replace(",", "")) for row in re.findall(r"\| ([\d,]+) \|$", text, re.M)]
    assert sum(rows) == total
    channels, width = np.array([12, 24, 48]), 512
    networks = (9 * channels // 2 * width + 2 * width) + (width**2 + 2 * width) + (9 * width * channels + 2 * channels)
    assert 32 * networks.sum() == rows[0] and 32 * (channels**2).sum() == rows[1]
