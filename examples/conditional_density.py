# SPDX-License-Identifier: Apache-2.0
"""A conditional density p(y|x): a Keras encoder of x and a flow of y given the code, trained end to end by one `fit`.

The data are noisy points y on an ellipse. The observation x is a noisy signal whose amplitude is the first half-axis of
the ellipse. `python -m examples.conditional_density` trains one model with the true signals and one with shuffled
signals. It prints the negative log-likelihood of new points under each model, in nats per point.
"""

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow.networks import MLP

tfd = tfp.distributions
SIGNAL_SIZE = 16


def draw(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Draws `number` pairs of a signal x and a point y; returns arrays `[number, SIGNAL_SIZE]` and `[number, 2]`."""
    rng = np.random.RandomState(seed)
    axis, angle = rng.uniform(0.5, 3.0, (number, 1)), rng.uniform(0.0, 2.0 * np.pi, (number, 1))
    x = axis * np.sin(np.linspace(0.0, 2.0 * np.pi, SIGNAL_SIZE)) + 0.1 * rng.standard_normal((number, SIGNAL_SIZE))
    y = np.concatenate([axis * np.cos(angle), np.sin(angle)], axis=1) + 0.1 * rng.standard_normal((number, 2))
    return x.astype("float32"), y.astype("float32")


def conditional_flow(code_size: int = 2, num_couplings: int = 4, width: int = 32) -> tfp.distributions.Distribution:
    """Returns p(y|code), a RealNVP over points y in the plane whose context is a vector of `code_size` numbers."""
    couplings = [
        tfgb.AffineCoupling((2,), MLP(2, (width, width), "tanh", seed=index), mask, scale="tanh",
                            context_shape=(code_size,))
        for index, mask in zip(range(num_couplings), ("channel", "channel_reversed") * num_couplings, strict=False)]
    return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(2)), tfgb.Steps(couplings))


@keras.saving.register_keras_serializable("examples")
class ConditionalDensity(keras.Model):
    """A Keras model of p(y|x). Its inputs are pairs `(x, y)`, its outputs log-densities `log p(y|x)`, `[batch]`.

    Keras trains and saves the variables of the encoder and of the flow, because both are attributes of the model.

    Args:
      code_size: size of the encoder's output, an int.
      **kwargs: further arguments of `keras.Model`.
    """

    def __init__(self, code_size: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.encoder = keras.Sequential([
            keras.Input((SIGNAL_SIZE,)),
            keras.layers.Dense(32, "tanh", kernel_initializer=keras.initializers.GlorotUniform(0)),
            keras.layers.Dense(code_size, kernel_initializer=keras.initializers.GlorotUniform(1))])
        self.flow = conditional_flow(code_size)

    def call(self, inputs: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
        x, y = inputs
        return self.flow.log_prob(y, bijector_kwargs={"context": self.encoder(x)})

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True) -> tf.Tensor:
        return -tf.reduce_mean(y_pred)

    def sample(self, x: tf.Tensor) -> tf.Tensor:
        """Draws one point y for each signal x, `[number, 2]`."""
        return self.flow.sample(len(x), bijector_kwargs={"context": self.encoder(x)})


def main(epochs: int = 40, number: int = 8192) -> dict[str, float]:
    """Trains both models and prints their losses.

    Args:
      epochs: number of epochs of training per model.
      number: number of training pairs.

    Returns:
      A dict of the negative log-likelihoods of new points, in nats per point: `"true signals"`, `"shuffled signals"`.
    """
    (x, y), (new_x, new_y) = draw(number, seed=0), draw(2000, seed=1)
    losses = {}
    for name, given in (("true signals", x), ("shuffled signals", np.random.RandomState(2).permutation(x))):
        model = ConditionalDensity()
        model.compile(keras.optimizers.Adam(3e-3))
        model.fit((given, y), batch_size=256, epochs=epochs, verbose=0)
        losses[name] = model.evaluate((new_x, new_y), batch_size=2000, verbose=0)
        print(f"{name}: {losses[name]:.3f} nats per point")
    return losses


if __name__ == "__main__":
    main()
