# SPDX-License-Identifier: Apache-2.0
"""Model files are the same in all versions of Keras."""

import h5py
import keras
import pytest
from small_flows import SMALL_FLOWS

import tfp_glow

pytestmark = pytest.mark.matrix


def layers_in(value):
    """Returns the layers in a list, tuple or dict, also in nested ones."""
    if isinstance(value, keras.layers.Layer):
        return [value]
    if isinstance(value, (list, tuple, dict)):
        return sum(map(layers_in, value.values() if isinstance(value, dict) else value), [])
    return []


@pytest.mark.parametrize("name", ["glow", "realnvp", "pyramid", "jet", "maf"])
def test_no_layer_is_in_a_nested_list(name):
    """Keras before 3.15 does not save such a layer."""
    for layer in tfp_glow.FlowModel(SMALL_FLOWS[name]())._flatten_layers():
        for attribute, value in vars(layer).items():
            # Keras skips these attributes when it saves.
            if isinstance(value, (list, tuple, dict)) and attribute not in ("_layers", "_tracker"):
                members = value.values() if isinstance(value, dict) else value
                assert not any(layers_in(member) for member in members if not isinstance(member, keras.layers.Layer)), (
                    layer, attribute)


@pytest.mark.parametrize(("name", "first", "second"), [
    ("realnvp", "weight_norm_conv2d", "weight_norm_conv2d_1"), ("pyramid", "conv2d", "conv2d_1")])
def test_blocks_have_the_paths_that_keras_3_15_gives_tuples(tmp_path, name, first, second):
    tfp_glow.FlowModel(SMALL_FLOWS[name]()).save_weights(tmp_path / "flow.weights.h5")
    paths = []
    with h5py.File(tmp_path / "flow.weights.h5") as file:
        file.visit(paths.append)
    for layer in (first, second):
        assert any(path.endswith(f"/blocks/container/{layer}/vars/0") for path in paths)
    assert not any("/conv_0_0/" in path for path in paths)
