# SPDX-License-Identifier: Apache-2.0
"""Out-of-distribution detection by the bits per dimension of a Glow.

`python -m examples.ood_scores idx:DIRECTORY` trains a Glow on scikit-learn's digits. It computes the bits per dimension
of test digits and of crops of another data set, such as Fashion-MNIST in the file format of MNIST. It prints the area
under the ROC curve, the probability that a crop has a higher score than a digit, for two scores:

* the bits per dimension;
* the distance of the bits per dimension from the median of the training digits. Under most flows, constant images have
  fewer bits than digits. This score detects them too.

Reference: Nalisnick et al., *Do deep generative models know what they don't know?*, 2019.
"""

import sys

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score, roc_curve

import tfp_glow
from trainers import data


def crops(spec: str, number: int = 1000, size: int = 8, num_levels: int = 17, seed: int = 0) -> np.ndarray:
    """Crops test images of a data set at random positions.

    Args:
      spec: spec of an image data set, such as `"idx:DIRECTORY"`; see `trainers.data.load`.
      number: number of images to crop.
      size: height and width of the crops in pixels.
      num_levels: number of gray levels of the crops.
      seed: seed of the positions.

    Returns:
      A uint8 array `[number, size, size, 1]` with values from 0 to `num_levels - 1`.
    """
    rng = np.random.RandomState(seed)
    found = []
    for image, _ in data.load(spec).examples("test").take(number).as_numpy_iterator():
        top, left = (rng.randint(side - size + 1) for side in image.shape[:2])
        found.append(image[top:top + size, left:left + size, :1])
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
    main(crops(sys.argv[1]))
