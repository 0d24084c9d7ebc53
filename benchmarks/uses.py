# SPDX-License-Identifier: Apache-2.0
"""What a density of images is good for, and where it fails: `python -m benchmarks.uses`.

With a trained run on Fashion-MNIST: samples at several temperatures beside real images, images between images, three
scores that tell strangers from test images, and how tight the bound by dequantisation is. Pictures go to `docs/`, the
tables into `benchmarks/README.md`.

The strangers are scikit-learn's digits, enlarged to 28x28, also with an eighth of the contrast; Fashion-MNIST with an
eighth of the contrast, or upside down; images all of one grey; and uniform noise. The scores, each higher for what is
stranger:

* bits: bits/dim, the likelihood itself;
* typicality: the distance of the bits from their mean over training images (Nalisnick et al., *Detecting
  out-of-distribution inputs to deep generative models using typicality*, 2019, with one image at a time);
* complexity: bits less those of the image as a PNG file (Serra et al., *Input complexity and out-of-distribution
  detection with likelihood-based generative models*, 2020).
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import sys

import numpy as np
import PIL.Image
import sklearn.metrics

from benchmarks import trained
from benchmarks.report import table
from trainers import data, interpolate
from trainers.evaluation import scores
from trainers.reporting import charts, pictures
from trainers.runs import trained_models
from trainers.runs.run_directory import RunDir

TEMPERATURES = (0.5, 0.7, 0.85, 1.0)
DRAWS = (1, 10, 100)
COLUMNS = 16


def parse_arguments(argv=None):
    parser = trained.parser_of(__doc__, "uses.json")
    parser.set_defaults(readme=trained.ROOT / "benchmarks" / "README.md")
    parser.add_argument("--run_dir", default=trained.ROOT / "pretrained" / "fashion_mnist_best", help="of the model")
    parser.add_argument("--data", default="idx:/usr/share/datasets/fashion-mnist", help="SPEC of its images")
    parser.add_argument("--other_run_dir", default=trained.ROOT / "runs" / "digits_glow",
                        help="of a Glow on the digits, for the bound")
    parser.add_argument("--num", type=int, default=1000, help="images a set")
    parser.add_argument("--num_bound", type=int, default=100, help="images for the bound")
    parser.add_argument("--pictures", default=trained.ROOT / "docs", help="where the pictures go")
    return parser.parse_args(argv)


def first_images(source, split, number):
    """uint8 `[number, H, W, C]`: the first of a split."""
    batches = data.dataset(source, split, number, shuffle=False)
    images = next(iter(batches))
    return np.asarray(images[0] if isinstance(images, tuple) else images)


def enlarged_digits(side, number):
    """scikit-learn's digits as images `[number, side, side, 1]` of 256 levels."""
    digits = first_images(data.load("digits"), "train", number)[..., 0] * (255.0 / 16.0)
    return np.stack([np.asarray(PIL.Image.fromarray(digit.astype("uint8")).resize((side, side), PIL.Image.BILINEAR))
                     for digit in digits])[..., np.newaxis]


def png_bits(images):
    """Bits/dim of every image as a PNG file."""
    sizes = [8.0 * len(pictures.png(PIL.Image.fromarray(image[..., 0]))) for image in images]
    return np.array(sizes) / images[0].size


def strangers(images, number):
    """Sets that are not the model's, by name: uint8 arrays of the shape of `images`."""
    rng, digits = np.random.default_rng(0), enlarged_digits(images.shape[1], number)
    one_grey = rng.integers(0, 256, (number, 1, 1, 1), "uint8")
    return {"digits, enlarged": digits, "digits, dim": digits // 8, "clothes, dim": images // 8,
            "clothes, upside down": images[:, ::-1], "all of one grey": np.broadcast_to(one_grey, images.shape),
            "noise": rng.integers(0, 256, images.shape, "uint8")}


def scores_of(model, images, usual):
    """The three scores of every image, by name; `usual` is the mean of bits/dim over training images."""
    bits = model.bits_per_dim(images, seed=0).numpy()
    return {"bits": bits, "typicality": np.abs(bits - usual), "complexity": bits - png_bits(images)}


def area(own, other):
    """Area under the ROC curve: how often a stranger scores higher than one of the model's own images."""
    labels = np.concatenate([np.zeros(len(own)), np.ones(len(other))])
    return float(sklearn.metrics.roc_auc_score(labels, np.concatenate([own, other])))


def detection(model, source, number):
    """Mean bits/dim of every set, and areas under the ROC curve of every score against every set of strangers."""
    usual = float(model.bits_per_dim(first_images(source, "train", number), seed=0).numpy().mean())
    images = first_images(source, "test", number)
    own = scores_of(model, images, usual)
    measured = {"train": {"bits": usual}, "test": {"bits": float(own["bits"].mean())}}
    for name, others in strangers(images, number).items():
        scores = scores_of(model, others, usual)
        measured[name] = {"bits": float(scores["bits"].mean()),
                          "areas": {score: area(own[score], scores[score]) for score in own}}
    return measured


def bounds(run, source, number):
    """Importance-weighted bits/dim of some test images by how many draws of noise."""
    model, _ = trained_models.load(run)
    images = first_images(source, "test", number)
    return {str(draws): scores.bits_per_dim(model, [images], num_samples=draws)[0] for draws in DRAWS}


def draw(run, source, spec, directory):
    """Writes `fashion_samples.png`, a row of real images above rows of samples, `fashion_between.png` and
    `fashion_curve.png`."""
    model, _ = trained_models.load(run)
    pictures.save_figure(charts.learning_curve(run.history(), over="minutes"), directory / "fashion_curve.png")
    rows = [first_images(source, "test", COLUMNS)]
    rows += [model.sample(COLUMNS, temperature=temperature, seed=1).numpy() for temperature in TEMPERATURES]
    pictures.save_png(pictures.grid(np.concatenate(rows), 256, columns=COLUMNS), directory / "fashion_samples.png")
    between = directory / "fashion_between.png"
    return interpolate.main(["interpolate", f"--run_dir={run}", f"--data={spec}", "--num=4", "--steps=9", "--seed=2",
                             f"--out={between}"])


def markdown(record):
    """The two tables."""
    rows = [(name, f"{one['bits']:.3f}", *(f"{one['areas'][score]:.3f}" if "areas" in one else ""
                                           for score in ("bits", "typicality", "complexity")))
            for name, one in record["detection"].items()]
    head = (f"{record['num']:,} images each", "mean bits/dim", "area by bits", "by typicality", "by complexity")
    second = [(name, *(f"{bits[str(draws)]:.4f}" for draws in DRAWS)) for name, bits in record["bounds"].items()]
    head_2 = (f"bits/dim, {record['num_bound']} test images", *(f"k={draws}" for draws in DRAWS))
    return f"{table(head, rows)}\n\n{table(head_2, second)}\n\n{record['setting']}"


def main(argv=None):
    args = parse_arguments(argv)
    run, other = RunDir(args.run_dir), RunDir(args.other_run_dir)
    source, digits = data.load(args.data), data.load("digits")
    if draw(run, source, args.data, args.pictures):
        return 1
    record = {"num": args.num, "num_bound": args.num_bound, "setting": trained.setting(),
              "detection": detection(trained_models.load(run)[0], source, args.num),
              "bounds": {run.config()["preset"]: bounds(run, source, args.num_bound),
                         other.config()["preset"]: bounds(other, digits, args.num_bound)}}
    trained.publish(record, args.results, markdown(record), args.readme, "uses")
    return 0


if __name__ == "__main__":
    sys.exit(main())
