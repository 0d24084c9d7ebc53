# SPDX-License-Identifier: Apache-2.0
"""Warnings about a training that starts badly or changes nothing: parameters not initialized, or not tracked by Keras.

Each flow warns once. The outermost flow bijector of a pass makes the checks.
"""

import contextlib
import threading
import warnings
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import keras
import tensorflow as tf

from tfp_glow._compat_keras import called_layer
from tfp_glow._compat_tensorflow import could_possibly_record, derivative_order


class _Flow(Protocol):
    has_warned: bool
    known_as_initialized: bool

    @property
    def name(self) -> str: ...

    @property
    def is_initialized(self) -> bool: ...

    @property
    def trainable_variables(self) -> Sequence[tf.Variable]: ...

    @property
    def keras_variables(self) -> Sequence[keras.Variable]: ...


class _Pass(threading.local):
    is_running = False


_PASS = _Pass()


@contextlib.contextmanager
def checked_training(flow: Any, from_data: bool) -> Iterator[None]:
    """Returns a context manager for a pass of a flow bijector. At its start it makes the checks of this module.

    Args:
      flow: the `FlowBijector`.
      from_data: a bool, True for a pass from data to latents.
    """
    if _PASS.is_running:
        yield
        return
    _PASS.is_running = True
    try:
        if not flow.has_warned and could_possibly_record():
            _check(flow, called_layer(), from_data and not flow.known_as_initialized)
        yield
    finally:
        _PASS.is_running = False


def _check(flow: _Flow, layer: keras.layers.Layer | None, check_initialization: bool) -> None:
    """Makes the checks if an active gradient tape or forward accumulator records trainable variables of the flow."""
    if layer is None and not check_initialization:
        return
    if derivative_order(trainable_tensors(flow.trainable_variables)) > 0:
        if layer is not None:
            _check_tracking(flow, layer)
        if check_initialization:
            _check_initialization(flow)


def _check_tracking(flow: _Flow, layer: keras.layers.Layer) -> None:
    """Warns if `layer`, which Keras is calling, tracks none of the trainable variables of a flow."""
    trained = {id(variable) for variable in flow.keras_variables if variable.trainable}
    if trained and trained.isdisjoint(map(id, layer.variables)):
        flow.has_warned = True
        warnings.warn(
            f"{flow.name}: the Keras layer {layer.name!r} uses this flow in training, but does not track its "
            "variables, so training does not change them. In the constructor of the layer, assign the flow to an "
            "attribute (`self.flow = flow`), or a `tfp_glow.FlowLayer(flow)`. For a flow that must not change, assign "
            "a `tfp_glow.FlowLayer(flow, trainable=False)`.", stacklevel=2)


def _check_initialization(flow: _Flow) -> None:
    """Warns if a gradient tape records the variables of a flow whose data-dependent parameters are not set."""
    with tf.init_scope():
        flow.known_as_initialized = not tf.executing_eagerly() or flow.is_initialized
    if not flow.known_as_initialized:
        flow.has_warned = True
        warnings.warn(
            f"{flow.name}: a gradient tape records this flow, but its data-dependent parameters are not set, so "
            "training starts at a poor density. Before training, call `tfp_glow.initialize(flow, batch)` with a batch "
            "of data.", stacklevel=2)


def trainable_tensors(variables: Sequence[Any]) -> list[tf.Tensor]:
    """Returns tensors of which an active tape or accumulator records at least one if it records trainable variables.

    Args:
      variables: a sequence of `tf.Variable`s.
    """
    trainables = [v for v in variables if v.trainable]
    # A tape that records all variables which are read starts to do so at the first reading.
    return [*(v.read_value() for v in trainables[:1]), *(c.handle for c in components(trainables))]


def components(variables: Sequence[Any]) -> list[Any]:
    """Returns the variables, with each variable of a strategy replaced by its copies on the devices."""
    return [c for v in variables for c in getattr(v, "values", (v,))]
