# SPDX-License-Identifier: Apache-2.0
"""Functions that check and create the parts of a model under its distribution strategy."""

from collections.abc import Iterable
from typing import Any

import keras
import tensorflow as tf


def check_scope(strategy: tf.distribute.Strategy, part: str, variables: Iterable[keras.Variable]) -> None:
    """Checks that a distribution strategy created all variables of a part of a model.

    Args:
      strategy: the strategy of the model.
      part: name of the part, for the error message.
      variables: the variables of the part.

    Raises:
      ValueError: if a variable was created outside of the scope of the strategy.
    """
    with strategy.scope():
        is_default = not tf.distribute.has_strategy()
    if not is_default and not all(strategy.extended.variable_created_in_scope(v.value) for v in variables):
        raise ValueError(f"The {part} must be created under the distribution strategy, {type(strategy).__name__}. "
                         "Build the distribution, the `FlowModel` and the optimizer, and call `compile`, inside "
                         "`with strategy.scope():`.")


def metrics_in_scope(strategy: tf.distribute.Strategy, argument: str, metrics: Any) -> Any:
    """Creates the variables of the metrics of `compile` under a distribution strategy.

    With several replicas, Keras would create the variables of metrics in the first step, where this is not possible.

    Args:
      strategy: the strategy of the model.
      argument: name of the argument, for error messages.
      metrics: a list of metrics, functions and names of functions, as Keras's `compile` accepts it.

    Returns:
      A list of metrics, or `metrics` itself if there is one replica.

    Raises:
      ValueError: if a metric has no variables yet and is no function of conditions and log-densities.
      ValueError: if a metric was created outside of the scope of the strategy.
    """
    if not isinstance(metrics, (list, tuple)) or strategy.num_replicas_in_sync == 1:
        return metrics
    return [_metric_in_scope(strategy, argument, metric) for metric in metrics]


def _metric_in_scope(strategy: tf.distribute.Strategy, argument: str, metric: Any) -> keras.metrics.Metric:
    with strategy.scope():
        # Keras chooses the metric of these names from the shapes of the first batch.
        found = metric if metric in ("accuracy", "acc", "crossentropy", "ce") else keras.metrics.get(metric)
        if isinstance(metric, str) and isinstance(found, keras.metrics.Metric):
            found = type(found)(name=metric)
        elif callable(found) and not isinstance(found, keras.metrics.Metric):
            found = keras.metrics.MeanMetricWrapper(found, name=metric if isinstance(metric, str) else found.__name__)
    if not isinstance(found, keras.metrics.Metric):
        raise ValueError(f"Argument `{argument}` must hold keras.metrics.Metric objects, functions or names of "
                         f"functions if there are several replicas; received {metric!r}.")
    check_scope(strategy, f"metric {found.name!r}", found.variables)
    return found
