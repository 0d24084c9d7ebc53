# SPDX-License-Identifier: Apache-2.0
"""Every smoke preset: training, evaluation, sampling and SavedModel, on random data of the shape of the preset.

test_smoke_eager.py runs the smoke presets of RealNVP, of pyramids, of PixelCNN, and of `cifar10_glow` and
`cifar10_glow_classes`.
"""

import contextlib
import dataclasses

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf
import test_commands
import test_label_trainers
import test_vectors

from trainers import data, presets, train
from trainers.evaluation import scores
from trainers.runs import trained_models
from trainers.runs.configuration import configure
from trainers.runs.run_directory import RunDirectory
from trainers.training.training_batches import training_batches

SMOKE = [name for name in presets.PRESETS if name.endswith("_smoke")]
# Maps each smoke preset that another file runs to the test that runs it.
ELSEWHERE = {
    "digits_glow_smoke": test_commands.test_digits_run_writes_all_files,
    **{f"digits_{system}_smoke": test_commands.test_digits_runs_of_the_other_systems
       for system in ("nice", "maf", "iaf")},
    "digits_glow_classes_smoke": test_label_trainers.test_run_keeps_classes_and_accuracy,
    "fashion_mnist_glow_smoke": test_commands.test_fashion_mnist_run,
    "glow_cifar10_smoke": test_commands.test_cifar10_run_and_more_epochs,
    "toy_realnvp_smoke": test_vectors.test_toy_run,
}
SHAPES = {"digits": (8, 8, 1), "mnist": (28, 28, 1), "cifar10": (32, 32, 3), "imagenet32": (32, 32, 3),
          "imagenet64": (64, 64, 3), "lsun": (64, 64, 3), "celeba64": (64, 64, 3), "celebahq256": (256, 256, 3)}


def shape_of(name):
    """Returns the image shape of the data set of a preset, or None for vectors."""
    return next((shape for size, shape in SHAPES.items() if size in name), None)


def distinct(names):
    """Removes each name whose preset equals the preset of an earlier name."""
    found = []
    for name in names:
        if not any(presets.get(name) == presets.get(other) for other in found):
            found.append(name)
    return found


HERE = [name for name in distinct([*ELSEWHERE, *SMOKE]) if name not in ELSEWHERE]
# RealNVP, pyramids and PixelCNN trace a graph per layer. Graphs like those of the two Glows train in
# `glow_imagenet32_smoke` and in the runs of the digits.
EAGER = [name for name in HERE if presets.get(name).flow["flow"] in ("realnvp", "pyramid", "pixelcnn")
         or name.startswith("cifar10_glow")]


def test_every_smoke_preset_has_a_run():
    """Smoke presets that are equal in every field share a run."""
    shared = {name: run for name in SMOKE for run in (*ELSEWHERE, *HERE) if presets.get(name) == presets.get(run)}
    assert set(shared) == set(SMOKE) >= set(ELSEWHERE)
    assert {name: run for name, run in shared.items() if name != run} == {
        "glow_imagenet64_smoke": "glow_imagenet32_smoke", "realnvp_imagenet64_smoke": "realnvp_imagenet32_smoke",
        "jet_large_imagenet64_smoke": "jet_imagenet64_smoke"}


def write_data(name, folder, number=40):
    """Writes random images or vectors for a preset and returns the value of `--data`.

    Class-conditional presets get images of two classes.
    """
    random, preset, shape = np.random.default_rng(0), presets.get(name), shape_of(name)
    if shape is None:
        np.save(folder / "points.npy", random.normal(size=(number, 2)))
        return f"array:{folder / 'points.npy'}"
    side = max(shape[0], preset.crop or 0)
    for k in range(number):
        pixels = random.integers(0, 256, (side, side, shape[2]), dtype="uint8")
        path = folder / "images" / ("ab"[k % 2] if preset.class_conditional else "") / f"{k}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        PIL.Image.fromarray(np.squeeze(pixels)).save(path)
    return f"folder:{folder / 'images'}"


def check_run(name, context, tmp_path, capsys):
    """Trains a preset for one epoch in a context, evaluates it, draws samples and runs the exported signature."""
    spec, run = write_data(name, tmp_path), RunDirectory(tmp_path / "run")
    with context:
        assert train.main(["train", f"--preset={name}", f"--data={spec}", f"--output_dir={run}", "--epochs=1"]) == 0
    result = test_commands.evaluated_and_sampled(run, spec, tmp_path / "samples.png", capsys)
    (line,), config = run.history(), run.config()
    assert 0.0 < line["val_bits_per_dim"] < 20.0 and line["skipped_steps"] == 0 and result["num_examples"] == 4
    events, labels = next(iter(scores.split_batches(
        config, data.load_for_run(spec, config), "test", 4, labels=True)))
    points = {"images": tf.cast(events, tf.float32)}
    if config["num_bits"]:
        assert events.shape[1:] == shape_of(name)
        points["images"] += np.random.default_rng(0).random(events.shape)
    if presets.get(name).class_conditional:
        points["labels"] = tf.cast(labels, tf.int32)
    served = tf.saved_model.load(str(run.saved_models / "1")).signatures["bits_per_dim"]
    assert np.mean(served(**points)["bits_per_dim"]) == pytest.approx(result["bits_per_dim"], rel=1e-5)


# Other presets here have the same flow, over smaller images. tests/flows/test_flows.py trains and saves a Jet.
SLOW = ("jet_imagenet64_smoke", "cifar10_jet_smoke", "glow_lsun_smoke", "glow_celebahq256_smoke")


@pytest.mark.parametrize("name", [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
                                  for name in HERE if name not in EAGER])
def test_smoke_preset_runs(name, tmp_path, capsys):
    check_run(name, contextlib.nullcontext(), tmp_path, capsys)


@pytest.mark.parametrize("name", ["glow_celebahq256", pytest.param("realnvp_lsun", marks=pytest.mark.slow)])
def test_the_deepest_flows_train_for_one_step(name):
    """Trains a narrow flow with all levels of the paper for one eager step. Tracing would take longer than the step."""
    published, small = presets.get(name), presets.get(f"{name}_smoke")
    depth = {field: published.flow[field] for field in ("num_levels", "num_scales") if field in published.flow}
    preset = dataclasses.replace(
        small, flow={**small.flow, **depth}, batch_size=2, init_batch_size=2, warmup_epochs=0)
    pixels = np.random.default_rng(0).integers(0, 256, (8, *shape_of(name)), dtype="uint8")
    examples = tf.data.Dataset.from_tensor_slices((pixels, np.zeros(8, "int64")))
    images = data.ImageData("noise", shape_of(name), 256, None, dict.fromkeys(data.SPLITS, examples))
    config = configure(name, preset, "noise", images)
    model = trained_models.build(config)
    trained_models.compile_model(model, config)
    model.run_eagerly = True
    batches = training_batches(config, images, 0)
    model.initialize(next(iter(batches)))
    before = [v.numpy() for v in model.trainable_variables]
    history = model.fit(batches, steps_per_epoch=1, shuffle=False, verbose=0).history
    assert model.optimizer.iterations == 1 and 0.0 < history["bits_per_dim"][0] < 20.0
    assert any(np.any(v.numpy() != old) for v, old in zip(model.trainable_variables, before, strict=True))
    assert all(np.isfinite(v.numpy()).all() for v in model.trainable_variables)
    events = model.distribution.sample(2, seed=(0, 1))
    assert events.shape == (2, *shape_of(name)) and np.isfinite(events).all()
