# SPDX-License-Identifier: Apache-2.0
"""Many samples and long interpolations are computed in batches, and the pictures stay the same."""

import numpy as np
import PIL.Image
import pytest
from small_flows import eagerly

import tfp_glow
from trainers import _memory, interpolate, sample
from trainers.evaluation.sampling import sample_in_batches


@pytest.fixture(scope="module")
def model():
    model = tfp_glow.FlowModel(tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=1, width=4, num_classes=3, seed=1))
    model.initialize(np.random.RandomState(0).randint(0, 256, (30, 4, 4, 1)).astype("uint8"), np.arange(30) % 3)
    return model


def test_samples_in_batches(model):
    labels = np.arange(10) % 3
    whole = sample_in_batches(model, 10, 10, 0.7, 5, labels)
    np.testing.assert_array_equal(whole, model.sample(10, temperature=0.7, seed=5, condition=labels))
    parts = sample_in_batches(model, 10, 4, 0.7, 5, labels)
    assert parts.shape == (10, 4, 4, 1) and parts.dtype == np.uint8
    np.testing.assert_array_equal(parts[:4], model.sample(4, temperature=0.7, seed=5, condition=labels[:4]))
    np.testing.assert_array_equal(parts, sample_in_batches(model, 10, 4, 0.7, 5, labels))
    assert len({image.tobytes() for image in parts}) == 10
    assert len({image.tobytes() for image in sample_in_batches(model, 10, 4, 0.7, 5, 1)}) == 10


def test_a_batch_does_not_depend_on_the_machine(digits_run):
    config = digits_run.config()
    assert _memory.values_per_event(config) == 64 + 8 * 16 and _memory.values_per_event(config, 3) == 9 * (64 + 8 * 16)
    assert [_memory.batch_size(config, number) for number in (9, 10**6)] == [9, 2**25 // 192]
    assert _memory.batch_size(config, 10**6, enlarge=1000) == 64


def test_many_samples_and_rows(digits_run, tmp_path, monkeypatch):
    pictures = []
    for values in (2**25, 0):  # With 0, a batch has 64 images.
        monkeypatch.setattr(_memory, "_BATCH_VALUES", values)
        for main, flags in ((sample.main, ["--num=130"]),
                            (interpolate.main, ["--data=digits", "--num=6", "--steps=30"])):
            out = tmp_path / f"{values}.png"
            with eagerly():
                assert main(["program", f"--run_dir={digits_run}", f"--out={out}", *flags]) == 0
            with PIL.Image.open(out) as picture:
                pictures.append(np.array(picture))
    (samples, rows, samples_in_batches, rows_in_batches) = pictures
    np.testing.assert_array_equal(rows, rows_in_batches)
    assert samples.shape == samples_in_batches.shape
    factor = samples.shape[1] // (9 * 12 + 1)
    first_row = slice(0, 9 * factor)
    np.testing.assert_array_equal(samples[first_row], samples_in_batches[first_row])
    assert not np.array_equal(samples, samples_in_batches)
