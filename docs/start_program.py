# SPDX-License-Identifier: Apache-2.0
"""The program of the page "Start here": trains Glow on digits, prints bits/dim and writes a picture of samples."""

import keras
import numpy as np
from sklearn.datasets import load_digits

import tfp_glow

images = load_digits().images.astype("uint8")[..., np.newaxis]        # [1797, 8, 8, 1], integers from 0 to 16
images = images[np.random.RandomState(0).permutation(len(images))]
flow = tfp_glow.glow((8, 8, 1), num_levels=2, num_steps=8, width=64, scale="tanh", num_bits=5, seed=0)
model = tfp_glow.FlowModel(flow)
model.compile(keras.optimizers.Adam(1e-3))
model.fit(images[:1500], batch_size=64, epochs=20)
print(model.evaluate(images[1500:], verbose=0, return_dict=True)["bits_per_dim"])
samples = np.pad(model.sample(64, temperature=0.7, seed=1), ((0, 0), (1, 1), (1, 1), (0, 0)))
grid = samples.reshape(8, 8, 10, 10).swapaxes(1, 2).reshape(80, 80, 1)
keras.utils.save_img("digits.png", 15 * grid.repeat(4, 0).repeat(4, 1), scale=False)
