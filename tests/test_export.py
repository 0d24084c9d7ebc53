# SPDX-License-Identifier: Apache-2.0
"""The exported SavedModel, loaded and run by a process that imports TensorFlow alone."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

import tfp_glow

CLIENT = """
import sys
for module in ("tfp_glow", "tensorflow_probability", "keras", "tf_keras"):
    sys.modules[module] = None  # Importing it fails, for TensorFlow too, which tries Keras.
import numpy as np
import tensorflow as tf
path, data, out = sys.argv[1:]
signatures = tf.saved_model.load(path).signatures
images = np.load(data)
results = {}
for size in (1, 7, len(images)):
    for name in ("log_prob", "bits_per_dim", "encode"):
        outputs = signatures[name](images=tf.constant(images[:size]))
        assert len(outputs) == 1
        results[f"{name}_{size}"] = next(iter(outputs.values())).numpy()
latents = signatures["encode"](images=tf.constant(images))["latents"]
results["decode"] = signatures["decode"](latents=latents)["images"].numpy()
results["default"] = signatures["serving_default"](images=tf.constant(images))["log_prob"].numpy()
for number in (2, 5):
    results[f"sample_{number}"] = signatures["sample"](
        number=tf.constant(number), temperature=tf.constant(0.7), seed=tf.constant(3))["images"].numpy()
np.savez(out, **results)
"""


@pytest.fixture(scope="module")
def model():
    flow = tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=2, width=4, seed=0)
    model = tfp_glow.FlowModel(flow)
    images = np.random.RandomState(0).uniform(0, 256, (32, 4, 4, 1)).astype("float32")
    model.initialize(images)
    for variable in flow.trainable_variables:
        variable.assign_add(tf.random.stateless_normal(variable.shape, (1, 2), stddev=0.05))
    return model


def test_tensorflow_alone_loads_and_runs_it_with_equal_results(model, tmp_path):
    path = tfp_glow.export_saved_model(model, tmp_path / "serving" / "1")
    images = np.random.RandomState(1).uniform(0, 256, (11, 4, 4, 1)).astype("float32")
    np.save(tmp_path / "images.npy", images)
    subprocess.run([sys.executable, "-c", CLIENT, path, tmp_path / "images.npy", tmp_path / "results.npz"], check=True,
                   cwd=tmp_path)
    results = np.load(tmp_path / "results.npz")
    for size in (1, 7, 11):
        for name in ("log_prob", "bits_per_dim", "encode"):
            np.testing.assert_allclose(results[f"{name}_{size}"], getattr(model, name)(images[:size]), rtol=1e-5)
    np.testing.assert_array_equal(results["default"], results["log_prob_11"])
    np.testing.assert_array_equal(results["decode"], model.decode(model.encode(images)))
    for number in (2, 5):
        np.testing.assert_array_equal(results[f"sample_{number}"], model.sample(number, temperature=0.7, seed=3))


def test_an_existing_directory_is_never_overwritten(model, tmp_path):
    (tmp_path / "precious").write_text("data")
    with pytest.raises(ValueError, match="`path` must be absent or an empty directory"):
        tfp_glow.export_saved_model(model, tmp_path)
    assert (tmp_path / "precious").read_text() == "data"
