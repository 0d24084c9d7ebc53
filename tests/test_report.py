# SPDX-License-Identifier: Apache-2.0
"""The report of a run: that the page stands by itself, and that what it shows is so."""

import base64
import contextlib
import html.parser
import io
import shutil

import numpy as np
import PIL.Image
import pytest

from trainers import data, presets, report
from trainers.evaluation import nearest_neighbors
from trainers.reporting import charts, html_page, run_report
from trainers.runs import trained_models
from trainers.runs.checkpoints import Checkpoints
from trainers.runs.run_directory import RunDir
from trainers.reporting.subject import Subject
from trainers.training.training_loop import configure, training_batches

EMPTY_TAGS = {"meta", "img"}
IMAGE_SECTIONS = ["Results", "Learning curve", "Samples", "Interpolations", "Nearest neighbours", "Latents",
                  "Levels", "Seen and unseen", "Configuration"]


def begun_run(path, preset, spec, **changes):
    """A run of one epoch that has a checkpoint, of a model that learned nothing but its data-dependent parameters."""
    source = data.load(spec)
    config = configure(preset, presets.get(preset, **changes), spec, source)
    run = RunDir(path)
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
    """A finished run with its report; tests leave it as it is."""
    run = RunDir(shutil.copytree(digits_run.path, tmp_path_factory.mktemp("reported") / "run"))
    assert report.main(["report", f"--run_dir={run}", "--data=digits"]) == 0
    return run


class Page(html.parser.HTMLParser):
    """A page read back: headings, table rows, pictures; its tags must close in order."""

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


def test_page_stands_by_itself_and_is_whole(digits_page):
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


def test_numbers_are_the_models(digits_page):
    digits = data.load("digits")
    model, _ = trained_models.load(digits_page)
    (images,) = data.dataset(digits, "test", 297, shuffle=False, labels=False)
    rows = {row[0]: row[1:] for row in Page(digits_page.report_path).rows}
    bits = model.bits_per_dim(images).numpy()  # of other noise than the page's
    assert float(rows["test"][1]) == pytest.approx(bits.mean(), abs=0.02)
    assert float(rows["test"][2]) == pytest.approx(float(rows["test"][1]) * 64 * np.log(2), abs=0.01)
    # Bits per dimension are those of the latents less the log-dets of all parts.
    subject = Subject(digits_page, model, "", digits)
    latents, log_dets = subject.by_level
    assert list(latents) == ["level 1", "top"] and list(log_dets) == ["pixels", "level 1", "top"]
    flat = np.concatenate(list(latents.values()), axis=1)
    own = (0.5 * flat**2 + 0.5 * np.log(2 * np.pi)).sum(axis=1) / (64 * np.log(2))
    assert np.mean(own - sum(log_dets.values())) == pytest.approx(bits.mean(), abs=0.02)
    assert {name: float(rows[name][1]) for name in log_dets} == {
        name: pytest.approx(-values.mean(), abs=1e-4) for name, values in log_dets.items()}
    assert float(rows["together"][0]) + float(rows["together"][1]) == pytest.approx(bits.mean(), abs=0.02)
    assert float(rows["level 1"][0]) + float(rows["top"][0]) == pytest.approx(own.mean(), abs=2e-4)


def test_examples_are_few_and_always_the_same(digits_page):
    model, source = trained_models.load(digits_page)
    first, second = (Subject(digits_page, model, source, data.load("digits")) for _ in range(2))
    images, labels = first.examples("train", 50)
    assert images.shape == (50, 8, 8, 1) and labels.shape == (50,)
    np.testing.assert_array_equal(images, second.examples("train", 50)[0])
    assert len(np.unique(first.examples("train", 5000)[0].reshape(1350, -1), axis=0)) > 1300


def test_command_makes_the_same_report_again(digits_page, capsys):
    before = digits_page.report_path.read_text()
    digits_page.report_path.write_text("old")
    assert report.main(["report", f"--run_dir={digits_page}", "--data=digits"]) == 0
    assert capsys.readouterr().out == f"{digits_page.report_path}\n"
    assert digits_page.report_path.read_text() == before
    assert not list(digits_page.path.glob(".partial*"))


def test_report_of_vectors(tmp_path):
    run = begun_run(tmp_path / "run", "toy_realnvp_smoke", "toy:two_moons")
    page = Page(run_report.write(run, data.load("toy:two_moons")))
    assert page.found["h2"] == ["Results", "Learning curve", "In the plane", "Latents", "Levels",
                                "Seen and unseen", "Configuration"]
    assert len(page.pictures) == 4
    said = " ".join(page.found["p"])
    assert "The entropy of the true density is" in said and "2 steps were skipped" in said
    assert "Weights: training is not finished; its best checkpoint, epoch 1 of 2" in said


@pytest.mark.slow
def test_report_of_colours_classes_and_learned_noise(tmp_path):
    folder, random = tmp_path / "images", np.random.default_rng(0)
    for label in range(10):
        (folder / f"class_{label}").mkdir(parents=True)
        for index in range(8):
            pixels = random.integers(0, 256, (8, 8, 3), dtype="uint8")
            PIL.Image.fromarray(pixels).save(folder / f"class_{label}" / f"{index}.png")
    run = begun_run(tmp_path / "run", "digits_glow_classes_smoke", f"folder:{folder}", dequantization="variational")
    page = Page(run_report.write(run, data.load(f"folder:{folder}")))
    assert page.found["h2"] == IMAGE_SECTIONS
    colours = np.asarray(page.pictures["Samples and their nearest training images"].convert("RGB"))
    assert (colours.max(axis=-1) != colours.min(axis=-1)).any()
    width, height = page.pictures["Samples at temperature 1.0"].size
    assert (width // 91, height // 28) == (5, 5)  # ten columns of classes, three rows, enlarged five times
    rows = {row[0]: row[1:] for row in page.rows}
    assert "dequantizer" in rows
    assert sum(map(float, rows["together"])) == pytest.approx(float(rows["test"][1]), abs=0.05)


def test_report_refuses(digits_page, tmp_path):
    empty = RunDir(tmp_path / "empty")
    empty.open(digits_page.config())
    for flags, said in [([f"--run_dir={tmp_path}", "--data=digits"], "has no config.json"),
                        ([f"--run_dir={empty}", "--data=digits"], "has neither model.keras nor a checkpoint yet"),
                        ([f"--run_dir={digits_page}", "--data=toy:wave"], "vectors of 2 numbers; the model in"),
                        ([f"--run_dir={digits_page}"], "--data must have a value")]:
        with contextlib.redirect_stderr(io.StringIO()) as stderr:
            assert report.main(["report", *flags]) == 1
        (line,) = stderr.getvalue().splitlines()
        assert line.startswith("error: ") and said in line
    assert not empty.report_path.exists()


# The parts.


def test_texts_are_escaped():
    section = html_page.Section("a < b", "<script>", ("&",), (("<td>", 1),), (html_page.Picture('"x"', b"png", 10),))
    page = html_page.page("<title>", [section])
    for text in ("&lt;title&gt;", "a &lt; b", "<p>&lt;script&gt;</p>", "<th>&amp;</th>",
                 "<td>&lt;td&gt;</td><td>1</td>", 'alt="&quot;x&quot;"', "data:image/png;base64,cG5n"):
        assert text in page


def test_nearest_neighbours():
    random = np.random.default_rng(0)
    images, among = random.integers(0, 256, (4, 3, 3, 2)), random.integers(0, 256, (50, 3, 3, 2))
    among[17] = images[2]
    found, distances = nearest_neighbors.nearest(images, among, 3)
    by_hand = np.sqrt(((images[:, None] - among[None]) ** 2.0).sum(axis=(2, 3, 4)))
    order = np.argsort(by_hand, axis=1)[:, :3]
    np.testing.assert_array_equal(found, among[order])
    np.testing.assert_allclose(distances, np.take_along_axis(by_hand, order, axis=1), atol=0.1)
    assert distances[2, 0] == 0.0


def test_normality_of_normals_is_the_diagonal():
    drawn = np.random.default_rng(0).normal(size=100_000)
    figure = charts.normality({"level 1": drawn + 0.5, "top": [*(2.0 * drawn + 1.0), np.nan, np.inf]})
    assert [axes.get_title() for axes in figure.axes[::2]] == ["level 1: mean 0.50, deviation 1.00",
                                                              "top: mean 1.00, deviation 2.00"]
    for axes, slope, shift in ((figure.axes[1], 1.0, 0.5), (figure.axes[3], 2.0, 1.0)):
        theory, quantiles = axes.lines[1].get_data()
        np.testing.assert_allclose(quantiles, slope * np.asarray(theory) + shift, atol=0.1 * slope)


def test_charts_bear_what_young_flows_give():
    bits = charts.bits_histogram({"train": np.full(10, 3.0), "test": [3.0, np.inf, 1e6]})
    assert {text.get_text() for text in bits.axes[0].get_legend().get_texts()} == {
        "train: mean 3.000", f"test: mean {(3.0 + 1e6) / 2:.3f}"}
    nothing = np.full(10, np.nan)
    assert charts.bits_histogram({"train": nothing}).axes[0].get_title() == "none is finite"
    assert charts.normality({"flow": nothing}).axes[0].get_title() == "flow: none is finite"
    line = {"epoch": 1, "bits_per_dim": 3.0, "val_bits_per_dim": float("nan")}
    assert charts.learning_curve([line, {**line, "epoch": 2}]).axes[0].get_ylim() == (2.9, 3.1)
    vectors = np.random.default_rng(0).normal(size=(30, 3)).astype("float32")
    assert len(charts.clouds(vectors, np.full((5, 3), np.nan, "float32")).axes) == 2
    assert len(charts.clouds(vectors[:, :1], vectors[:, :1]).axes) == 2
