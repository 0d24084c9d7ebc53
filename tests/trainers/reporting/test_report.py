# SPDX-License-Identifier: Apache-2.0
"""The report of a run: a self-contained page whose numbers and pictures match the model."""

import base64
import contextlib
import html.parser
import io
import json
import shutil

import numpy as np
import PIL.Image
import pytest
from small_flows import eagerly

from trainers import data, evaluate, presets, report
from trainers.evaluation import nearest_neighbors
from trainers.reporting import charts, report_sections, run_report
from trainers.reporting.report_model import ReportedModel
from trainers.runs import trained_models
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.configuration import configure
from trainers.runs.run_directory import RunDirectory
from trainers.training.training_batches import training_batches

EMPTY_TAGS = {"meta", "img"}
IMAGE_SECTIONS = ["Results", "Learning curve", "Samples", "Interpolations", "Nearest neighbors", "Latents",
                  "Levels", "Training and test examples", "Configuration"]


def begun_run(path, preset, spec, **changes):
    """Returns a run with a checkpoint of epoch 1. The model is initialized from data and not trained."""
    source = data.load(spec)
    config = configure(preset, presets.get(preset, **changes), spec, source)
    run = RunDirectory(path)
    run.open(config)
    model = trained_models.build(config)
    trained_models.compile_model(model, config)
    batch = next(iter(training_batches(config, source, 0)))
    model.initialize(*(batch if isinstance(batch, tuple) else (batch,)))
    Checkpoints(run.checkpoints).save(model, 1, 5.0)
    run.add_history({"epoch": 1, "bits_per_dim": 5.0, "val_bits_per_dim": 5.0, "seconds": 1.0, "skipped_steps": 2})
    return run


@pytest.fixture(scope="module")
def digits_page(digits_run, tmp_path_factory):
    """A finished run with a report, which was made eagerly. `test_report_of_vectors` makes one with graphs.

    Tests must not change the run.
    """
    run = RunDirectory(shutil.copytree(digits_run.path, tmp_path_factory.mktemp("reported") / "run"))
    with eagerly():
        assert report.main(["report", f"--run_dir={run}", "--data=digits"]) == 0
    return run


class Page(html.parser.HTMLParser):
    """A parsed report: headings, paragraphs, table rows and pictures. All tags must be closed in order."""

    def __init__(self, path):
        super().__init__()
        self.text, self.open, self.found = path.read_text(encoding="utf-8"), [], {"h2": [], "p": []}
        self.pictures, self.rows = {}, []
        self.feed(self.text)
        self.close()
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        assert tag not in ("script", "link", "iframe", "a") and not attrs.keys() & {"href", "onclick", "onload"}
        if tag == "img":
            head, _, content = attrs["src"].partition(",")
            assert head == "data:image/png;base64"
            with PIL.Image.open(io.BytesIO(base64.b64decode(content, validate=True))) as picture:
                picture.load()
            self.pictures[attrs["alt"]] = picture
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in EMPTY_TAGS:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        tag = self.open[-1] if self.open else None
        if tag in self.found:
            self.found[tag].append(data)
        if tag in ("td", "th"):
            self.rows[-1][-1] += data


def test_page_is_self_contained_and_complete(digits_page):
    page = Page(digits_page.report_path)
    assert "http" not in page.text and "url(" not in page.text and "@import" not in page.text
    assert page.found["h2"] == IMAGE_SECTIONS
    assert {f"Samples at temperature {t}" for t in (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)} <= set(page.pictures)
    assert len(page.pictures) == 11
    for caption, picture in page.pictures.items():
        assert min(picture.size) > 200 and len(set(picture.convert("L").tobytes())) > 2, caption
    rows = {row[0]: row[1:] for row in page.rows}
    assert rows["training.batch_size"] == ["16"] and rows["flow.width"] == ["8"]
    assert rows["train"][0] == "1,000 of 1,350" and rows["test"][0] == "297 of 297"


def test_one_noise_gives_one_number(digits_page, capsys):
    """The page, `result.json`, `history.jsonl` and `evaluate` show the same bits per dimension."""
    rows = {row[0]: row[1:] for row in Page(digits_page.report_path).rows}
    printed = {}
    for split in ("validation", "test"):
        assert evaluate.main(["evaluate", f"--run_dir={digits_page}", "--data=digits", f"--split={split}"]) == 0
        printed[split] = json.loads(capsys.readouterr().out.splitlines()[-1])["bits_per_dim"]
        assert rows[split][1] == f"{printed[split]:.4f}"
    assert digits_page.result()["val_bits_per_dim"] == pytest.approx(printed["validation"], rel=1e-6)
    history = [line["val_bits_per_dim"] for line in digits_page.history()]
    assert min(history) == pytest.approx(printed["validation"], rel=1e-6)
    assert float(rows["total"][0]) + float(rows["total"][1]) == pytest.approx(printed["test"], abs=2e-4)
    text = " ".join(Page(digits_page.report_path).found["p"])
    assert f"The test split has {printed['test']:.4f} bits per dimension." in " ".join(text.split())


def test_numbers_match_the_model(digits_page):
    digits = data.load("digits")
    model, _ = trained_models.load(digits_page)
    (images,) = data.dataset(digits, "test", 297, shuffle=False, labels=False)
    rows = {row[0]: row[1:] for row in Page(digits_page.report_path).rows}
    bits = model.bits_per_dim(images).numpy()  # the noise differs from the noise of the page
    assert float(rows["test"][1]) == pytest.approx(bits.mean(), abs=0.02)
    assert float(rows["test"][2]) == pytest.approx(float(rows["test"][1]) * 64 * np.log(2), abs=0.01)
    # The bits per dimension equal the bits of the latents minus all log-determinants.
    latents, log_dets = ReportedModel(digits_page, model, "", digits).latents_and_log_dets
    assert list(latents) == ["level 1", "top"] and list(log_dets) == ["pixels", "level 1", "top"]
    flat = np.concatenate(list(latents.values()), axis=1)
    base_bits = (0.5 * flat**2 + 0.5 * np.log(2 * np.pi)).sum(axis=1) / (64 * np.log(2))
    assert np.mean(base_bits - sum(log_dets.values())) == pytest.approx(bits.mean(), abs=0.02)
    assert {name: float(rows[name][1]) for name in log_dets} == {
        name: pytest.approx(-values.mean(), abs=1e-4) for name, values in log_dets.items()}
    assert float(rows["total"][0]) + float(rows["total"][1]) == pytest.approx(bits.mean(), abs=0.02)
    assert float(rows["level 1"][0]) + float(rows["top"][0]) == pytest.approx(base_bits.mean(), abs=2e-4)


def test_the_page_explains_the_learning_curve(digits_page):
    text = " ".join(" ".join(Page(digits_page.report_path).found["p"]).split())
    for phrase in ("A training value is the mean over the steps of an epoch", "5% of the values are replaced by",
                   "It is that of the moving average of the weights", "the training curve can lie above the"):
        assert phrase in text
    history = [{"epoch": epoch, "bits_per_dim": 3.0, "val_bits_per_dim": 2.0} for epoch in (1, 2)]
    for training, expected in (
            ({"pixel_noise": 0.05, "ema_momentum": 0.9},
             ["training: mean over the steps of the epoch with pixel noise",
              "validation: after the epoch, averaged weights"]),
            (None, ["training: mean over the steps of the epoch", "validation: after the epoch"])):
        legend = charts.learning_curve(history, training=training).axes[0].get_legend()
        assert [each.get_text() for each in legend.get_texts()] == expected


def test_a_history_without_lines(digits_page, tmp_path):
    run = RunDirectory(shutil.copytree(digits_page.path, tmp_path / "run"))
    run.history_path.write_text(run.history_path.read_text().splitlines(True)[1])
    reported = ReportedModel(run, *trained_models.load(run), data.load("digits"))
    results = report_sections.results(reported)
    assert (results["num_epochs"], results["num_missing"], results["num_skipped"]) == (2, 1, 0)
    reported.history = []
    results = report_sections.results(reported)
    assert (results["num_epochs"], results["num_missing"], results["seconds"]) == (0, 0, 0)
    for history in ([], [{"epoch": 1}]):
        assert charts.learning_curve(history, over="minutes").axes


def test_examples_are_random_and_reproducible(digits_page):
    model, source = trained_models.load(digits_page)
    first, second = (ReportedModel(digits_page, model, source, data.load("digits")) for _ in range(2))
    images, labels = first.examples("train", 50)
    assert images.shape == (50, 8, 8, 1) and labels.shape == (50,)
    np.testing.assert_array_equal(images, second.examples("train", 50)[0])
    assert len(np.unique(first.examples("train", 5000)[0].reshape(1350, -1), axis=0)) > 1300


def test_report_is_reproducible(digits_page, capsys):
    before = digits_page.report_path.read_text()
    digits_page.report_path.write_text("old")
    with eagerly():
        assert report.main(["report", f"--run_dir={digits_page}", "--data=digits"]) == 0
    assert capsys.readouterr().out == f"{digits_page.report_path}\n"
    assert digits_page.report_path.read_text() == before
    assert not list(digits_page.path.glob(".partial*"))


def test_report_of_vectors(tmp_path):
    run = begun_run(tmp_path / "run", "toy_realnvp_smoke", "toy:two_moons")
    config_path = run.path / "config.json"
    config_path.write_text(config_path.read_text().replace('"toy_realnvp_smoke"', '"<script>&"'))
    page = Page(run_report.write(run, data.load("toy:two_moons")))
    assert "<title>&lt;script&gt;&amp; on two_moons</title>" in page.text
    assert {row[0]: row[1:] for row in page.rows}["preset"] == ['"<script>&"']
    assert page.found["h2"] == ["Results", "Learning curve", "Samples and density", "Latents", "Levels",
                                "Training and test examples", "Configuration"]
    assert len(page.pictures) == 4
    text = " ".join(page.found["p"])
    assert "The entropy of the true density is" in text and "2 steps were skipped because" in text
    assert "Weights: training is not finished; its best checkpoint, epoch 1 of 2" in text


@pytest.mark.slow
def test_report_of_colors_classes_and_variational_dequantization(tmp_path):
    folder, random = tmp_path / "images", np.random.default_rng(0)
    for label in range(10):
        (folder / f"class_{label}").mkdir(parents=True)
        for index in range(8):
            pixels = random.integers(0, 256, (8, 8, 3), dtype="uint8")
            PIL.Image.fromarray(pixels).save(folder / f"class_{label}" / f"{index}.png")
    run = begun_run(tmp_path / "run", "digits_glow_classes_smoke", f"folder:{folder}", dequantization="variational")
    page = Page(run_report.write(run, data.load(f"folder:{folder}")))
    assert page.found["h2"] == IMAGE_SECTIONS
    colors = np.asarray(page.pictures["Samples and their nearest training images"].convert("RGB"))
    assert (colors.max(axis=-1) != colors.min(axis=-1)).any()
    width, height = page.pictures["Samples at temperature 1.0"].size
    assert (width // 91, height // 28) == (5, 5)  # one column per class, three rows, enlarged five times
    rows = {row[0]: row[1:] for row in page.rows}
    assert "dequantizer" in rows
    assert sum(map(float, rows["total"])) == pytest.approx(float(rows["test"][1]), abs=0.05)


def test_report_errors(digits_page, tmp_path):
    empty = RunDirectory(tmp_path / "empty")
    empty.open(digits_page.config())
    for flags, message in [([f"--run_dir={tmp_path}", "--data=digits"], "has no config.json"),
                           ([f"--run_dir={empty}", "--data=digits"], "has neither model.keras nor a checkpoint yet"),
                           ([f"--run_dir={digits_page}", "--data=toy:wave"], "vectors of 2 numbers; the model in"),
                           ([f"--run_dir={digits_page}"], "--data must have a value")]:
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            assert report.main(["report", *flags]) == 1
        (line,) = stderr.getvalue().splitlines()
        assert line.startswith("error: ") and message in line
    assert not empty.report_path.exists()


# Parts of the report.


def test_nearest_neighbors():
    random = np.random.default_rng(0)
    images, candidates = random.integers(0, 256, (4, 3, 3, 2)), random.integers(0, 256, (50, 3, 3, 2))
    candidates[17] = images[2]
    neighbors, distances = nearest_neighbors.find_nearest(images, candidates, 3)
    by_hand = np.sqrt(((images[:, None] - candidates[None]) ** 2.0).sum(axis=(2, 3, 4)))
    order = np.argsort(by_hand, axis=1)[:, :3]
    np.testing.assert_array_equal(neighbors, candidates[order])
    np.testing.assert_allclose(distances, np.take_along_axis(by_hand, order, axis=1), atol=0.1)
    assert distances[2, 0] == 0.0


def test_quantiles_of_normal_samples_lie_on_a_line():
    drawn = np.random.default_rng(0).normal(size=100_000)
    figure = charts.latents_and_normal_density({"level 1": drawn + 0.5, "top": [*(2.0 * drawn + 1.0), np.nan, np.inf]})
    assert [axes.get_title() for axes in figure.axes[::2]] == ["level 1: mean 0.50, standard deviation 1.00",
                                                              "top: mean 1.00, standard deviation 2.00"]
    for axes, slope, shift in ((figure.axes[1], 1.0, 0.5), (figure.axes[3], 2.0, 1.0)):
        theory, quantiles = axes.lines[1].get_data()
        np.testing.assert_allclose(quantiles, slope * np.asarray(theory) + shift, atol=0.1 * slope)


def test_charts_accept_non_finite_numbers():
    bits = charts.bits_histogram({"train": np.full(10, 3.0), "test": [3.0, np.inf, 1e6]})
    assert {text.get_text() for text in bits.axes[0].get_legend().get_texts()} == {
        "train: mean 3.000", f"test: mean {(3.0 + 1e6) / 2:.3f}"}
    nothing = np.full(10, np.nan)
    assert charts.bits_histogram({"train": nothing}).axes[0].get_title() == "no finite values"
    assert charts.latents_and_normal_density({"flow": nothing}).axes[0].get_title() == "flow: no finite values"
    line = {"epoch": 1, "bits_per_dim": 3.0, "val_bits_per_dim": float("nan")}
    assert charts.learning_curve([line, {**line, "epoch": 2}]).axes[0].get_ylim() == (2.9, 3.1)
    vectors = np.random.default_rng(0).normal(size=(30, 3)).astype("float32")
    assert len(charts.data_and_samples(vectors, np.full((5, 3), np.nan, "float32")).axes) == 2
    assert len(charts.data_and_samples(vectors[:, :1], vectors[:, :1]).axes) == 2


def test_pictures_of_a_flow_that_overflows_become_sentences(digits_page, monkeypatch):
    """Training has ended by then, so the report must not fail."""
    sample = ReportedModel.sample

    def overflowing(self, number, temperature=1.0):
        if temperature > 0.8:
            raise ValueError("The forward pass overflowed <here>.")
        return sample(self, number, temperature)

    source = data.load("digits")
    run = RunDirectory(shutil.copytree(digits_page.path, digits_page.path.parent / "overflowing"))
    monkeypatch.setattr(ReportedModel, "sample", overflowing)
    with eagerly(), pytest.warns(UserWarning, match="A section of the report has no picture. The forward pass over"):
        page = Page(run_report.write(run, source))
    assert page.found["h2"] == IMAGE_SECTIONS
    told = [text for text in page.found["p"] if "overflowed <here>" in text]
    assert len(told) == 3 and told[0].startswith("There are no samples at temperature 0.9.")
    assert sum(name.startswith("Samples at temperature") for name in page.pictures) == 4
