# SPDX-License-Identifier: Apache-2.0
"""The pages of docs/: their code runs, they list what the code has, and their claims hold. Sphinx is not needed."""

import ast
import importlib.util
import inspect
import json
import os
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
import tensorflow_probability as tfp
from paths import ROOT

DOCS = ROOT / "docs"
PAGES = sorted([*DOCS.glob("*.md"), *DOCS.glob("guides/*.md"), *DOCS.glob("api/*.md")])
BLOCK = re.compile(r"(?:<!-- ([\w: ]+) -->\n)?```python\n(.*?)```", re.S)
BLOCKS = {page: BLOCK.findall(page.read_text(encoding="utf-8")) for page in PAGES}
PYTHONS = {"normflows": ROOT / ".venv-peers" / "normflows" / "bin" / "python"}


def imported(path):
    """Imports a module of docs/, which is no package."""
    path = DOCS / f"{path}.py"
    spec = importlib.util.spec_from_file_location(f"docs_{path.stem}", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def name_of(page):
    return str(page.relative_to(DOCS))


def sentences(page):
    return " ".join((DOCS / page).read_text(encoding="utf-8").split())


def results(name):
    return json.loads((ROOT / "benchmarks" / "results" / f"{name}.json").read_text(encoding="utf-8"))


def run(page, kinds):
    """Runs the blocks of these kinds one after the other, with one namespace per page."""
    names = {"__name__": "page"}
    for kind, code in BLOCKS[page]:
        if kind in kinds:
            exec(compile(code, name_of(page), "exec"), names)
    return names


SIGNATURES = {"log_prob", "bits_per_dim", "encode", "decode", "sample", "log_prob_uint8", "bits_per_dim_uint8",
              "encode_uint8", "log_prob_with_noise", "bits_per_dim_with_noise", "decode_floats"}
# What pages say about the names that their code defines.
CLAIMS = {
    "guides/choosing.md": lambda names: names["draws"].shape == (9, 3) and names["density"].shape == (8,) and (
        names["each"].shape == (9, 4, 3)),
    "guides/conventions.md": lambda names: names["latents"].shape == (3, 16) and names["log_det"].shape == (3,),
    "guides/training.md": lambda names: sorted(names["history"].history) == [
        "bits_per_dim", "loss", "val_bits_per_dim", "val_loss"],
    "guides/serving.md": lambda names: set(names["served"].signatures) == SIGNATURES | {"serving_default"} and all(
        f"`{name}`" in sentences("guides/serving.md") for name in SIGNATURES - {"encode_uint8"}),
    "guides/migrating.md": lambda names: names["log_prob"] < names["log_prob_of_unit_pixels"],
}


@pytest.mark.parametrize("page", [page for page in PAGES if any(kind == "" for kind, _ in BLOCKS[page])], ids=name_of)
def test_the_code_of_a_page_runs(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = run(page, [""])
    assert CLAIMS.get(name_of(page), bool)(names)


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if any(k == "slow" for k, _ in BLOCKS[page])], ids=name_of)
def test_slow_code_runs(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    run(page, ["", "slow"])
    if page.name == "start.md":
        bits = float(re.findall(r"^(\d\.\d+)$", capsys.readouterr().out, re.M)[-1])
        stated = float(re.search(r"It prints about (\d\.\d+)\.", page.read_text(encoding="utf-8"))[1])
        assert bits == pytest.approx(stated, abs=0.06) and (tmp_path / "digits.png").exists()


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
    tables = imported("make_tables")
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


@pytest.mark.parametrize(("code", "latex"), [
    ("y = x * exp(log_scale) + shift", r"y = x \cdot \exp(\mathrm{log\_scale}) + \mathrm{shift}"),
    ("-H * W * sum(log_scale)", r"-H \, W \cdot \sum \mathrm{log\_scale}"),
    ("x = (y - mean) / sqrt(variance + epsilon)", r"x = \frac{y - \mathrm{mean}}{\sqrt{\mathrm{variance} + \epsilon}}"),
    ("N * log |det W|", r"N \cdot \log \left|\det W\right|"),
    ("y = W^-1 x", r"y = W^{-1} \, x"),
    ("x - (y - z)", "x - (y - z)"),
    ("a / (b * c)", r"\frac{a}{b \, c}"),
    ("log p(x + u) - log q(u | x)", r"\log p(x + u) - \log q(u \mid x)"),
    ("k = (a*f + b)*C + c", r"k = (a \, f + b) \, C + c"),
    ("y[i, j, c] = x[(i * W + j) * C + c]", r"y_{i, j, c} = x_{(i \, W + j) \, C + c}"),
    ("-log p(x) / (D log 2)", r"\frac{-\log p(x)}{D \cdot \log 2}"),
    ("L = 2**num_bits", r"L = 2^{\mathrm{num\_bits}}")])
def test_formulas_of_docstrings(code, latex):
    module = imported("_ext/latex")
    assert module.is_formula(code) and module.to_latex(code) == latex


@pytest.mark.parametrize("code", ["[..., 2 * size]", "data_dependent=True", "(height, width, channels)",
                                  "num_steps - 1", 'bijector_kwargs={"context": ...}', "self.flow = flow",
                                  "Affine(...)"])
def test_code_that_is_no_formula(code):
    assert not imported("_ext/latex").is_formula(code)


def test_links_to_texts_outside_of_docs_have_pages_in_the_site():
    code = (DOCS / "_ext" / "site_files.py").read_text(encoding="utf-8")
    outside = ast.literal_eval(re.search(r"^OUTSIDE = (.*)$", code, re.M)[1])
    for page in [*PAGES, *DOCS.glob("tutorials/*.md")]:
        for link in re.findall(r"\]\(((?:\.\./)+[^)#\s]+\.md)", page.read_text(encoding="utf-8")):
            target = (page.parent / link).resolve()
            # A link to README.md becomes code.
            assert target.is_relative_to(DOCS) or str(target.relative_to(ROOT)) in {*outside, "README.md"}, (page, link)


def test_kinds_of_data():
    from trainers import train

    page = (DOCS / "guides" / "data.md").read_text(encoding="utf-8")
    listed = re.findall(r"^\| `(\w+(?::[A-Z]+)?)` \|", page, re.M)
    assert len(listed) == 6 and all(kind in train.flag_values()["data"].help for kind in listed)


def test_versions_of_the_saving_page():
    page = sentences("guides/saving.md")
    setup = (ROOT / "setup.py").read_text(encoding="utf-8")
    floors = {"TensorFlow": "tensorflow", "Keras": "keras", "TensorFlow Probability": "tensorflow-probability"}
    for library, package in floors.items():
        floor = re.search(rf'"{package}>=([\d.]+)"', setup)[1]
        assert re.search(rf"\b{library} from {re.escape(floor)}\b", page)
    pythons = re.findall(r"Python :: (3\.\d+)", setup)
    assert f"Python {pythons[0]} to {pythons[-1]}" in page


def test_flags_and_names_in_sentences_exist():
    """tests/project/test_readme.py parses whole commands."""
    from trainers._command_names import PROGRAMS

    flags = {"help"} | {flag for name in PROGRAMS for flag in importlib.import_module(f"trainers.{name}").flag_values()}
    found = []
    for page in [ROOT / "README.md", *PAGES, *DOCS.glob("tutorials/*.md")]:
        text = page.read_text(encoding="utf-8")
        spans = re.findall(r"`([^`\n]+)`", re.sub(r"```.*?```", "", text, flags=re.S))
        found += [flag.removeprefix("no") if flag not in flags else flag for span in spans
                  if re.match(rf"--|({'|'.join(PROGRAMS)}) --", span) for flag in re.findall(r"--(\w+)", span)]
        for name in re.findall(r"\btfp_glow((?:\.[A-Za-z]\w*)+)", text):
            value = importlib.import_module("tfp_glow")
            for part in [] if name.startswith(".trainers") else name.split(".")[1:]:
                assert hasattr(value, part), f"{page.name} names tfp_glow{name}"
                value = getattr(value, part)
    assert len(found) > 15 and set(found) <= flags, sorted(set(found) - flags)


def test_claims_of_the_results_page():
    """The sentences around the tables repeat numbers of the JSON files."""
    text = sentences("results.md")
    budget = results("budget")["measured"]
    bits = {name: f"{system['test']:.3f}" for name, system in budget.items()}
    assert f"`fashion_mnist_pixelcnn` reaches {bits['ours, PixelCNN']} bits/dim on the test images" in text
    assert f"Our plain Glow of {budget['ours, plain']['params']:,} parameters" in text
    assert (f"reaches {bits['ours, plain']}, the Glow of normflows of that size {bits['normflows, Adam, bfloat16']} "
            f"and `tfb.Glow` {bits['tfb.Glow']}") in text
    ours, plain, normflows, tfb_glow = (budget[name]["test"] for name in (
        "ours, PixelCNN", "ours, plain", "normflows, Adam, bfloat16", "tfb.Glow"))
    assert (f"PixelCNN has {normflows - ours:.2f} bits/dim less than normflows and {tfb_glow - ours:.2f} less than "
            f"`tfb.Glow`; our plain Glow has {normflows - plain:.2f} and {tfb_glow - plain:.2f} less.") in text
    for name in ("budget", "speed", "gpu"):
        assert f'<!-- {name}: begin -->' in (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")
        assert f':start-after: "<!-- {name}: begin -->"' in text


def test_claims_of_the_trained_models():
    """The pages repeat numbers of the runs. tests/models/test_pretrained.py evaluates the models on the test images."""
    text = sentences("results.md")
    best, digits = (ROOT / "pretrained" / name for name in ("fashion_mnist_best", "digits_glow"))
    lines = [json.loads(line) for line in (best / "history.jsonl").read_text(encoding="utf-8").splitlines()]
    minutes = f"{sum(line['seconds'] for line in lines) / 60:.0f} minutes"
    images = json.loads((best / "config.json").read_text(encoding="utf-8"))["num_examples"]["train"]
    size = sum(path.stat().st_size for path in best.iterdir()) / 1e6
    (number,) = re.findall(r"([\d,]+) trainable numbers", (best / "README.md").read_text(encoding="utf-8"))
    number = round(int(number.replace(",", "")) / 1e6, 1)
    assert f"of a trained model, {size:.1f} MB. It has {number} million parameters" in text
    assert f"trained for {len(lines)} epochs on {images:,} images, in {minutes} on two cores" in text
    validation = {path: json.loads((path / "result.json").read_text(encoding="utf-8"))["val_bits_per_dim"]
                  for path in (best, digits)}
    assert f"test images and {validation[best]:.3f} on the validation split" in text
    (bits,) = re.findall(r"\*\*bits/dim on all 297 test images\*\* \| \*\*([\d.]+)\*\*",
                         (digits / "README.md").read_text(encoding="utf-8"))
    assert f"it reaches {bits} bits/dim on the test images and {validation[digits]:.3f} on validation" in text
    for name in ("cifar10_glow_classes", "fashion_mnist_glow", "fashion_mnist_realnvp", "fashion_mnist_pixelcnn",
                 "cifar10_pixelcnn", "cifar10_coupling", "fashion_mnist_coupling"):
        path = ROOT / "pretrained" / name
        history = [json.loads(line) for line in (path / "history.jsonl").read_text(encoding="utf-8").splitlines()]
        size, last = (path / "model.keras").stat().st_size / 1e6, history[-1]
        (bits,) = re.findall(r"test images\*\* \| \*\*([\d.]+)", (path / "README.md").read_text(encoding="utf-8"))
        assert (f"It has **{bits} bits/dim** on all 10,000 test images and {last['val_bits_per_dim']:.3f} on "
                f"validation, after {len(history)} epochs, and a file of {size:.1f} MB") in text
        if name == "fashion_mnist_glow":
            falling = [line["val_bits_per_dim"] for line in history]
            assert falling == sorted(falling, reverse=True) and f"fell in each of the {len(history)} epochs" in text
    second = results("second_seed")
    assert second["seed"] == 1 and second["num_examples"] == 10_000
    assert (f"A second training, with `--seed=1` and networks in bfloat16, has {second['test']:.3f} on the test images "
            f"and {second['validation'][-1]:.3f} on validation.") in text
    assert f"In the last epoch, training images had {last['bits_per_dim']:.3f}" in text
    gaps = [line["val_bits_per_dim"] - line["bits_per_dim"] for line in history]
    assert gaps[-5:] == sorted(gaps[-5:])  # "grew in each of the last four epochs"


def test_claims_of_what_the_density_is_good_for():
    text, uses = sentences("results.md"), results("uses")
    assert "fewer bits to clothes whose contrast is divided by 8 than to real ones. The bits minus the size" in text
    dim = uses["detection"]["clothes, dim"]
    assert dim["bits"] < uses["detection"]["test"]["bits"] and dim["areas"]["complexity"] > 0.95
    assert "the bounds with 1 and with 100 draws of noise are equal" in text
    bounds = uses["bounds"]["fashion_mnist_best"]
    assert bounds["1"] == pytest.approx(bounds["100"], abs=1e-5)


def test_claims_of_the_migration_page():
    text = sentences("guides/migrating.md")
    assert "log_prob = log_prob_of_unit_pixels - num_values * np.log(256.0)" in text
    unit = tfp.distributions.Sample(tfp.distributions.Normal(0.5, 0.2), 6)
    pixels, x = tfp.bijectors.Scale(256.0)(unit), np.linspace(0.1, 0.9, 6, dtype="float32")
    np.testing.assert_allclose(pixels.log_prob(256.0 * x), unit.log_prob(x) - 6 * np.log(256.0), rtol=1e-6)
    hidden = inspect.signature(tfp.bijectors.GlowDefaultNetwork.__init__).parameters["num_hidden"].default
    assert f"width={hidden}) # {hidden} is the width of GlowDefaultNetwork" in text


def test_claims_of_the_start_page():
    """test_slow_code_runs compares the bits/dim of the flow."""
    assert f"a histogram per pixel has {results('systems')['histogram']:.2f}" in sentences("start.md")


def test_claims_of_the_speed_page_on_cpus():
    """A quarter more time, a quarter less time, and memory that hardly grows, as far as they are measured."""
    text, figures = sentences("guides/speed.md"), {}
    for each in results("speed")["measurements"]:
        if each["width"] == 128:
            figures.setdefault((each["program"], each["depth"]), []).append(each["figures"])

    def median(program, depth, figure):
        return np.median([each[figure] for each in figures[program, depth]])

    stored, reversible, half = (
        median(f"ours, {name}", 8, "train_step_s") for name in ("stored", "reversible", "bfloat16"))
    assert "takes about a quarter more time per training step (K=8, width 128)" in text
    assert reversible / stored == pytest.approx(1.25, abs=0.1)
    assert "takes about a quarter less time per training step (K=8, width 128)" in text
    assert half / stored == pytest.approx(0.75, abs=0.1)
    growth = {name: median(f"ours, {name}", 32, "net_gb") - median(f"ours, {name}", 4, "net_gb")
              for name in ("stored", "reversible")}
    assert "its memory hardly grows with depth" in text and growth["reversible"] < 0.25 * growth["stored"]


def test_claims_of_the_speed_page():
    text = sentences("guides/speed.md")
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
