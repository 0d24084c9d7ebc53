# SPDX-License-Identifier: Apache-2.0
"""The benchmark of equal minutes: its loop with a made-up system and clock, its table, and our system."""

import dataclasses
import json
import math
import re

import numpy as np
import pytest

from benchmarks import budget, harness
from benchmarks.programs import our_flow
from benchmarks.programs import timed_training as loop
from benchmarks.programs.system import System
from trainers.presets import PRESETS, Preset

RNG = np.random.RandomState(0)
IMAGES = {split: RNG.randint(0, 256, (n, 4, 4, 1)).astype(np.uint8)
          for split, n in (("train", 50), ("validation", 12), ("test", 10))}


class FakeTime:
    """Steps take what a list says, and validation an hour."""

    def __init__(self, durations):
        self.now, self.durations, self.rates, self.batches = 0.0, iter(durations), [], []

    def step(self, images, rate):
        self.now += next(self.durations)
        self.rates.append(rate)
        self.batches.append(images)
        return -16 * math.log(2.0) * len(self.rates)  # As many bits/dim as steps.

    def log_prob(self, images):
        self.now += 3600.0
        return -16 * math.log(2.0) * np.floor(images).mean(axis=(1, 2, 3))

    def train(self, minutes, **changes):
        functions = {"prepare": lambda images: images, "step": self.step, "log_prob": self.log_prob, **changes}
        system = System(7, **functions, sample=None, round_trip=None, state_bytes=None)
        clock = loop.Clock(lambda: self.now, lambda: 2.0 * self.now)
        return loop.train(lambda first: system, IMAGES, minutes, 16, clock=clock)


def test_clock_leaves_out_tracing_pauses_and_validation():
    fake = FakeTime([100.0, *[0.5, 1.0, 1.5] * 40, 50.0, *[1.0] * 1000])
    result = fake.train(5)
    assert (result["seconds"], result["pauses"]) == (300.0, 1)  # The pause counts as the median, a second.
    assert result["steps"] == 1 + 120 + 1 + 179
    assert result["images_per_second"] == 16.0 and result["cores"] == 2.0
    assert [point["minutes"] for point in result["curve"]] == [1.0, 2.0, 3.0, 4.0, 5.0]
    assert [point["steps"] for point in result["curve"]] == [61, 121, 181, 241, 301]
    assert [point["train"] for point in result["curve"]] == [31.0, 91.5, 151.5, 211.5, 271.5]
    assert [point["validation"] is None for point in result["curve"]] == [True, True, True, False, True]


def test_slow_steps_are_not_pauses():
    fake = FakeTime([100.0, *[10.0] * 10, 100.0, *[10.0] * 100])
    result = fake.train(5)
    assert (result["seconds"], result["pauses"], result["steps"]) == (300.0, 1, 31)


def test_rate_warms_up_and_falls_to_zero():
    fake = FakeTime([0.0, *[0.5] * 1000])
    fake.train(5)
    assert fake.rates[:4] == [0.0, 0.0, pytest.approx(1 / 6), pytest.approx(2 / 6)]
    assert max(fake.rates) == fake.rates[7] == 1.0
    assert fake.rates[8:] == sorted(fake.rates[8:], reverse=True) and 0.0 < fake.rates[-1] < 1e-4
    assert loop.rate_multiplier(0.505) == pytest.approx(0.5) and loop.rate_multiplier(1.01) == 0.0


def test_batches_are_shuffled_epochs_with_fresh_noise():
    stream = loop.batches(IMAGES["train"], 16, seed=3)
    first, second = ([next(stream) for _ in range(3)] for _ in range(2))
    known = {image.tobytes() for image in IMAGES["train"]}
    for epoch in (first, second):
        pixels = [np.floor(image).astype(np.uint8).tobytes() for batch in epoch for image in batch]
        assert len(set(pixels)) == 48 and set(pixels) <= known
    noise = np.concatenate(first + second) % 1.0
    assert len(np.unique(noise)) > 0.98 * noise.size and noise.mean() == pytest.approx(0.5, abs=0.05)
    np.testing.assert_array_equal(first[0], next(loop.batches(IMAGES["train"], 16, seed=3)))
    assert loop.dequantized(np.full((500, 500), 255, np.uint8), np.random.default_rng(0)).max() < 256.0


def test_all_images_are_evaluated():
    result = FakeTime([1.0] * 100).train(1)
    for split in ("validation", "test"):
        assert result[split] == pytest.approx(IMAGES[split].mean())
    assert result["not_finite"] == 0 and not result["gave_up"]


def test_weights_that_are_gone_end_the_training():
    fake = FakeTime([1.0] * 1000)
    result = fake.train(20, step=lambda images, rate: fake.step(images, rate) if len(fake.rates) < 130 else math.nan,
                        log_prob=lambda images: np.full(len(images), np.nan))
    assert (result["not_finite"], result["steps"], result["gave_up"]) == (loop.MAX_NOT_FINITE, 180, True)
    assert result["test"] is None and "NaN" not in json.dumps(result)


def test_ours_learns_and_averages_its_weights():
    """Black images: in thirty steps far below the eight bits of a uniform density; a NaN leaves no trace."""
    images = {split: np.zeros((n, 4, 4, 1), np.uint8) for split, n in (("train", 64), ("validation", 8), ("test", 8))}
    preset = Preset({"flow": "glow", "num_levels": 1, "num_steps": 2, "width": 4}, batch_size=8, epochs=1,
                    learning_rate=1e-2, ema_momentum=0.9, clip_norm=10.0, optimizer="adam")
    first = next(loop.batches(images["train"], 8, 0))
    system = our_flow.build(first, preset=dataclasses.asdict(preset))
    before = loop.evaluate(system, images["test"], "test")
    assert system.step(first, 0.0) == pytest.approx(system.log_prob(first).mean(), rel=1e-5)
    for batch, _ in zip(loop.batches(images["train"], 8, 0), range(30), strict=False):
        system.step(batch, 1.0)
    last = system.log_prob(first)
    assert loop.evaluate(system, images["test"], "test") < before - 0.05
    with system.evaluated_weights():
        assert np.abs(system.log_prob(first) - last).max() > 1e-3
    np.testing.assert_array_equal(system.log_prob(first), last)
    assert not np.isfinite(system.step(first * np.nan, 1.0)) and system.num_skipped() == 1
    np.testing.assert_array_equal(system.log_prob(first), last)


@pytest.mark.parametrize("preset", ["digits_glow", "digits_glow_classes", "glow_cifar10"])
def test_ours_has_no_other_images_than_the_peers(preset):
    with pytest.raises(ValueError, match="as the peers have it"):
        our_flow.check(PRESETS[preset])


def record_of(**changes):
    fake = FakeTime([1.0] * 1000).train(5)
    settings = {"data": "idx:DIR", "minutes": 5.0, "limit": None, "seed": 0}
    return {"machine": harness.machine(), "measured": {
        name: {**fake, "test": test, "settings": {**settings, **more}, "date": "2026-01-01",
               "versions": {"torch": "1"}, **changes}
        for name, test, more in (("normflows", 3.5, {}), ("ours, plain", 3.25, {
            "preset": "some_preset", "changes": {"coupling": "affine"}}))}}


def test_table():
    text = budget.markdown(record_of())
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert len(rows) == 4 and len({line.count("|") for line in rows}) == 1
    assert "after 4 min" in rows[0]
    assert rows[2].startswith("| normflows | 3.500 |")
    assert rows[3].startswith("| ours, plain, `some_preset`, coupling=affine | **3.250** |")
    assert "no finite loss" not in text and "5 minutes of training each" in text
    assert "normflows: 3 steps had no finite loss, and left the weights" in budget.markdown(
        record_of(not_finite=3, skipped=3))
    assert "| normflows | - |" in budget.markdown(record_of(test=None, not_finite=50, gave_up=True))


def test_done_is_kept_for_the_same_settings_only(tmp_path):
    arguments = [f"--runs={tmp_path}", "--systems", "normflows", f"--results={tmp_path / 'results.json'}",
                 f"--readme={tmp_path / 'README.md'}"]
    args = budget.parse_arguments(arguments)
    result = {**record_of()["measured"]["normflows"], "settings": budget.settings_of(args, "normflows")}
    args.work.mkdir()
    budget.result_path(args, "normflows").write_text(json.dumps(result))
    (tmp_path / "README.md").write_text("<!-- budget: begin -->\n<!-- budget: end -->\n")
    budget.main(arguments)  # Trains nothing.
    record = json.loads((tmp_path / "results.json").read_text())
    assert budget.markdown(record) in (tmp_path / "README.md").read_text()
    assert list(budget.finished(args)) == ["normflows"]
    assert not budget.finished(budget.parse_arguments([*arguments, "--minutes=21"]))


def test_each_system_has_settings_of_its_own():
    args = budget.parse_arguments([])
    settings = {name: budget.settings_of(args, name) for name in budget.SYSTEMS}
    for name, preset in budget.OURS.items():
        our_flow.check(Preset(**settings[name]["system"]["preset"]))
        assert settings[name]["batch_size"] == PRESETS[preset].batch_size
    assert settings["ours, plain"]["system"]["preset"]["flow"]["coupling"] == "affine"  # As in the peers.
    wider = budget.settings_of(budget.parse_arguments(["--size_of=cifar10_glow"]), "tfb.Glow", {"learning_rate": 0.1})
    assert wider["system"] == {"num_levels": 3, "num_steps": 8, "width": 128, "optimizer": "Adam", "learning_rate": 0.1}
    assert settings["normflows, Adam"]["system"] == {**settings["normflows"]["system"], "optimizer": "Adam"}
    assert len({budget.result_path(args, name) for name in budget.SYSTEMS}) == len(budget.SYSTEMS)


@pytest.mark.parametrize(("slow", "dtype"), [(True, "float32"), (False, "mixed_bfloat16")])
def test_networks_have_the_faster_precision(monkeypatch, slow, dtype):
    monkeypatch.setattr(budget, "bfloat16_is_slow", lambda: slow)
    settings = budget.settings_of(budget.parse_arguments([]), "ours, plain")
    assert settings["system"]["preset"]["flow"]["network_dtype"] == dtype
    assert PRESETS["fashion_mnist_glow"].flow["network_dtype"] == "mixed_bfloat16"  # Not changed in place.


@pytest.mark.parametrize(("name", "size_there", "rate_there"), [
    ("normflows, Adam", 16, 5e-4), ("tfb.Glow", 64, 8e-3), ("ours, plain", 4, 2e-3)])
def test_a_search_climbs_to_rate_and_batch_on_validation_images(tmp_path, monkeypatch, name, size_there, rate_there):
    started, written = [], []

    def run(args, name, settings, images, result, prefix=()):
        started.append((name, settings["minutes"], prefix))
        system = settings["system"]
        rate, size = system.get("preset", system)["learning_rate"], settings["batch_size"]
        trial = bool(prefix)
        assert not (trial and (system.get("divide") or system.get("preset", {}).get("ema_momentum")))
        distance = abs(math.log2(rate / rate_there)) + abs(math.log2(size / size_there))
        kept = record_of()["measured"]["normflows"]
        # The first trial has no finite loss; the others have fewer bits/dim, the nearer to the best settings.
        score = None if (size, rate) == budget.START else distance
        result.write_text(json.dumps({**kept, "validation": score, "settings": settings}))

    monkeypatch.setattr(budget, "run", run)
    monkeypatch.setattr(budget, "write_images", lambda *_, search=False: written.append(search))
    (tmp_path / "README.md").write_text("<!-- budget: begin -->\n<!-- budget: end -->\n")
    arguments = [f"--runs={tmp_path}", "--systems", name, "--search_minutes=3", "--at_once=2",
                 f"--results={tmp_path / 'results.json'}", f"--readme={tmp_path / 'README.md'}"]
    budget.main(arguments)
    assert started[-1] == (name, 20.0, ())
    assert {prefix for *_, prefix in started[:-1]} <= {("taskset", "-c", "0"), ("taskset", "-c", "1")}
    record = json.loads((tmp_path / "results.json").read_text())
    settings = record["measured"][name]["settings"]
    found_size = max(budget.SMALLEST_BATCH, size_there)
    assert settings["batch_size"] == found_size
    assert settings["system"].get("preset", settings["system"])["learning_rate"] == rate_there
    assert len(record["searches"][name]) == len(started) - 1
    assert (f"batches of {found_size} and the learning rate {rate_there:g}, the best of {len(started) - 1} trials"
            in (tmp_path / "README.md").read_text())
    number = len(started)
    budget.main(arguments)
    assert len(started) == number and written == [True, False]  # Nothing is trained, and no images are written again.


def test_the_next_best_trial_follows_a_training_that_ends_early(tmp_path, monkeypatch):
    started = []

    def run(args, name, settings, images, result, prefix=()):
        rate, trial = settings["system"]["learning_rate"], bool(prefix)
        started.append((rate, trial))
        result.write_text(json.dumps({
            **record_of()["measured"]["normflows"], "settings": settings, "validation": abs(math.log2(rate / 7e-3)),
            "test": 4.0 - rate, "gave_up": not trial and rate > 4e-3, "seconds": 90.0}))

    monkeypatch.setattr(budget, "run", run)
    monkeypatch.setattr(budget, "write_images", lambda *_, search=False: None)
    monkeypatch.setattr(budget, "MOVES", ((1.0, 2.0),))
    page = tmp_path / "README.md"
    page.write_text("<!-- budget: begin -->\n<!-- budget: end -->\n")
    arguments = [f"--runs={tmp_path}", "--systems", "tfb.Glow", "--search_minutes=3", "--at_once=2",
                 f"--results={tmp_path / 'results.json'}", f"--readme={page}"]
    for _ in range(2):  # The second time nothing is trained.
        budget.main(arguments)
        assert started == [(2e-3, True), (4e-3, True), (8e-3, True), (16e-3, True), (8e-3, False), (4e-3, False)]
    result = json.loads((tmp_path / "results.json").read_text())["measured"]["tfb.Glow"]
    assert result["settings"]["system"]["learning_rate"] == 4e-3 and result["test"] == 4.0 - 4e-3
    assert result["failed"] == [{"batch_size": 32, "learning_rate": 8e-3, "minutes": 1.5}]
    assert ("tfb.Glow: batches of 32 and the learning rate 0.004, the best of 4 trials of 3 minutes, 2 of which ran at "
            "a time, each on one core, except the following. With batches of 32 and the learning rate 0.008, no step "
            "had a finite loss after 1.5 minutes.") in page.read_text()


@pytest.mark.slow
def test_a_system_is_trained_in_a_process_of_its_own(tmp_path, monkeypatch):
    monkeypatch.setitem(budget.OURS, "ours, plain", "fashion_mnist_glow_smoke")
    (tmp_path / "README.md").write_text("<!-- budget: begin -->\n<!-- budget: end -->\n")
    budget.main([f"--runs={tmp_path}", "--systems", "ours, plain", f"--results={tmp_path / 'results.json'}",
                 f"--readme={tmp_path / 'README.md'}", "--minutes=0.01", "--data=digits", "--limit=20"])
    result = json.loads((tmp_path / "results.json").read_text())["measured"]["ours, plain"]
    assert result["steps"] > 1 and 1.0 < result["test"] < 20.0


def test_the_readme_shows_the_results():
    record = json.loads((harness.ROOT / "benchmarks" / "results" / "budget.json").read_text())
    assert budget.markdown(record) in (harness.ROOT / "benchmarks" / "README.md").read_text()


def test_the_readme_shows_the_results_on_cifar10():
    record = json.loads((harness.ROOT / "benchmarks" / "results" / "cifar10.json").read_text())
    assert budget.markdown(record) in (harness.ROOT / "benchmarks" / "README.md").read_text()
    glow = record["measured"]["Glow"]
    assert glow["settings"]["minutes"] == 30.0 and not glow["settings"]["limit"]
    card = (harness.ROOT / "pretrained" / "cifar10_glow" / "README.md").read_text()
    bits = float(re.search(r"test images\*\* \| \*\*([\d.]+)\*\*", card)[1])
    assert f"{bits:.2f} bits/dim on the test images of CIFAR-10" in (harness.ROOT / "README.md").read_text()
    assert f"**{bits:.3f} bits/dim** on all 10,000 test images" in " ".join(
        (harness.ROOT / "docs" / "results.md").read_text().split())


def test_the_docs_have_the_numbers_of_the_peers_on_cifar10():
    record = json.loads((harness.ROOT / "benchmarks" / "results" / "cifar10_peers.json").read_text())
    assert budget.markdown(record) in (harness.ROOT / "benchmarks" / "README.md").read_text()
    test = {name: result["test"] for name, result in record["measured"].items()}
    ours, normflows, tfb_glow = test["PixelCNN"], test["normflows, Adam, bfloat16"], test["tfb.Glow"]
    guides = {name: " ".join((harness.ROOT / "docs" / name).read_text().split())
              for name in ("results.md", "guides/choosing.md")}
    assert (f"PixelCNN has {normflows - ours:.2f} bits/dim less than normflows and {tfb_glow - ours:.2f} less than "
            "`tfb.Glow`") in guides["results.md"]
    assert (f"our Glow has {normflows - test['Glow']:.2f} bits/dim less than normflows, and our pyramid of couplings "
            f"has {normflows - test['couplings']:.2f} less") in guides["results.md"]
    assert (f"PixelCNN had {ours:.3f} bits/dim after 30 minutes, the pyramid of couplings {test['couplings']:.3f}, and "
            f"Glow {test['Glow']:.3f}.") in guides["guides/choosing.md"]
    record = json.loads((harness.ROOT / "benchmarks" / "results" / "cifar10_peers_float32.json").read_text())
    assert budget.markdown(record) in (harness.ROOT / "benchmarks" / "README.md").read_text()
    glow, couplings, normflows = (record["measured"][name]["test"] for name in ("Glow", "couplings", "normflows, Adam"))
    assert (f"our Glow had {glow:.3f} bits/dim after 30 minutes, our pyramid of couplings {couplings:.3f} and "
            f"normflows {normflows:.3f}") in guides["results.md"]
