# SPDX-License-Identifier: Apache-2.0
"""`FlowModel` with batches divided among cores, against whole batches."""

import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import tensorflow as tf

import tfp_glow
from tfp_glow.models import cores
from trainers._command_line import _run_gains_from_parts, gains_from_parts

SHAPE = (4, 4, 1)
IMAGES = np.random.RandomState(0).randint(0, 256, (26, *SHAPE)).astype("uint8")
LABELS = np.arange(26) % 3
WEIGHTS = np.linspace(0.5, 2.0, 26)


def make_model(**options):
    # With float64, the order of a sum does not matter in 9 digits.
    flow = tfp_glow.glow(SHAPE, num_levels=1, num_steps=1, width=4, seed=0, dtype="float64", **options)
    model = tfp_glow.FlowModel(flow, weight_y=0.1 if options.get("num_classes") else 0.0)
    model.initialize(IMAGES, *([LABELS] if options.get("num_classes") else []))
    return model


def trained(model, *data, **arguments):
    """Trains a model with weighted examples, and returns its losses and weights."""
    model.compile(keras.optimizers.Adam(1e-2), **arguments)
    history = model.fit(
        *data, sample_weight=WEIGHTS, batch_size=13, epochs=2, verbose=0, shuffle=False).history
    evaluated = model.evaluate(*data, batch_size=11, return_dict=True, verbose=0)
    return [*history.values(), *evaluated.values(), *model.get_weights(), model.predict(data[0][:9], verbose=0)]


@pytest.mark.parametrize(("options", "data"), [
    ({}, (IMAGES.astype("float64") + 0.25,)),
    pytest.param({"num_classes": 3}, (IMAGES, LABELS), marks=pytest.mark.slow),
], ids=["floats", "classes"])
def test_training_evaluation_and_prediction_do_not_depend_on_the_parts(monkeypatch, options, data):
    results, calls = [], []
    run = cores.run_in_parts
    monkeypatch.setattr(cores, "run_in_parts", lambda *given: calls.append(given[2]) or run(*given))
    for number in (1, 3):
        monkeypatch.setattr(cores, "parts_per_batch", lambda number=number: number)
        model = make_model(**options)
        if options:
            model.predict = lambda x, *, _of=model.predict, **given: _of((x, LABELS[:len(x)]), **given)[0]
        results.append(trained(model, *data))
        assert bool(calls) == (number > 1)
    for whole, divided in zip(*results, strict=True):
        np.testing.assert_allclose(divided, whole, rtol=1e-8, atol=1e-9)


@pytest.mark.slow
def test_integers_and_unguarded_steps(monkeypatch):
    results = []
    for number, guard in ((1, True), (3, False)):
        monkeypatch.setattr(cores, "parts_per_batch", lambda number=number: number)
        model = make_model()
        model.compile(keras.optimizers.Adam(1e-2), skip_nonfinite=guard)
        model.fit(IMAGES, sample_weight=WEIGHTS, batch_size=13, verbose=0, shuffle=False)
        results.append(model.get_weights())
    for whole, divided in zip(*results, strict=True):
        np.testing.assert_allclose(divided, whole, rtol=1e-8, atol=1e-9)


def test_densities_latents_and_samples_do_not_depend_on_the_parts(monkeypatch):
    sizes, results = (0, 1, 26), []
    for number in (1, 3):
        monkeypatch.setattr(cores, "parts_per_batch", lambda number=number: number)
        model = make_model()
        results.append([value for size in sizes for value in (
            model.log_prob(IMAGES[:size]), model.encode(IMAGES[:size], verify=False), model.sample(size, seed=1))])
        for size, latents in zip(sizes, results[-1][1::3], strict=True):
            np.testing.assert_array_equal(model.decode(latents), IMAGES[:size])
    for whole, divided in zip(*results, strict=True):
        np.testing.assert_allclose(divided, whole, rtol=1e-9, atol=1e-9)


def test_vectors_are_divided_into_parts_of_at_least_128(monkeypatch):
    results = []
    for number in (1, 3):
        monkeypatch.setattr(cores, "parts_per_batch", lambda number=number: number)
        model = tfp_glow.FlowModel(tfp_glow.nsf(2, num_steps=1, width=4, num_blocks=1, seed=0, dtype="float64"))
        model.compile(keras.optimizers.Adam(1e-2))
        model.fit(np.random.RandomState(0).standard_normal((384, 2)), batch_size=384, verbose=0)
        results.append(model.get_weights())
    for whole, divided in zip(*results, strict=True):
        np.testing.assert_allclose(divided, whole, rtol=1e-8, atol=1e-9)
    for size, sizes in ((255, [255]), (256, [128] * 2), (512, [171, 171, 170])):
        least = cores.events_per_part([model.distribution])
        of_parts = cores.divided(lambda part: tf.fill(tf.shape(part[0])[:1], tf.shape(part[0])[0]),
                                 (tf.zeros((size, 2)),), 3, least, "concat")
        assert sorted(set(of_parts.numpy()), reverse=True) == sorted(set(sizes), reverse=True)
    assert cores.events_per_part([make_model().distribution]) == 4
    # The commands decide before TensorFlow is imported, from the preset or from the run directory.
    run_dir = SimpleNamespace(value=tfp_glow.pretrained.directory("digits_glow"))
    assert _run_gains_from_parts({"run_dir": run_dir})
    assert not gains_from_parts({"flow": "nsf"}, 2 * least - 1) and gains_from_parts({"flow": "nsf"}, 2 * least)


@pytest.mark.slow
def test_steps_with_running_statistics_and_losses_of_a_subclass_get_the_whole_batch(monkeypatch):
    class OwnLoss(tfp_glow.FlowModel):
        def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
            return tf.reduce_max(-y_pred)

    for is_own in (True, False):
        results = []
        for number in (1, 3):
            monkeypatch.setattr(cores, "parts_per_batch", lambda number=number: number)
            if is_own:
                model = OwnLoss(make_model().distribution)
            else:
                flow = tfp_glow.realnvp(SHAPE, num_scales=1, num_blocks=1, width=4, seed=0, dtype="float64")
                model = tfp_glow.FlowModel(flow)
            model.compile(keras.optimizers.Adam(1e-2))
            model.fit(IMAGES, batch_size=13, verbose=0, shuffle=False)
            results.append(model.get_weights())
        for whole, divided in zip(*results, strict=True):
            np.testing.assert_allclose(divided, whole, rtol=1e-8, atol=1e-9)


def test_an_export_does_not_depend_on_the_cores(monkeypatch, tmp_path):
    monkeypatch.setattr(cores, "parts_per_batch", lambda: 3)
    monkeypatch.setattr(cores, "run_in_parts", lambda *_: pytest.fail("an exported graph is divided"))
    tfp_glow.export_saved_model(make_model(), str(tmp_path / "1"))


def test_the_function_sets_the_threads_of_a_new_process_and_refuses_a_late_call():
    program = """
import os, tensorflow as tf, tfp_glow
from tfp_glow.models import cores
assert cores.parts_per_batch() == 1
number = tfp_glow.divide_batches_among_cores()
assert number == len(os.sched_getaffinity(0)) == cores.parts_per_batch(), number
assert tf.config.threading.get_intra_op_parallelism_threads() == 1
assert tf.config.optimizer.get_experimental_options()["remapping"] is False
tf.constant(1.0)
assert tfp_glow.divide_batches_among_cores() == number
"""
    subprocess.run([sys.executable, "-c", program], check=True)
    tf.constant(1.0)
    with pytest.raises(RuntimeError, match="divide_batches_among_cores must be called before TensorFlow"):
        tfp_glow.divide_batches_among_cores()
