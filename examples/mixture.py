# SPDX-License-Identifier: Apache-2.0
"""A mixture of two flows, whose flows and weights `FlowModel` trains together.

`tfd.MixtureSameFamily` requires a component distribution with a batch shape, which flows do not have. `tfd.Mixture`
accepts a list of distributions instead. `python -m examples.mixture` trains a single flow and a mixture of two flows on
points of a ring and of a separate blob. It prints the negative log-likelihood of new points under each model.
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

import tfp_glow

tfd = tfp.distributions


def draw(number: int, seed: int) -> np.ndarray:
    """Draws points `[number, 2]`. Each is on a ring with probability 3/4, otherwise in a separate blob."""
    rng = np.random.RandomState(seed)
    angle = rng.uniform(0.0, 2.0 * np.pi, number)
    ring = np.stack([np.cos(angle) - 2.0, np.sin(angle)], axis=1) + 0.1 * rng.standard_normal((number, 2))
    blob = [2.0, 0.0] + 0.3 * rng.standard_normal((number, 2))
    return np.where(rng.uniform(size=(number, 1)) < 0.75, ring, blob).astype("float32")


def flow(center: float, seed: int) -> tfp.distributions.Distribution:
    """Returns a RealNVP whose samples are around the point `(center, 0)` before training."""
    return tfp_glow.realnvp_vector(
        (2,), num_couplings=6, hidden_sizes=(32, 32), activation="tanh", loc=(center, 0.0), seed=seed)


def mixture_of_two() -> tfp.distributions.Mixture:
    """Returns a mixture of two flows with learned weights."""
    weights = tfd.Categorical(logits=tf.Variable(tf.zeros(2)))
    return tfd.Mixture(weights, [flow(-2.0, seed=0), flow(2.0, seed=1)])


def main(epochs: int = 20, number: int = 8192) -> tuple[dict[str, float], np.ndarray]:
    """Trains both models and prints their losses.

    Args:
      epochs: number of epochs of training per model.
      number: number of training points.

    Returns:
      A pair. First, a dict of the negative log-likelihoods of new points in nats per point, `"one flow"` and
      `"mixture"`. Second, the two weights of the mixture, an array `[2]`.
    """
    points, new = draw(number, seed=0), draw(2000, seed=1)
    models = {"one flow": tfp_glow.FlowModel(flow(0.0, seed=0)), "mixture": tfp_glow.FlowModel(mixture_of_two())}
    losses = {}
    for name, model in models.items():
        model.compile(keras.optimizers.Adam(3e-3))
        model.fit(points, batch_size=256, epochs=epochs, verbose=0)
        losses[name] = -float(tf.reduce_mean(model.log_prob(new)))
        print(f"{name}: {losses[name]:.3f} nats per point")
    weights = models["mixture"].distribution.cat.probs_parameter().numpy()
    print(f"weights of ring and blob: {weights.round(2)} (the true weights are 0.75 and 0.25)")
    return losses, weights


if __name__ == "__main__":
    main()
