# SPDX-License-Identifier: Apache-2.0
"""Mistakes in bijectors that users write: parameters that are not registered, and wrong log-determinants."""

import keras
import pytest
import tensorflow as tf

from tfp_glow import bijectors as tfgb


class Halved(tfgb.FlowBijector):
    """The method `_inverse_and_log_det` returns what the test chooses."""

    def __init__(self, returned):
        super().__init__((2,))
        self._returned = returned

    def _forward_and_log_det(self, x, **conditions):
        return 2.0 * x, self._returned(x)[1]

    def _inverse_and_log_det(self, y, **conditions):
        return self._returned(y)


class Holder(tfgb.FlowBijector):
    """The constructor sets the attribute `held` to what a function of the bijector returns."""

    def __init__(self, make):
        super().__init__((2,))
        self.held = make(self)


def built(layer):
    layer.build((None, 2))
    return layer


@pytest.mark.parametrize(("make", "remedy"), [
    (lambda self: keras.layers.Dense(2), "self._add_network"),
    (lambda self: built(keras.layers.Dense(2)), "self._add_network"),
    (lambda self: [keras.Sequential([keras.layers.Dense(2)])], "self._add_network"),
    (lambda self: keras.Variable(1.0), "self._add_parameter")], ids=["layer", "built", "list", "variable"])
def test_keras_objects_that_are_not_registered_are_refused(make, remedy):
    with pytest.raises(ValueError, match=f"Holder: attribute `held` must hold a registered .*`self.held = {remedy}"):
        Holder(make)


def test_registered_parameters_are_found():
    network = Holder(lambda self: self._add_network(built(keras.layers.Dense(2))))
    parameter = Holder(lambda self: [self._add_parameter("scale", (2,))])
    assert (len(network.trainable_variables), len(parameter.trainable_variables)) == (2, 1)


@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: tfgb.Steps([tfgb.Permute((2,), [1, 0]), b])])
def test_a_log_det_that_is_not_summed_is_refused(wrap):
    bijector = wrap(Halved(lambda y: (0.5 * y, tf.zeros_like(y))))
    for size in (2, 3):
        with pytest.raises(ValueError, match=r"`_inverse_and_log_det` must return a log-determinant of the batch shape "
                                             rf"\({size},\).*received one of shape \({size}, 2\). Sum it"):
            bijector.inverse_log_det_jacobian(tf.zeros((size, 2)))
        with pytest.raises(ValueError, match="`_forward_and_log_det` must return a log-determinant of the batch shape"):
            bijector.forward(tf.zeros((size, 2)))


def test_a_value_without_its_log_det_is_refused():
    with pytest.raises(ValueError, match="must return a pair, the value and its log-determinant; received EagerTensor"):
        Halved(lambda y: 0.5 * y).inverse(tf.zeros((2, 2)))


def test_a_scalar_log_det_may_be_a_python_number():
    bijector = Halved(lambda y: (0.5 * y, -1.5))
    assert bijector.inverse_log_det_jacobian(tf.zeros((3, 2))).numpy().tolist() == [-1.5] * 3


def test_the_event_shape_is_a_sequence():
    with pytest.raises(ValueError, match=r"`event_shape` must be a sequence of ints, such as \(2,\); received 2"):
        tfgb.FlowBijector(2)
