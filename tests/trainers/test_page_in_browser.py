# SPDX-License-Identifier: Apache-2.0
"""The page in docs/play in Chromium: what it shows, what sliders, mouse and keys change, and its numbers."""

import json
import shutil

import chromium
import numpy as np
import pytest
from paths import ROOT

import tfp_glow
from trainers.reporting.page_noise import PageNoise

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium.FOUND is None, reason=f"needs one of the browsers {', '.join(chromium.NAMES)}")]

PAGE = ROOT / "docs" / "play"
# The red values of a canvas, one per pixel of its image, which has 8 columns.
LEVELS = """(canvas => {
    const context = Object.assign(document.createElement("canvas"), {width: canvas.width, height: canvas.height})
        .getContext("2d", {willReadFrequently: true});
    context.drawImage(canvas, 0, 0);
    const { data } = context.getImageData(0, 0, canvas.width, canvas.height), scale = canvas.width / 8;
    return [...Array(8 * canvas.height / scale).keys()].map(i =>
        data[4 * scale * (Math.floor(i / 8) * canvas.width + i % 8)]);
})"""


@pytest.fixture(scope="module")
def url():
    with chromium.Server(PAGE) as server:
        yield server.url


@pytest.fixture(scope="module", params=["wasm", "cpu"])
def browser(request, url, tmp_path_factory):
    with chromium.Chromium(tmp_path_factory.mktemp("profile")) as browser:
        browser.open(f"{url}?backend={request.param}&model=digits_glow")
        browser.wait_for("document.body?.dataset.ready === 'digits_glow'")
        assert f", {request.param})" in browser.run("document.getElementById('check').textContent")
        yield browser
        assert browser.problems == []


@pytest.fixture(scope="module")
def model():
    return tfp_glow.load_pretrained("digits_glow")


def slide(browser, name, value):
    browser.run(f"""(() => {{ const slider = document.getElementById("{name}"); slider.value = {value};
                   slider.dispatchEvent(new Event("input")); }})()""")


def bits(browser, name):
    return browser.run(f"Number(document.getElementById('{name}').dataset.bits)")


def python_bits(model, image):
    """The mean over the 8 draws of noise of the page."""
    noise = PageNoise(1).uniform((8, *model.event_shape))
    return float(model.functions.to_bits(model.log_prob(np.stack([image] * 8), noise=noise)).numpy().mean())


def shown(browser, expression, shape=(8, 8, 1)):
    """The gray levels, of 17, of a canvas."""
    return np.round(np.array(browser.run(LEVELS + f"({expression})")) * 16 / 255).reshape(shape)


def test_samples_follow_the_temperature_and_the_seed(browser, model):
    for temperature, seed in ((0.7, 1), (1.0, 1), (1.0, 12345)):
        slide(browser, "temperature", temperature)
        slide(browser, "seed", seed)
        browser.wait_for(f"document.getElementById('samples').dataset.drawn === '{temperature:.2f} {seed}'")
        expected = model.decode(temperature * PageNoise(seed).normal((24, *model.latent_shape))).numpy()
        found = np.stack([shown(browser, f"document.getElementById('samples').children[{i}]") for i in range(24)])
        assert np.mean(found != np.minimum(expected, 16)) < 0.01
    slide(browser, "temperature", 0)
    browser.wait_for("document.getElementById('samples').dataset.drawn === '0.00 12345'")
    first, last = (shown(browser, f"document.getElementById('samples').children[{i}]") for i in (0, 23))
    np.testing.assert_array_equal(first, last)


def test_bits_of_a_test_image_are_pythons(browser, model):
    images = np.frombuffer((PAGE / "models" / "digits_glow" / "images.bin").read_bytes(), np.uint8).reshape(-1, 8, 8, 1)
    for index in (0, 17, 39):
        slide(browser, "copied", index)
        expected = python_bits(model, images[index])
        browser.wait_for(f"Math.abs(document.getElementById('drawing-bits').dataset.bits - {expected}) < 1e-3")
        text = browser.run("document.getElementById('drawing-bits').textContent")
        assert abs(float(text.split()[0]) - expected) < 1e-3


def test_a_line_between_two_images(browser, model):
    images = np.frombuffer((PAGE / "models" / "digits_glow" / "images.bin").read_bytes(), np.uint8).reshape(-1, 8, 8, 1)
    for index, name in ((12, "first"), (26, "second")):
        browser.run(f"document.querySelectorAll('#{name} input')[{index}].click()")
    start, end = model.encode(images[[12, 26]]).numpy()
    for t in (0.0, 0.25, 1.0):
        slide(browser, "between", t)
        expected = model.decode(((1 - t) * start + t * end)[None]).numpy()[0]
        browser.wait_for(f"Math.abs(document.getElementById('between-bits').dataset.bits - "
                         f"{python_bits(model, expected)}) < 0.02")  # A pixel may fall on the other side of an edge.
        found = shown(browser, "document.getElementById('between-image')")
        assert np.sum(found != np.minimum(expected, 16)) <= 1
    np.testing.assert_array_equal(found, images[26])
    np.testing.assert_array_equal(shown(browser, "document.getElementById('between-row').children[0]"), images[12])


def test_a_sample_as_an_end_of_a_line(browser):
    browser.run("document.querySelectorAll('#first input')[41].click()")
    slide(browser, "between", 0)
    slide(browser, "temperature", 0.6)
    slide(browser, "seed", 77)
    browser.wait_for("document.getElementById('samples').dataset.drawn === '0.60 77'")
    sample = shown(browser, "document.getElementById('samples').children[1]")
    first, second = "document.getElementById('between-image')", "document.getElementById('samples').children[1]"
    browser.wait_for(f"{LEVELS}({first}).join() === {LEVELS}({second}).join()")
    np.testing.assert_array_equal(shown(browser, "document.querySelectorAll('#first canvas')[41]"), sample)


def test_toward_a_class(browser, model):
    folder = PAGE / "models" / "digits_glow"
    image = np.frombuffer((folder / "images.bin").read_bytes(), np.uint8).reshape(-1, 8, 8, 1)[15]
    directions = np.frombuffer((folder / "directions.bin").read_bytes(), "<f4").reshape(10, -1)
    browser.run("document.querySelectorAll('#original input')[15].click()")
    browser.run("document.querySelectorAll('#classes input')[7].click()")
    for t in (-1.0, 1.5):
        slide(browser, "toward", t)
        expected = model.decode(model.encode(image[None]) + t * directions[7]).numpy()[0]
        browser.wait_for(f"Math.abs(document.getElementById('toward-bits').dataset.bits - "
                         f"{python_bits(model, expected)}) < 0.02")
        assert np.sum(shown(browser, "document.getElementById('toward-image')") != np.minimum(expected, 16)) <= 1


def test_drawing_with_mouse_and_keys(browser, model):
    browser.run("document.getElementById('clear').click()")
    empty = python_bits(model, np.zeros((8, 8, 1), np.uint8))
    browser.wait_for(f"Math.abs(document.getElementById('drawing-bits').dataset.bits - {empty}) < 1e-3")
    x, y, width = browser.run("""(() => { const drawing = document.getElementById("drawing");
        drawing.scrollIntoView({block: "center"}); const box = drawing.getBoundingClientRect();
        return [box.x, box.y, box.width]; })()""")
    browser.drag([(x + column * width / 8, y + row * width / 8)
                  for row, column in ((1.5, 2.5), (1.5, 5.5), (6.5, 3.5))])

    def drawn():
        return shown(browser, "document.getElementById('drawing')").astype(np.uint8)

    image = drawn()
    assert (image[1, 2:6] == 16).all() and image[6, 3] == 16 and image[6, 7] == 0
    expected = python_bits(model, image)
    browser.wait_for(f"Math.abs(document.getElementById('drawing-bits').dataset.bits - {expected}) < 1e-3")
    browser.run("document.getElementById('undo').click()")
    assert not drawn().any()
    browser.run("document.getElementById('drawing').focus({focusVisible: true})")
    for key in ("ArrowUp", "ArrowLeft", "ArrowLeft"):
        browser.press(key)
    browser.press(" ", "Space", " ")
    assert "Row 4, column 3: gray level 16" in browser.run("document.getElementById('cursor').textContent")
    browser.run("document.getElementById('drawing').blur()")
    image = drawn()
    assert image[3, 2] == 16 and 0 < image[3, 3] < 16 and image[3, 5] == 0
    expected = python_bits(model, image)
    browser.wait_for(f"Math.abs(document.getElementById('drawing-bits').dataset.bits - {expected}) < 1e-3")


def test_a_phone_needs_no_sideways_scrolling(browser):
    browser.resize(360, 740)
    assert browser.run("document.documentElement.scrollWidth") <= 360
    assert browser.run("""[...document.querySelectorAll("button, select, input[type=range], input[type=number]")]
        .filter(each => each.offsetHeight > 0 && each.offsetHeight < 44).map(each => each.id)""") == []
    browser.resize(1280, 900)


def test_every_control_has_a_name(browser):
    assert browser.run("""[...document.querySelectorAll("button, select, input, canvas[tabindex]")].filter(each =>
        !each.getAttribute("aria-label") && !each.labels?.[0]?.textContent.trim() && !each.textContent.trim())
        .map(each => each.id)""") == []


def test_wrong_numbers_are_refused(url, tmp_path):
    """The page says so if what it computes differs from what Python computed."""
    page = shutil.copytree(PAGE, tmp_path / "page")
    path = page / "models" / "digits_glow" / "page.json"
    about = json.loads(path.read_text())
    about["check"]["bits_per_dim"][2] += 0.01
    path.write_text(json.dumps(about))
    with chromium.Server(page) as server, chromium.Chromium(tmp_path / "profile") as browser:
        browser.open(server.url)
        text = browser.wait_for("document.getElementById('status')?.classList.contains('problem') && "
                                "document.getElementById('status').textContent")
        assert "wasm: bits/dim differ from Python's by 0.0" in text and "cpu: bits/dim differ" in text
        assert browser.run("document.querySelector('main').hidden")


def test_an_absent_file_is_named(tmp_path):
    page = shutil.copytree(PAGE, tmp_path / "page")
    (page / "models" / "digits_glow" / "images.bin").unlink()
    with chromium.Server(page) as server, chromium.Chromium(tmp_path / "profile") as browser:
        browser.open(server.url)
        text = browser.wait_for("document.getElementById('status')?.classList.contains('problem') && "
                                "document.getElementById('status').textContent")
        assert "models/digits_glow/images.bin cannot be read: 404" in text
