# SPDX-License-Identifier: Apache-2.0
"""Every preset's small twin, on images of the size it is for.

Whole runs of the digits' and the toys' presets, and one of Glow's and Fashion-MNIST's each, are in test_trainers.py and
test_vectors.py: every kind of flow trains, evaluates, samples and exports there.
"""

import dataclasses
import json

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from trainers import data, evaluate, models, presets, sample, train
from trainers.run_dir import RunDir
from trainers.training import configure, training_batches

SHAPES = {"cifar10": (32, 32, 3), "imagenet32": (32, 32, 3), "imagenet64": (64, 64, 3), "lsun": (64, 64, 3),
          "celeba64": (64, 64, 3), "celebahq256": (256, 256, 3), "mnist": (28, 28, 1)}
ELSEWHERE = ("digits", "toy")
TWINS = [name for name in presets.PRESETS if name.endswith("_smoke") and not name.startswith(ELSEWHERE)]


def shape_of(name):
    return next(shape for size, shape in SHAPES.items() if size in name)


# One of those that are equal, as ImageNet's, CelebA's and LSUN's are for RealNVP.
DISTINCT = list({(shape_of(name), *sorted(presets.get(name).flow.items())): name
                 for name in TWINS if not name.startswith(("fashion_mnist_glow", "glow_cifar10"))}.values())


def noise(name, number=24):
    """An image set of noise, of the size that a preset is for."""
    images = np.random.default_rng(0).integers(0, 256, (number, *shape_of(name)), dtype="uint8")
    examples = tf.data.Dataset.from_tensor_slices((images, np.zeros(number, "int64")))
    return data.ImageData("noise", shape_of(name), 256, None, dict.fromkeys(("train", "validation", "test"), examples))


@pytest.mark.parametrize("name", DISTINCT)
def test_every_small_twin_takes_a_step(name):
    """Eagerly, as tracing takes longer than the step."""
    preset = dataclasses.replace(presets.get(name), batch_size=2, init_batch_size=2, warmup_epochs=0)
    images = noise(name)
    config = configure(name, preset, "noise", images)
    model = models.build(config)
    models.compile_model(model, config)
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


@pytest.mark.slow
@pytest.mark.parametrize("name", TWINS)
def test_every_small_twin_runs_whole(name, tmp_path, capsys):
    folder, run = tmp_path / "images", RunDir(tmp_path / "run")
    folder.mkdir()
    height, width, channels = shape_of(name)
    side = max(height, getattr(presets.get(name), "crop", None) or 0)
    for number in range(40):
        pixels = np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype="uint8")
        PIL.Image.fromarray(pixels if channels == 3 else pixels[..., 0]).save(folder / f"{number}.png")
    assert train.main(["train", f"--preset={name}", f"--data=folder:{folder}", f"--output_dir={run}", "--epochs=1",
                       "--batch_size=8"]) == 0
    capsys.readouterr()
    assert evaluate.main(["evaluate", f"--run_dir={run}", f"--data=folder:{folder}"]) == 0
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["num_examples"] == 4 and 0.0 < result["bits_per_dim"] < 20.0
    assert sample.main(["sample", f"--run_dir={run}", "--num=4", f"--out={tmp_path / 'grid.png'}"]) == 0
    model, _ = models.load(run)
    signatures = tf.saved_model.load(str(run.saved_models / "1")).signatures
    points = tf.random.stateless_uniform((3, *model.event_shape), (1, 2), maxval=2.0**model.num_bits)
    np.testing.assert_allclose(signatures["log_prob"](images=points)["log_prob"], model.log_prob(points), rtol=1e-5)
    assert model.event_shape == shape_of(name)
