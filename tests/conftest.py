# SPDX-License-Identifier: Apache-2.0
"""Quiet logs, four logical CPU devices, float32 products in full precision and fixed seeds for every test."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 4)
tf.config.experimental.enable_tensor_float_32_execution(False)  # GPUs would round the factors of float32 products.


@pytest.fixture(autouse=True)
def _seeds():
    keras.utils.set_random_seed(7)


@pytest.fixture(scope="session", autouse=True)
def _data_dir(tmp_path_factory):
    """Stores prepared data sets once for all tests, in a temporary directory."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TFP_GLOW_DATA_DIR", str(tmp_path_factory.mktemp("data")))
        yield


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    """A temporary directory for the prepared data sets of one test module."""
    with pytest.MonkeyPatch.context() as patch:
        directory = tmp_path_factory.mktemp("cache")
        patch.setenv("TFP_GLOW_DATA_DIR", str(directory))
        yield directory


@pytest.fixture(scope="session", autouse=True)
def _plain_runs():
    """Turns off TensorBoard events and reports by default. Each of them takes as long as the training in a test."""
    from trainers import train

    define = train.flag_values

    def flag_values():
        values = define()
        values.set_default("tensorboard", False)
        values.set_default("report", False)
        return values
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "flag_values", flag_values)
        yield


@pytest.fixture(scope="session")
def digits_run(tmp_path_factory):
    """A finished run of two epochs with a moving average of the weights. Tests must not change it."""
    from trainers import train
    from trainers.runs.run_directory import RunDirectory

    directory = tmp_path_factory.mktemp("runs") / "digits"
    assert train.main(["train", "--preset=digits_glow_smoke", "--data=digits", f"--output_dir={directory}"]) == 0
    return RunDirectory(directory)


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """A tiny Glow with parameters away from their initial values, and the path of its SavedModel.

    Tests must not change the model or the SavedModel.
    """
    import numpy as np

    import tfp_glow

    model = tfp_glow.FlowModel(tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=2, width=4, seed=0))
    model.initialize(np.random.RandomState(0).uniform(0, 256, (32, 4, 4, 1)).astype("float32"))
    for variable in model.distribution.trainable_variables:
        variable.assign_add(tf.random.stateless_normal(variable.shape, (1, 2), stddev=0.05))
    return model, tfp_glow.export_saved_model(model, tmp_path_factory.mktemp("served") / "1")
