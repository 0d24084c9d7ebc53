# SPDX-License-Identifier: Apache-2.0
"""Inputs and expected outputs of the signatures of exported models, and a reader of graph models of TensorFlow.js."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf import json_format
from small_flows import SMALL_FLOWS, events, moved

import tfp_glow

# Flows with conditions, beside those of `small_flows`.
CONDITIONAL = {
    "glow_labels": lambda **k: tfp_glow.glow((4, 4, 1), num_levels=1, num_steps=2, width=4, num_classes=3, **k),
    "maf_context": lambda **k: tfp_glow.maf(5, num_layers=2, hidden_sizes=(8,), context_shape=(3,), **k),
}


def small_model(name, **kwargs):
    return tfp_glow.FlowModel(moved({**SMALL_FLOWS, **CONDITIONAL}[name](seed=0)), **kwargs)


def signatures_in(path):
    return json.loads((Path(path) / "signatures.json").read_text())["signatures"]


def inputs_of(model, signature, batch=3):
    """Returns an array per input of a signature in `signatures.json`."""
    random, x = np.random.RandomState(1), events(model.distribution, batch)
    arrays = {}
    for name, about in signature["inputs"].items():
        shape = [batch if size is None else size for size in about["shape"]]
        is_float = about["dtype"] == "float32"
        arrays[name] = {
            "images": lambda is_float=is_float: x + random.uniform(size=x.shape) * (x.dtype == "uint8") * is_float,
            "noise": lambda: random.uniform(size=x.shape), "latents": lambda shape=shape: random.normal(size=shape),
            "labels": lambda: np.arange(batch) % 3, "context": lambda shape=shape: random.normal(size=shape),
        }[name]().astype(about["dtype"])
        assert arrays[name].shape == tuple(shape), (name, about)
    return arrays


def expected(model, name, images=None, noise=None, latents=None, labels=None, context=None):
    """Returns what the live model computes, in the dtype of the model."""
    condition = labels if context is None else context
    given = () if condition is None else (tf.constant(condition),)
    if images is not None and images.dtype != "float32":
        images = images.astype("uint8")
    if name == "decode_floats":
        return model.functions.decode_floats(tf.constant(latents), *given).numpy()
    if name == "decode":
        return model.decode(latents, condition=condition).numpy()
    if name.startswith("encode"):
        return model.encode(images, condition=condition, verify=False).numpy()
    log_prob = model.log_prob(images, condition=condition, noise=noise)
    return (model.functions.to_bits(log_prob) if name.startswith("bits") else log_prob).numpy()


def check(model, path, run, exact=True):
    """Compares each signature in a folder with the live model.

    Args:
      model: the model that was exported.
      path: the folder.
      run: a function of the name of a signature, its entry in `signatures.json` and its inputs.
      exact: False permits the gray levels of `decode` to differ where the live model is within 1e-3 of a boundary.
    """
    for name, signature in signatures_in(path).items():
        inputs = inputs_of(model, signature)
        compare(model, name, inputs, np.asarray(run(name, signature, inputs)), exact)


def compare(model, name, inputs, result, exact=True):
    wanted = expected(model, name, **inputs)
    assert result.shape == wanted.shape, name
    if name.startswith(("log_prob", "bits_per_dim")):
        np.testing.assert_allclose(result, wanted, rtol=1e-5, err_msg=name)
    elif name == "decode" and model.num_bits is not None:
        floats = expected(model, "decode_floats", **inputs)
        is_near = np.abs(floats - np.round(floats)) < (0 if exact else 1e-3)
        np.testing.assert_array_equal(np.where(is_near, wanted, result), wanted, err_msg=name)
    else:
        np.testing.assert_allclose(result, wanted, rtol=1e-5, atol=1e-4, err_msg=name)


def graph_of_tfjs(path):
    """Returns the `GraphDef` in a graph model of TensorFlow.js, with the values of its constants."""
    content = json.loads((Path(path) / "model.json").read_text())
    graph_def = json_format.ParseDict(content["modelTopology"], tf.compat.v1.GraphDef())
    (group,) = content["weightsManifest"]
    data, arrays = b"".join((Path(path) / name).read_bytes() for name in group["paths"]), {}
    for weight in group["weights"]:
        assert weight["dtype"] in ("float32", "int32", "bool") and weight["name"] not in arrays
        array = np.frombuffer(data, weight["dtype"], int(np.prod(weight["shape"], dtype=int)))
        arrays[weight["name"]], data = array.reshape(weight["shape"]), data[array.nbytes:]
    assert not data
    for node in [*graph_def.node, *(node for f in graph_def.library.function for node in f.node_def)]:
        if node.op == "Const":
            node.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(arrays[node.name]))
    return graph_def
