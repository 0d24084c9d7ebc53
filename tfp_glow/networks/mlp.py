# SPDX-License-Identifier: Apache-2.0
"""A dense network for couplings of vectors."""

import keras

from tfp_glow._checks import check_activation, check_int, check_ints
from tfp_glow.networks._context import joined, joined_shape


@keras.saving.register_keras_serializable("tfp_glow")
class MLP(keras.Layer):
    """Dense layers, the last one linear and starting at zero.

    Args:
      out_features: size of the output; for `AffineCoupling` over the halves of `(D,)`, twice that of the changed half.
      hidden_sizes: sizes of the hidden layers, a sequence of ints, possibly empty.
      activation: name of a Keras activation or a callable, for the hidden layers.
      seed: an int or `keras.random.SeedGenerator` for the kernels, or None for Keras's global seed.
      dtype: dtype or policy of the layer (`"mixed_bfloat16"` computes in bfloat16 with float32 weights).
      **kwargs: further arguments of `keras.Layer`.

    Inputs `[batch, features]`, or `[kept, context]` with a context `[batch, size]`; outputs `[batch, out_features]`.

    Raises:
      ValueError: if `out_features` or a hidden size is not a positive whole number.

    Reference: Dinh, Krueger and Bengio, *NICE*, 2015, section 5.1.

    >>> MLP(4, hidden_sizes=(16, 16))(keras.ops.zeros((3, 2))).shape
    TensorShape([3, 4])
    """

    def __init__(self, out_features, hidden_sizes=(64, 64), activation="relu", seed=None, dtype=None, **kwargs):
        super().__init__(dtype=dtype, **kwargs)
        self.out_features = check_int("out_features", out_features)
        self.hidden_sizes = check_ints("hidden_sizes", hidden_sizes)
        self.activation = check_activation("activation", activation)
        glorot = keras.initializers.GlorotUniform(seed=shared_seed(seed))
        self.hidden = as_attributes(self, [
            keras.layers.Dense(size, self.activation, kernel_initializer=glorot, dtype=self.dtype_policy,
                               name=f"hidden_{index}") for index, size in enumerate(self.hidden_sizes)])
        self.out = keras.layers.Dense(self.out_features, kernel_initializer="zeros", dtype=self.dtype_policy,
                                      name="out")

    def build(self, input_shape):
        input_shape = joined_shape(input_shape)
        for layer in (*self.hidden, self.out):
            layer.build(input_shape)
            input_shape = layer.compute_output_shape(input_shape)

    def call(self, inputs):
        inputs = joined(inputs)
        for layer in self.hidden:
            inputs = layer(inputs)
        return self.out(inputs)

    def compute_output_shape(self, input_shape):
        return (*joined_shape(input_shape)[:-1], self.out_features)

    def get_config(self):
        return {**super().get_config(), "out_features": self.out_features, "hidden_sizes": list(self.hidden_sizes),
                "activation": keras.activations.serialize(self.activation)}


def as_attributes(owner, layers):
    """Makes each of a list of layers an attribute, by its name: TensorFlow's checkpoints follow those, not lists."""
    for layer in layers:
        setattr(owner, layer.name, layer)
    return layers


def shared_seed(seed):
    """A seed generator, so that initialisers given the same int do not draw the same numbers."""
    return seed if isinstance(seed, keras.random.SeedGenerator) else keras.random.SeedGenerator(seed)
