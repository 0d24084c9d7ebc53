# SPDX-License-Identifier: Apache-2.0
"""Tests that the initial weights and the default optimizer keep wide flows stable."""

import keras
import numpy as np
import pytest
from sklearn.datasets import load_digits

import tfp_glow

IMAGES = load_digits().images[:64, ..., np.newaxis].astype("uint8")


def losses(optimizer=None):
    """Returns the bits/dim of each of 8 steps of a wide Glow on digits."""
    model = tfp_glow.FlowModel(tfp_glow.glow((8, 8, 1), num_levels=1, num_steps=8, width=512, num_bits=5, seed=1))
    model.compile(*([] if optimizer is None else [optimizer]))
    data, steps = np.concatenate([IMAGES] * 4), []

    class EachStep(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            steps.append(logs["bits_per_dim"])
            self.model.reset_metrics()

    model.fit(data, batch_size=32, epochs=1, shuffle=False, verbose=0, callbacks=[EachStep()])
    return np.array(steps)


@pytest.mark.parametrize("optimizer", [
    pytest.param(None, id="default"),
    pytest.param(keras.optimizers.Adamax(1e-3), id="adamax without warm-up", marks=pytest.mark.slow)])
def test_a_wide_glow_trains_from_the_first_step(optimizer):
    bits = losses(optimizer)
    assert bits.max() < bits[0] + 0.5
    assert bits[-1] < bits[0]


def test_the_default_optimizer_warms_up():
    model = tfp_glow.FlowModel(tfp_glow.realnvp_vector((2,), num_couplings=1, hidden_sizes=(4,)))
    model.compile()
    assert not model.jit_compile
    rate = model.optimizer._learning_rate
    assert float(rate(0)) == 0.0 and float(rate(50)) == pytest.approx(5e-4)
    assert float(rate(100)) == float(rate(10_000)) == pytest.approx(1e-3)
    loaded = tfp_glow.FlowModel.from_config(model.get_config())
    loaded.compile_from_config(model.get_compile_config())
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
