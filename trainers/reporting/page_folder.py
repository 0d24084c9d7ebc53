# SPDX-License-Identifier: Apache-2.0
"""`write_model`: writes a trained flow of images to the page in docs/play."""

import dataclasses
import json
import math
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import tensorflow as tf
from google.protobuf import json_format

import tfp_glow

from .. import data as data_lib
from ..evaluation import latent_paths, scores
from ..runs import class_labels
from ..runs.atomic_files import write_json
from .page_noise import PageNoise

MODELS, LIST, DESCRIPTION = "models", "index.json", "page.json"
# The page uses these functions. The second ends in the dtype of images.
_SIGNATURES = ("decode_floats", "encode_{}", "bits_per_dim_with_noise")
_NUM_CHECKED, _CHECK_SEED, _BATCH_SIZE, _BATCHES_COMPARED = 4, 1, 256, 4
_GREATEST_CHANGE = 1e-3  # bits per dimension of an image, by rounding


@dataclasses.dataclass(frozen=True)
class ModelOfPage:
    """A trained model, its data and what the page says about them.

    Attributes:
      name: str, name of the folder of the model, such as `"digits_glow"`.
      title: str, title of the model on the page.
      model: a `tfp_glow.FlowModel` over images, not class-conditional.
      config: configuration of its run, a dict, as `trainers.runs.configuration.configure` returns.
      data: the `ImageData` on which it was trained.
    """

    name: str
    title: str
    model: tfp_glow.FlowModel
    config: Mapping[str, Any]
    data: data_lib.ImageData


def check_page(page: str | os.PathLike[str], name: str) -> pathlib.Path:
    """Checks that a folder holds the page, and that a model of the given name can be written to it.

    Args:
      page: the folder, docs/play of the repository or a copy of it.
      name: name of the folder of the model.

    Returns:
      The folder of the model, which this function does not create.

    Raises:
      ValueError: if there is no page in the folder, the name is not one word, or the folder of the model has other
        content than this program writes.
    """
    page = pathlib.Path(page)
    if not (page / "index.html").is_file() or not (page / MODELS / LIST).is_file():
        raise ValueError(f"page: must be the folder docs/play of the repository, or a copy of it; {page} does not hold "
                         f"index.html and {MODELS}/{LIST}")
    if not name.isidentifier() or not name.isascii():
        raise ValueError(f"name: must be one word of letters, digits and '_'; got {name!r}")
    folder = page / MODELS / name
    if folder.exists() and not (folder / DESCRIPTION).is_file():
        raise ValueError(f"name: {folder} exists and holds no {DESCRIPTION}, so it is no model of the page; give "
                         "another name")
    return folder


def write_model(page: str | os.PathLike[str], shown: ModelOfPage, num_images: int, seed: int,
                float16: bool = False) -> pathlib.Path:
    """Writes the folder of a model, and adds its name to the list of models. An existing folder is replaced.

    The folder holds

    * `tfjs/`, what `tfp_glow.export_tfjs` writes;
    * `images.bin`, test images, uint8 `[number, height, width, channels]`, the classes in turn;
    * `directions.bin`, the direction of each class in latent space, float32 `[num_classes, latent size]`, as
      `latent_paths.class_direction` computes it from the training images;
    * `samples.bin`, a few samples by which the page checks its numbers, uint8;
    * `page.json`, a description: title, shapes, labels, the bits per dimension of the test images, and numbers by which
      the page checks what it computes.

    Args:
      page: folder of the page; see `check_page`.
      shown: the model.
      num_images: int, number of test images.
      seed: int, random seed of the choice of the test images.
      float16: bool. If True, the kernels of convolutions are stored in float16, in half the space. Default False.

    Returns:
      The folder of the model.

    Raises:
      ValueError: if the model is class-conditional; if its latents are not standard normal; if rounding changes the
        bits per dimension of a test image by more than 0.001; or if `check_page` or `tfp_glow.export_tfjs` raises an
        error.
    """
    folder, model = check_page(page, shown.name), shown.model
    if class_labels.is_class_conditional(shown.config) or model.dequantizer is not None:
        raise ValueError("run_dir: the page shows models without classes and with uniform noise; the model of this run "
                         "is class-conditional or has a dequantizer")
    temporary = folder.with_name(f".partial.{folder.name}")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir()
    try:
        _write_files(temporary, shown, num_images, seed, float16)
        if folder.exists():
            shutil.rmtree(folder)
        temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    listed = json.loads((folder.parent / LIST).read_text(encoding="utf-8"))
    if shown.name not in listed["models"]:
        write_json({**listed, "models": [*listed["models"], shown.name]}, folder.parent / LIST)
    return folder


def _write_files(folder: pathlib.Path, shown: ModelOfPage, num_images: int, seed: int, float16: bool) -> None:
    model, config, data = shown.model, shown.config, shown.data
    images, labels = _test_images(data, num_images, seed, config["num_bits"])
    integer = "uint8" if config["num_bits"] <= 8 else "uint16"
    tfp_glow.export_tfjs(model, folder / "tfjs", [name.format(integer) for name in _SIGNATURES])
    change = None
    if float16:
        _store_in_float16(folder / "tfjs")
        change = _largest_change(folder / "tfjs", shown)
        if not change <= _GREATEST_CHANGE:
            raise ValueError(f"float16: rounding changes the bits per dimension of a test image by {change:.2g}, more "
                             f"than {_GREATEST_CHANGE}; leave --float16 out")
    exported = json.loads((folder / "tfjs" / "signatures.json").read_text(encoding="utf-8"))
    if exported["base"] != {"distribution": "normal", "standard": True}:
        raise ValueError("run_dir: the page draws latents from a standard normal distribution; the latents of this "
                         f"model have the base {exported['base']['distribution']}")
    images.tofile(folder / "images.bin")
    num_classes = data.num_classes or 0
    if num_classes > 1:
        batches = data_lib.dataset(data, "train", _BATCH_SIZE, shuffle=False, num_bits=config["num_bits"])
        directions = latent_paths.class_directions(model, batches, range(num_classes))
        directions.astype("<f4").tofile(folder / "directions.bin")
    bits = scores.bits_of_events(model, data_lib.dataset(
        data, "test", _BATCH_SIZE, shuffle=False, labels=False, num_bits=config["num_bits"]))
    temperature = config["training"]["temperature"]
    latents = temperature * PageNoise(_CHECK_SEED).normal((_NUM_CHECKED, math.prod(model.latent_shape)))
    model.decode(latents.reshape(-1, *model.latent_shape)).numpy().tofile(folder / "samples.bin")
    checked = images[:_NUM_CHECKED]
    log_prob = model.log_prob(checked, noise=PageNoise(_CHECK_SEED).uniform(checked.shape))
    write_json({
        "title": shown.title,
        "flow": config["flow"]["flow"],
        "num_parameters": sum(math.prod(variable.shape) for variable in model.trainable_variables),
        "image_shape": list(model.event_shape),
        "latent_shape": list(model.latent_shape),
        "num_bits": config["num_bits"],
        "num_levels": config["num_levels"],
        "temperature": temperature,
        "change_by_rounding": change,
        "data": {"name": data.name, "num_train": data.num_examples("train"), "num_test": data.num_examples("test"),
                 "classes": list(data.label_names or ()) if num_classes > 1 else []},
        "images": {"number": len(images), "labels": labels.tolist()},
        "test_bits_per_dim": {"mean": float(bits.mean()),
                              "percentiles": np.percentile(bits, np.arange(101)).round(4).tolist()},
        # Of the first test images, with the first numbers of the generator of the page as noise, and of latents that
        # are the first normal numbers of the generator times the temperature.
        "check": {"seed": _CHECK_SEED, "number": len(checked), "temperature": temperature,
                  "bits_per_dim": model.functions.to_bits(log_prob).numpy().astype(float).round(6).tolist()},
    }, folder / DESCRIPTION)


def _store_in_float16(folder: pathlib.Path) -> None:
    """Rounds the kernels of convolutions to 16 bits. TensorFlow.js reads them as float32.

    Kernels have four axes. They belong to the networks, and all functions share them, so the rounded model is a flow as
    well: its passes are inverse to each other, and its densities are exact. The matrices that mix channels have two
    axes. They stay as they are, because the two passes have a matrix and its inverse.
    """
    graph = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    (manifest,) = graph["weightsManifest"]
    stored = bytearray()
    for weight, part in _weights(folder, manifest):
        if len(weight["shape"]) == 4 and weight["dtype"] == "float32":
            weight["quantization"] = {"dtype": "float16"}
            part = np.frombuffer(part, "<f4").astype("<f2").tobytes()
        stored += part
    for path in manifest["paths"]:
        (folder / path).unlink()
    manifest["paths"] = ["weights_1.bin"]
    (folder / "weights_1.bin").write_bytes(stored)
    (folder / "model.json").write_text(json.dumps(graph, separators=(",", ":")), encoding="utf-8")


def _weights(folder: pathlib.Path, manifest: Mapping[str, Any]) -> Iterator[tuple[dict[str, Any], bytes]]:
    """Returns the descriptions and the contents of the weights of a model of TensorFlow.js."""
    content, start = b"".join((folder / path).read_bytes() for path in manifest["paths"]), 0
    for weight in manifest["weights"]:
        dtype = np.dtype(weight.get("quantization", weight)["dtype"])
        end = start + math.prod(weight["shape"]) * dtype.itemsize
        yield weight, content[start:end]
        start = end


def exported_function(folder: pathlib.Path, name: str) -> Callable[..., tf.Tensor]:
    """Returns a function of a model of TensorFlow.js, which TensorFlow runs.

    Args:
      folder: the folder that `tfp_glow.export_tfjs` wrote. The weights may be rounded.
      name: name of the signature.

    Returns:
      A function of tensors, the inputs of the signature in their order. It returns the output, a tensor.
    """
    graph = json.loads((folder / "model.json").read_text(encoding="utf-8"))
    graph_def = json_format.ParseDict(graph["modelTopology"], tf.compat.v1.GraphDef())
    nodes = {node.name: node for node in graph_def.node}
    (manifest,) = graph["weightsManifest"]
    for weight, part in _weights(folder, manifest):
        stored = np.frombuffer(part, weight.get("quantization", weight)["dtype"]).astype(weight["dtype"])
        nodes[weight["name"]].attr["value"].tensor.CopyFrom(tf.make_tensor_proto(stored.reshape(weight["shape"])))
    signature = json.loads((folder / "signatures.json").read_text(encoding="utf-8"))["signatures"][name]
    (output,) = signature["outputs"].values()
    wrapped = tf.compat.v1.wrap_function(lambda: tf.graph_util.import_graph_def(graph_def, name=""), [])
    return wrapped.prune([f"{each['node']}:0" for each in signature["inputs"].values()], f"{output['node']}:0")


def _largest_change(folder: pathlib.Path, shown: ModelOfPage) -> float:
    """Returns the largest change of the bits per dimension of test images by rounding."""
    rounded, generator = exported_function(folder, "bits_per_dim_with_noise"), np.random.default_rng(0)
    changes = []
    for images in data_lib.dataset(shown.data, "test", _BATCH_SIZE, shuffle=True, labels=False,
                                   num_bits=shown.config["num_bits"]).take(_BATCHES_COMPARED):
        noise = generator.random(images.shape, np.float32)
        bits = shown.model.functions.to_bits(shown.model.log_prob(images, noise=noise))
        changes.append(tf.reduce_max(tf.abs(bits - rounded(tf.cast(images, tf.int32), tf.constant(noise)))).numpy())
    return float(max(changes))


def _test_images(data: data_lib.ImageData, number: int, seed: int, num_bits: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns test images and their labels: the classes in turn, and random images of each class."""
    waiting: list[list[np.ndarray]] = [[] for _ in range(data.num_classes or 1)]
    needed = -(-number // len(waiting))
    for images, labels in data_lib.dataset(data, "test", _BATCH_SIZE, shuffle=True, seed=seed, num_bits=num_bits):
        for image, label in zip(images.numpy(), labels.numpy(), strict=True):
            if len(waiting[label]) < needed:
                waiting[label].append(image)
        if all(len(each) == needed for each in waiting):
            break
    chosen = [(images[k], label) for k in range(needed) for label, images in enumerate(waiting) if k < len(images)]
    if len(chosen) < number:
        raise ValueError(f"num: {number} images were asked for; the test split of {data.name} has {len(chosen)} images "
                         "if each class has the same number")
    return np.stack([image for image, _ in chosen[:number]]), np.array([label for _, label in chosen[:number]])
