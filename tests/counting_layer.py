# SPDX-License-Identifier: Apache-2.0
"""A dense Keras layer that counts its evaluations."""

import keras
import tensorflow as tf


class Counting(keras.layers.Layer):
    """A dense layer that counts its evaluations, including those in graphs."""

    def __init__(self, outputs):
        super().__init__()
        self.dense = keras.layers.Dense(outputs)
        self.count = tf.Variable(0, dtype=tf.int64, trainable=False)

    def build(self, input_shape):
        self.dense.build(input_shape)

    def compute_output_shape(self, input_shape):
        return self.dense.compute_output_shape(input_shape)

    def call(self, inputs):
        if not isinstance(inputs, keras.KerasTensor):
            self.count.assign_add(1)
        return self.dense(inputs)
