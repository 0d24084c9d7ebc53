# SPDX-License-Identifier: Apache-2.0
"""Out-of-distribution detection by the bits per dimension of a Glow.

`python -m examples.ood_scores` trains a Glow on scikit-learn's digits. It computes the bits per dimension of test
digits and of crops of scikit-learn's two photographs. With an argument, such as `idx:DIRECTORY`, the crops are of the
test images of that data set; see `trainers.data.load`. The program prints the area under the ROC curve, the probability
that a crop has a higher score than a digit, for two scores:

* the bits per dimension;
* the distance of the bits per dimension from the median of the training digits. Under most flows, constant images have
  fewer bits than digits. This score detects them too.

Reference: Nalisnick et al., *Do deep generative models know what they don't know?*, 2019.
"""

import itertools
import sys
from collections.abc import Iterable

import keras
import numpy as np
from sklearn.datasets import load_digits, load_sample_images
from sklearn.metrics import roc_auc_score, roc_curve

import tfp_glow
from trainers import data


def images_of(spec: str | None) -> Iterable[np.ndarray]:
    """Returns gray images with values from 0 to 255, `[height, width, 1]`.

    Args:
      spec: spec of an image data set, such as `"idx:DIRECTORY"`, whose test images are returned; see
        `trainers.data.load`. None means scikit-learn's two photographs.

    Raises:
      ValueError: if there is no such data set.
    """
    if spec is None:
        return [np.mean(photograph, axis=-1, keepdims=True) for photograph in load_sample_images().images]
    source = data.load(spec)
    gray = [image[..., :1] for image, _ in source.examples("test").take(1000).as_numpy_iterator()]
    return [image * (255.0 / (source.num_levels - 1)) for image in gray] if source.num_levels else gray


def crops(images: Iterable[np.ndarray], number: int = 1000, size: int = 8, num_levels: int = 17,
          seed: int = 0) -> np.ndarray:
    """Crops images at random positions, each image in turn.

    Args:
      images: gray images `[height, width, 1]` with values from 0 to 255, at least `size` high and wide.
      number: number of crops.
      size: height and width of the crops in pixels.
      num_levels: number of gray levels of the crops.
      seed: seed of the positions.

    Returns:
      A uint8 array `[number, size, size, 1]` with values from 0 to `num_levels - 1`.

    Raises:
      ValueError: if an image is smaller than a crop.
    """
    rng = np.random.RandomState(seed)
    found = []
    for image in itertools.islice(itertools.cycle(images), number):
        if image.ndim != 3 or min(image.shape[:2]) < size:
            raise ValueError(f"Crops require images of at least {size}x{size} pixels; received shape {image.shape}.")
        top, left = (rng.randint(side - size + 1) for side in image.shape[:2])
        found.append(image[top:top + size, left:left + size])
    return (np.stack(found).astype("int32") * num_levels // 256).astype("uint8")


def main(outliers: np.ndarray, epochs: int = 20) -> dict[str, float]:
    """Trains a Glow on digits and prints how well its scores detect other images.

    Args:
      outliers: integer images `[n, 8, 8, 1]` with values from 0 to 16, which are not digits.
      epochs: number of epochs of training.

    Returns:
      A dict of the areas under the ROC curves: `"bits"` for the bits per dimension, and `"distance"` for their distance
      from the median of the training digits.
    """
    digits = load_digits().images[..., np.newaxis].astype("uint8")
    train, test = digits[:1400], digits[1400:]
    model = tfp_glow.FlowModel(tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=4, width=32, num_bits=5, seed=0))
    model.compile(keras.optimizers.Adam(1e-3))
    model.fit(train, batch_size=64, epochs=epochs, verbose=0)
    typical = np.median(model.bits_per_dim(train))
    bits = np.concatenate([model.bits_per_dim(test), model.bits_per_dim(outliers)])
    is_outlier = np.repeat([0, 1], [len(test), len(outliers)])
    scores = {"bits": bits, "distance": np.abs(bits - typical)}
    areas = {name: float(roc_auc_score(is_outlier, score)) for name, score in scores.items()}
    for name, score in scores.items():
        false_alarms, hits, _ = roc_curve(is_outlier, score)
        found = {rate: np.interp(rate, false_alarms, hits) for rate in (0.01, 0.05, 0.2)}
        print(f"{name}: area under the ROC curve {areas[name]:.3f}; " + ", ".join(
            f"{found[rate]:.0%} of outliers detected at {rate:.0%} false alarms" for rate in found))
    return areas


if __name__ == "__main__":
    try:
        OUTLIERS = crops(images_of(*sys.argv[1:2] or [None]))
    except ValueError as error:
        sys.exit(str(error))
    main(OUTLIERS)
