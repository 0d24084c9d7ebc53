# SPDX-License-Identifier: Apache-2.0
"""Puts the model of a finished training into `pretrained/NAME`, with a model card of what was measured.

    python -m benchmarks.pretrained --run_dir=runs/cifar10_glow --data=tfds:cifar10

The command makes the networks float32 and rounds the weights to 17 significant bits. It evaluates this model on all
test images, and it encodes and decodes all of them with float32 networks and with those of the training. Repeat it
after a change of the texts below: it measures again.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import argparse
import contextlib
import hashlib
import io
import json
import math
import re
import shutil
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

import tfp_glow
from benchmarks import harness
from benchmarks.report import table
from trainers import data, evaluate
from trainers.data import pipeline
from trainers.runs.run_directory import RunDirectory
from trainers.training.precision import bfloat16_is_slow

_FOLDER = harness.ROOT / "pretrained"
_HASHES = harness.ROOT / "tfp_glow" / "models" / "pretrained.json"
_COPIED = ("config.json", "history.jsonl", "loss_curve.png", "result.json")
_DROPPED_BITS = 7  # Of the 23 stored bits of a float32's mantissa; a first bit is implicit.
_DATA = {
    "tfds:cifar10": ("CIFAR-10, color photos of ten classes, 32x32 pixels",
                     "Krizhevsky, *Learning multiple layers of features from tiny images*, 2009"),
    "idx:/usr/share/datasets/fashion-mnist": ("Fashion-MNIST, gray images of clothes, 28x28 pixels",
                                              "Xiao, Rasul and Vollgraf, *Fashion-MNIST*, 2017"),
}
_KINDS = {"glow": "A small Glow", "realnvp": "A small RealNVP", "pyramid": "A pyramid with an autoregressive top",
          "pixelcnn": "A small PixelCNN"}
_NUM_RETURNED = {"pixelcnn": 100}  # Test images that are encoded and decoded, if decoding is slow.
_SPECS = {"idx:/usr/share/datasets/fashion-mnist": "idx:DIR"}
_LIMITS = ("Samples have the colors and textures of the data; few show a clear object.",
           "It was trained on centered clothes of one data set. At temperatures near 1, samples have holes; lower ones "
           "give fewer kinds of clothes.")  # Of colors, of gray images.
_PIXEL_BY_PIXEL = (" A sample needs an evaluation of the network per pixel. At temperatures below 1, many samples are "
                   "plain areas, or black; so are images in the middle of interpolations.")
_MORE_LIMITS = {"pyramid": (" At low temperatures, samples are blurred; so are images in the middle of interpolations.",
                            " Interpolations jump from one image to another."),
                "pixelcnn": (_PIXEL_BY_PIXEL, _PIXEL_BY_PIXEL)}  # Of colors, of gray images.
_GUIDE = "../../docs/tutorials/out_of_distribution.md"


def rounded(weights: np.ndarray) -> np.ndarray:
    """Returns float32 weights, rounded to 17 significant bits."""
    unit = np.uint32(1 << _DROPPED_BITS)
    bits = np.array(weights, np.float32).view(np.uint32)  # Also of a single number, of shape ().
    return ((bits + unit // 2) & ~(unit - 1)).view(np.float32)


def save_compact(model: tfp_glow.FlowModel, path: Path) -> None:
    """Saves a model with float32 networks and rounded weights, as a compressed file that Keras loads as any other."""
    model = tfp_glow.with_network_dtype(model, "float32")
    for variable in model.weights:
        if variable.dtype == "float32":
            variable.assign(rounded(np.asarray(variable)))
    with tempfile.TemporaryDirectory() as directory:
        model.save(Path(directory) / "model.keras")
        with zipfile.ZipFile(Path(directory) / "model.keras") as plain, zipfile.ZipFile(
                path, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as packed:
            for entry in sorted(plain.namelist()):
                packed.writestr(zipfile.ZipInfo(entry, (2020, 1, 1, 0, 0, 0)), plain.read(entry),
                                zipfile.ZIP_DEFLATED, 9)


def returned(model: tfp_glow.FlowModel, source: Any, most: int | None = None) -> tuple[int, int]:
    """Returns how many of the first test images are equal after encoding and decoding, and how many were tried."""
    equal = count = 0
    for batch, labels in pipeline.dataset(source, "test", 250, shuffle=False, labels=True):
        if most is not None:
            batch, labels = batch[:most - count], labels[:most - count]
        if not len(batch):
            break
        again = model.reconstruct(batch, None if model.condition_spec is None else labels, verify=False).numpy()
        equal += int(np.sum(np.all(again == batch.numpy(), axis=(1, 2, 3))))
        count += len(again)
    return equal, count


def bits_of_gray(model: tfp_glow.FlowModel, level: int, num_classes: int | None) -> float:
    """Returns the bits/dim of an image of one gray level, the least over all classes."""
    labels = None if num_classes is None else np.arange(num_classes, dtype="int32")
    image = np.full((num_classes or 1, *model.event_shape), level, np.uint8)
    return float(np.min(model.bits_per_dim(image, seed=0, condition=labels)))


def measured(path: Path, spec: str) -> dict[str, Any]:
    """Returns the test's bits/dim of a saved model, and how many test images return from their latents."""
    output = io.StringIO()
    with contextlib.redirect_stdout(output):
        if evaluate.main(["evaluate", f"--run_dir={path}", f"--data={spec}", "--split=test"]):
            raise SystemExit(output.getvalue())
    model, source = keras.saving.load_model(path / "model.keras", compile=False), data.load(spec)
    config = json.loads((path / "config.json").read_text(encoding="utf-8"))
    flow, constants = config["flow"], {"black": 0, "gray": config["num_levels"] // 2}
    models = {"float32": model}
    if not bfloat16_is_slow():
        models["mixed_bfloat16"] = tfp_glow.with_network_dtype(model, "mixed_bfloat16")
    return {**json.loads(output.getvalue().splitlines()[-1]),
            "parameters": sum(math.prod(variable.shape) for variable in model.trainable_variables),
            "constants": {name: bits_of_gray(model, level, flow.get("num_classes"))
                          for name, level in constants.items()},
            "returned": {dtype: returned(model, source, _NUM_RETURNED.get(flow["flow"]))
                         for dtype, model in models.items()}}


def card(run: RunDirectory, spec: str, results: Mapping[str, Any]) -> str:
    """Returns the model card."""
    config, history, name = run.config(), run.history(), run.path.name
    flow, training, (images, reference) = config["flow"], config["training"], _DATA[spec]
    best = min(history, key=lambda line: line["val_bits_per_dim"])
    counts, public, shape = config["num_examples"], _SPECS.get(spec, spec), tuple(flow["image_shape"])
    flow, trained_in = {**flow, "network_dtype": None}, flow["network_dtype"]
    mixed = trained_in not in (None, "float32")
    arguments = {key: tuple(value) if isinstance(value, list) else value for key, value in flow.items()
                 if key not in ("flow", "image_shape", "dtype", "num_bits")}
    call = f"tfp_glow.{flow['flow']}({shape}, {', '.join(f'{key}={value!r}' for key, value in arguments.items())})"
    processor = re.sub(r"\((R|TM)\)| Processor$", "", harness.machine()["processor"])
    recipe = [f"{config['epochs']} epochs", f"batches of {training['batch_size']}",
              f"{training['optimizer'].capitalize()} at {training['learning_rate']:g}",
              f"{training['schedule']} schedule", *(["averaged weights"] if training["ema_momentum"] else []),
              *(["random horizontal flips"] if training["flip"] else []),
              *([f"networks in `{trained_in}`"] if trained_in else []),
              *(["float32 networks in the file"] if mixed else [])]
    fastest = config["epochs"] * counts["train"] / max(line["images_per_second"] for line in history)
    # After a resumption, the seconds of an epoch are those since then.
    passed = sum(max(line["seconds"], counts["train"] / line["images_per_second"]) for line in history)
    first, saved = ("first " if flow["flow"] in _NUM_RETURNED else ""), {"float32": ", as in the file"}
    rows = [
        ("training images", f"{counts['train']:,}; {counts['validation']:,} for validation, {counts['test']:,} for "
         "testing"),
        ("training", f"`python -m trainers.train --preset={config['preset']} --data={public} "
         f"--output_dir=runs/{name}`: "
         f"{', '.join(recipe)}"),
        ("time", f"{fastest / 60:.0f} minutes on two cores of an {processor} processor, at the speed "
         f"of the fastest epoch; at least {passed / 60:.0f} minutes passed, with other work on the machine"),
        ("curve", "`loss_curve.png`, `history.jsonl`"),
        ("choice of the weights", f"epoch {best['epoch']}, with the fewest bits/dim on the validation images"),
        ("bits/dim on the validation images", f"{best['val_bits_per_dim']:.3f}"),
        (f"**bits/dim on all {results['num_examples']:,} test images**",
         f"**{results['bits_per_dim']:.3f}** ({results['nats']:.1f} nats per image); one histogram per pixel and "
         f"channel: {results['baseline_bits_per_dim']:.3f}"),
        ("bits/dim of images of one gray level", ", ".join(
            f"{name}: {bits:.2f}" for name, bits in results["constants"].items())),
        (f"{first}test images that return exactly from their latents", "; ".join(
            f"{dtype} networks{saved.get(dtype, '')}: {equal:,} of {count:,}"
            for dtype, (equal, count) in results["returned"].items())),
    ]
    if flow.get("num_classes"):
        rows.insert(-2, ("accuracy on the test images, classes by Bayes' rule", f"{results['accuracy']:.1%}"))
        rows.insert(-2, ("bits/dim", "those above are of p(x given the image's class); those of images of one gray "
                         "level, given the class with the fewest"))
    kind = "A pyramid of couplings" if flow.get("top") == "couplings" else _KINDS.get(flow["flow"], flow["flow"])
    classes = ", given their class" if flow.get("num_classes") else ""
    shown = ("A sample of each class per row, at temperature 0.8" if classes else
             "Samples at the temperatures 0.6, 0.7, 0.8, 0.9 and 1, from top to bottom")
    return "\n\n".join([
        f"# {name}", f"{kind} for {images}{classes}.", f"![{shown}](../../docs/{name}_samples.png)",
        table(("model", f"`{call}`, {results['parameters']:,} trainable numbers, rounded to 17 significant bits and "
               "stored as float32"), rows),
        f"`python -m trainers.evaluate --run_dir=pretrained/{name} --data={public} --split=test`\nprints the bits/dim "
        "on the test images: one draw of uniform noise per image, seed 0. `python -m benchmarks.pretrained "
        f"--run_dir=runs/{name} --data={public}` wrote this card.",
        "**Use.** Samples, interpolations and densities as examples; a start for training on similar images, with "
        "`compile` and `fit`; a model to compare with.",
        f"**Limits.** A small model, trained on two CPU cores. {_LIMITS[shape[-1] == 1]}"
        f"{_MORE_LIMITS.get(flow['flow'], ('', ''))[shape[-1] == 1]} Bits/dim does not measure the quality of "
        "samples. Alone, it does not detect out-of-distribution images either: a black image has fewer bits/dim than "
        "the test images. "
        f"[Out-of-distribution images]({_GUIDE}) explains why, and shows a test for groups of images, with its limits.",
        f"Data: {reference}."]) + "\n"


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run_dir", type=Path, required=True, help="directory of the finished training")
    parser.add_argument("--data", choices=_DATA, required=True, help="SPEC of the images")
    parser.add_argument("--folder", type=Path, default=_FOLDER, help="folder of the trained models")
    args = parser.parse_args(argv)
    run = RunDirectory(args.run_dir)
    if not run.is_finished():
        parser.error(f"--run_dir: must be a finished training; received {args.run_dir}")
    target = args.folder / run.config()["preset"]
    target.mkdir(parents=True, exist_ok=True)
    for name in _COPIED:
        shutil.copyfile(args.run_dir / name, target / name)
    save_compact(keras.saving.load_model(args.run_dir / "model.keras", compile=False), target / "model.keras")
    results = measured(target, args.data)
    (target / "README.md").write_text(card(RunDirectory(target), args.data, results), encoding="utf-8")
    print(json.dumps(results, indent=1))
    if args.folder == _FOLDER:
        # Without the cards: their words may change, and copies of the folder remain valid.
        hashes = {path.name: {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(
            path.iterdir()) if file.name != "README.md"} for path in sorted(_FOLDER.iterdir())}
        _HASHES.write_text(json.dumps(hashes, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
