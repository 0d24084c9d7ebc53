# SPDX-License-Identifier: Apache-2.0
"""Out-of-distribution scores: Glow trained on digits tells them from crops of clothes.

`python -m examples.ood_scores idx:DIRECTORY` trains on scikit-learn's digits and scores its test images, and crops of
the same size of another data set (Fashion-MNIST, in MNIST's file format, say), by bits per dimension. It prints the ROC
curve's area: how often a crop costs more bits than a digit. A density is no proof of belonging: constant crops are
likelier than digits under most flows, so the area is also given for the distance from the digits' typical cost.

Reference: Nalisnick et al., *Do deep generative models know what they don't know?*, 2019.
"""

import sys

import keras
import numpy as np
from sklearn.datasets import load_digits
from sklearn.metrics import roc_auc_score, roc_curve

import tfp_glow
from trainers import data


def crops(spec, number=1000, size=8, num_levels=17, seed=0):
    """Random crops of a data set's test images, `[number, size, size, 1]`, with the digits' grey levels."""
    rng = np.random.RandomState(seed)
    found = []
    for image, _ in data.load(spec).examples("test").take(number).as_numpy_iterator():
        top, left = (rng.randint(side - size + 1) for side in image.shape[:2])
        found.append(image[top:top + size, left:left + size, :1])
    return (np.stack(found).astype("int32") * num_levels // 256).astype("uint8")


def main(outliers, epochs=20):
    """Returns the ROC area of the cost in bits, and of its distance from the digits' median.

    Args:
      outliers: whole-numbered images `[n, 8, 8, 1]` in `[0, 16]`.
      epochs: how long to train.
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
        print(f"{name}: ROC area {areas[name]:.3f}; " + ", ".join(
            f"{found[rate]:.0%} of outliers found at {rate:.0%} false alarms" for rate in found))
    return areas


if __name__ == "__main__":
    main(crops(sys.argv[1]))
