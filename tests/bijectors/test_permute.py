# SPDX-License-Identifier: Apache-2.0
"""Tests the int64 order of permutations, and that it loads from files of earlier versions, whose order was int32."""

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf
from constructors import dense
from small_flows import SMALL_FLOWS, events

import tfp_glow
from tfp_glow import bijectors as tfgb

pytestmark = pytest.mark.matrix

ORDER = [2, 0, 3, 1]


def permutation():
    return tfgb.Permute((4,), ORDER)


def shuffles():
    return tfgb.Repeat(lambda: tfgb.Steps([
        tfgb.Shuffle((4,)), tfgb.AdditiveCoupling((4,), dense(2, "float32"))]), num_steps=3)


def orders(bijector):
    """Returns the values of the integer variables of a bijector, which are all int64."""
    variables = [v for v in bijector.keras_variables if "int" in v.dtype]
    assert [v.dtype for v in variables] == ["int64"]
    return variables[0].numpy()


@pytest.mark.parametrize("name", SMALL_FLOWS)
def test_no_flow_has_an_int32_variable(name):
    """TensorFlow keeps int32 variables on the CPU, where XLA on a GPU cannot read them."""
    model = tfp_glow.FlowModel(SMALL_FLOWS[name]())
    model.compile("adam")
    assert {v.dtype for v in [*model.variables, *model.optimizer.variables]} <= {"float32", "int64", "bool"}


@pytest.mark.parametrize("make", [permutation, shuffles])
def test_checkpoints_store_int32_as_earlier_versions_did(make, tmp_path):
    source, target = make(), make()
    path = tf.train.Checkpoint(flow=source).write(str(tmp_path / "checkpoint"))
    dtypes = tf.train.load_checkpoint(path).get_variable_to_dtype_map().values()
    assert tf.int32 in dtypes and tf.int64 not in dtypes
    variable = next(v for v in target.keras_variables if "int" in v.dtype)
    variable.assign(np.zeros(variable.shape))
    tf.train.Checkpoint(flow=target).read(path).assert_consumed()
    np.testing.assert_array_equal(orders(target), orders(source))


def test_a_checkpoint_of_an_int32_variable_is_read(tmp_path):
    earlier = tf.Module()
    earlier.order = tf.Variable([3, 2, 1, 0], dtype=tf.int32)
    path = tf.train.Checkpoint(flow=earlier).write(str(tmp_path / "checkpoint"))
    bijector = permutation()
    tf.train.Checkpoint(flow=bijector).read(path).assert_existing_objects_matched()
    np.testing.assert_array_equal(orders(bijector), [3, 2, 1, 0])


def test_asynchronous_checkpoints(tmp_path):
    checkpoint = tf.train.Checkpoint(flow=permutation())
    path = checkpoint.write(str(tmp_path / "checkpoint"), tf.train.CheckpointOptions(
        experimental_enable_async_checkpoint=True))
    checkpoint.sync()
    bijector = tfgb.Permute((4,), [0, 1, 2, 3])
    tf.train.Checkpoint(flow=bijector).read(path).assert_existing_objects_matched().expect_partial()
    np.testing.assert_array_equal(orders(bijector), ORDER)


def test_replicas_read_and_write_checkpoints(tmp_path):
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    with strategy.scope():
        mirrored = tfgb.Permute((4,), [0, 1, 2, 3])
    path = tf.train.Checkpoint(flow=permutation()).write(str(tmp_path / "one"))
    tf.train.Checkpoint(flow=mirrored).read(path).assert_consumed()
    for value in strategy.experimental_local_results(mirrored.order.value):
        np.testing.assert_array_equal(value, ORDER)
    path = tf.train.Checkpoint(flow=mirrored).write(str(tmp_path / "two"))
    bijector = tfgb.Permute((4,), [0, 1, 2, 3])
    tf.train.Checkpoint(flow=bijector).read(path).assert_consumed()
    np.testing.assert_array_equal(orders(bijector), ORDER)


def test_saved_models_and_checkpoints_in_turn(tmp_path):
    """A SavedModel holds a plain int64 variable, and a checkpoint int32, in any order of writing and reading."""
    module = tf.Module()
    module.bijector = permutation()
    module.function = tf.function(module.bijector.inverse, input_signature=[tf.TensorSpec((None, 4))])
    checkpoint = tf.train.Checkpoint(flow=module.bijector)
    before = checkpoint.write(str(tmp_path / "before"))
    tf.saved_model.save(module, str(tmp_path / "model"))
    checkpoint.read(before).assert_consumed()
    tf.saved_model.save(module, str(tmp_path / "again"))
    after = checkpoint.write(str(tmp_path / "after"))
    bijector = tfgb.Permute((4,), [0, 1, 2, 3])
    tf.train.Checkpoint(flow=bijector).read(after).assert_consumed()
    np.testing.assert_array_equal(orders(bijector), ORDER)
    for name in ("model", "again"):
        loaded = tf.saved_model.load(str(tmp_path / name))
        np.testing.assert_array_equal(loaded.function(tf.constant([[0.0, 1.0, 2.0, 3.0]])), [ORDER])


def test_keras_files_with_int32(tmp_path):
    source, target = (tfp_glow.FlowModel(SMALL_FLOWS["glow_additive_shuffle"](seed=seed)) for seed in (1, 2))
    path, x = tmp_path / "flow.weights.h5", events(source.distribution)
    source.initialize(x)
    source.save_weights(path)
    changed = []

    def to_int32(name, item):
        if isinstance(item, h5py.Dataset) and item.dtype == np.int64:
            changed.append(name)

    with h5py.File(path, "r+") as file:
        file.visititems(to_int32)
        for name in changed:
            value = file[name][()].astype("int32")
            del file[name]
            file[name] = value
    assert changed
    target.load_weights(path)
    np.testing.assert_array_equal(target.log_prob(x), source.log_prob(x))


def test_values_are_unchanged():
    x = tf.constant([[10.0, 11.0, 12.0, 13.0]])
    np.testing.assert_array_equal(permutation().inverse(x), [[12.0, 10.0, 13.0, 11.0]])
    np.testing.assert_array_equal(permutation().forward(permutation().inverse(x)), x)
    with pytest.raises(ValueError, match="must be a permutation of range"):
        tfgb.Permute((4,), keras.ops.convert_to_numpy([0, 1, 2, 2]))
