# SPDX-License-Identifier: Apache-2.0
"""Two replicas take the first training step of every flow as one device does."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_flows import SMALL_FLOWS, events, moved

import tfp_glow

QUICK = ("iaf",)
NAMES = [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in SMALL_FLOWS]


def after_one_step(name, strategy):
    """Returns the loss of the first step and the weights after it."""
    with strategy.scope():
        model = tfp_glow.FlowModel(moved(SMALL_FLOWS[name](seed=1)))
        model.compile(keras.optimizers.SGD(1e-2))
    x = events(model.distribution)
    model.initialize(x)
    history = model.fit(x, batch_size=len(x), shuffle=False, verbose=0).history
    for variable in model.variables:
        first, *others = [value.numpy() for value in strategy.experimental_local_results(variable.value)]
        for other in others:
            np.testing.assert_array_equal(other, first)
    return history["loss"][0], [keras.ops.convert_to_numpy(v) for v in model.trainable_variables]


@pytest.mark.parametrize("name", NAMES)
def test_the_first_step_of_two_replicas(name):
    loss, weights = after_one_step(name, tf.distribute.get_strategy())
    # The default reduction does not allow several strategies in one process.
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"], tf.distribute.ReductionToOneDevice())
    received, together = after_one_step(name, strategy)
    np.testing.assert_allclose(received, loss, rtol=1e-5)
    for one, two in zip(weights, together, strict=True):
        np.testing.assert_allclose(two, one, atol=1e-5)
