# SPDX-License-Identifier: Apache-2.0
"""MADE: a dense network masked such that every output depends on earlier inputs only."""

import keras
import numpy as np
from keras import ops

from tfp_glow._checks import check_activation, check_int, check_ints
from tfp_glow.networks.mlp import as_attributes, shared_seed


class MaskedDense(keras.Layer):
    """A dense layer whose kernel `[inputs, outputs]` counts only where `mask`, an array of its shape, is not 0."""

    def __init__(self, mask, kernel_initializer, **kwargs):
        super().__init__(**kwargs)
        self.mask = mask
        self.kernel = self.add_weight(name="kernel", shape=mask.shape, initializer=kernel_initializer)
        self.bias = self.add_weight(name="bias", shape=mask.shape[1:], initializer="zeros")
        self.built = True

    def call(self, inputs):
        return ops.matmul(inputs, self.kernel * ops.convert_to_tensor(self.mask, dtype=inputs.dtype)) + self.bias


@keras.saving.register_keras_serializable("tfp_glow")
class MADE(keras.Layer):
    """A masked autoregressive network: outputs `[..., i, :]` depend on inputs `[..., :i]` alone.

    Hidden unit `k` has the degree `1 + k % (size - 1)` and sees what has at most that degree; the outputs for input `i`
    (degree `i + 1`) see hidden units of lower degree. The last layer starts at zero.

    Fit for `tfp_glow.bijectors.MaskedAutoregressive`, and for `tfb.MaskedAutoregressiveFlow(MADE(size))`: the two
    outputs for an input are its shift and log-scale.

    Args:
      size: how many inputs there are.
      hidden_sizes: sizes of the hidden layers, a sequence of ints, possibly empty.
      activation: name of a Keras activation or a callable, for the hidden layers.
      num_outputs: outputs for every input.
      seed: an int or `keras.random.SeedGenerator` for the kernels, or None for Keras's global seed.
      dtype: dtype or policy of the layer.
      **kwargs: further arguments of `keras.Layer`.

    Inputs `[..., size]`, with any batch shape, outputs `[..., size, num_outputs]`.

    Raises:
      ValueError: if a size is not a positive whole number.

    Reference: Germain, Gregor, Murray and Larochelle, *MADE*, 2015; Papamakarios, Pavlakou and Murray, *Masked
    autoregressive flow*, 2017.

    >>> MADE(3, hidden_sizes=(16, 16))(keras.ops.zeros((5, 3))).shape
    TensorShape([5, 3, 2])
    """

    def __init__(self, size, hidden_sizes=(64, 64), activation="relu", num_outputs=2, seed=None, dtype=None,
                 **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.size, self.num_outputs = check_int("size", size), check_int("num_outputs", num_outputs)
        self.hidden_sizes = check_ints("hidden_sizes", hidden_sizes)
        self.activation = check_activation("activation", activation)
        glorot = keras.initializers.GlorotUniform(seed=shared_seed(seed))
        self.dense = as_attributes(self, [
            MaskedDense(mask, "zeros" if index == len(self.hidden_sizes) else glorot, dtype=self.dtype_policy,
                        name=f"dense_{index}")
            for index, mask in enumerate(_masks(size, self.hidden_sizes, num_outputs))])
        self.built = True

    def call(self, inputs):
        hidden = ops.reshape(inputs, (-1, self.size))
        for index, dense in enumerate(self.dense):
            hidden = dense(self.activation(hidden) if index else hidden)
        return ops.reshape(hidden, (*ops.shape(inputs), self.num_outputs))

    def compute_output_shape(self, input_shape):
        return (*input_shape, self.num_outputs)

    def get_config(self):
        return {**super().get_config(), "size": self.size, "hidden_sizes": list(self.hidden_sizes),
                "activation": keras.activations.serialize(self.activation), "num_outputs": self.num_outputs}


def _masks(size, hidden_sizes, num_outputs):
    """0/1 masks of the kernels `[inputs, outputs]` of every layer, by the units' degrees."""
    degrees = [np.arange(1, size + 1)]
    degrees += [1 + np.arange(hidden) % max(1, size - 1) for hidden in hidden_sizes]
    masks = [before[:, np.newaxis] <= after for before, after in zip(degrees, degrees[1:], strict=False)]
    return [*masks, degrees[-1][:, np.newaxis] < np.repeat(degrees[0], num_outputs)]
