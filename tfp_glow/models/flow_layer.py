# SPDX-License-Identifier: Apache-2.0
"""`FlowLayer`: a Keras layer around a distribution or a bijector."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow._tracking import Hidden, VariableList
from tfp_glow._types import TensorLike
from tfp_glow.bijectors import initialize
from tfp_glow.bijectors._context import context_keywords
from tfp_glow.bijectors._single_pass import inverse_and_log_det
from tfp_glow.bijectors.keras_tracking import FlowVariables
from tfp_glow.flows import config_from_file, config_of, config_to_dict
from tfp_glow.models.conditions import Condition


@keras.saving.register_keras_serializable("tfp_glow")
class FlowLayer(keras.layers.Layer):
    """A Keras layer around a distribution or a bijector, whose variables become variables of the layer.

    A flow of this package needs no `FlowLayer` as an attribute of a Keras model: after `self.flow = flow`, the model
    trains and saves the variables of the flow. A `FlowLayer` is for other cases:

    * distributions and bijectors of TFP without a flow bijector, whose variables are `tf.Variable`s;
    * flows in lists that grow after the assignment, and in functions;
    * functional models, `keras.Model(inputs, FlowLayer(flow)(inputs))`;
    * flows that must not change: `FlowLayer(flow, trainable=False)`.

    A call computes the log-density of events, or the latents if `flow` is a bijector. `keras.Model.save` saves the
    layer if a flow of this package, or a function that `tfp_glow.flows.register_flow` decorates, built `flow`.

    Args:
      flow: a `tfd.Distribution` over one tensor, or a `tfb.Bijector`.
      **kwargs: further arguments of `keras.layers.Layer`. The default of `dtype` is the dtype of `flow`.

    Input shape:
      `[..., *event_shape]`, floats. The layer adds no noise to integers.

    Output shape:
      Distributions: the log-density, `[...]`, in nats. Bijectors: the pair of the latents, `[..., *latent_shape]`, and
      the log-determinant of the inverse pass, `[...]`.

    Raises:
      ValueError: if `flow` is neither a distribution over one tensor nor a bijector. In a call: if `condition` is
        missing or has another type or shape.

    Example:

    >>> flow = tfp_glow.realnvp_vector(2, num_couplings=2, hidden_sizes=(8,))
    >>> inputs = keras.Input((2,))
    >>> model = keras.Model(inputs, tfp_glow.FlowLayer(flow)(inputs))
    >>> len(model.trainable_variables) == len(flow.trainable_variables)
    True
    >>> model.predict(np.zeros((3, 2)), verbose=0).shape
    (3,)
    """

    def __init__(self, flow: tfd.Distribution | tfb.Bijector, **kwargs: Any):
        if not isinstance(flow, (tfd.Distribution, tfb.Bijector)) or tf.nest.is_nested(flow.dtype):
            raise ValueError("Argument `flow` must be a tfd.Distribution over one tensor or a tfb.Bijector; "
                             f"received {flow!r}.")
        super().__init__(**{"dtype": getattr(flow.dtype, "name", "float32"), **kwargs})
        self._flow = Hidden(flow)
        self._condition = Condition(flow) if isinstance(flow, tfd.Distribution) else None
        self.flow_variables = FlowVariables([flow], name="flow_variables", dtype=self.dtype_policy)
        self.saved_variables = VariableList(self.flow_variables.variables)
        self.flow_variables.trainable = self.trainable  # Keras does not pass the argument on to inner layers.
        self.built = True

    @property
    def flow(self) -> tfd.Distribution | tfb.Bijector:
        """The distribution or bijector."""
        return self._flow.value

    def call(self, x: TensorLike, condition: TensorLike | None = None) -> Any:
        """Computes the log-density of events. For a bijector, computes latents and log-determinant.

        Args:
          x: events, `[..., *event_shape]`.
          condition: labels `[...]` for a flow with `num_classes`, or contexts `[..., *context_shape]`. Required if
            `flow` has a context, otherwise None (the default).

        Returns:
          The log-density `[...]` of a distribution, or for a bijector the pair
          `(latents, inverse_log_det_jacobian)`.

        Raises:
          ValueError: if `condition` is missing or has another type or shape.
        """
        x = tf.cast(x, self.compute_dtype)
        if self._condition is not None:
            return self.flow.log_prob(x, **_keywords(self._condition, condition))
        keywords = {} if condition is None else context_keywords(self.flow, condition)
        return inverse_and_log_det(self.flow, x, self.flow.inverse_min_event_ndims, **keywords)

    def initialize(self, batch: TensorLike, condition: TensorLike | None = None) -> None:
        """Sets the data-dependent parameters of the flow from a batch of events, as `tfp_glow.initialize` does.

        Args:
          batch: events, floats `[batch, *event_shape]`.
          condition: labels or contexts, as for a call.

        Raises:
          ValueError: if `tfp_glow.initialize` raises it, or if `condition` is missing or has another type or shape.
        """
        context = {}
        if self._condition is not None and self._condition.spec is not None:
            _keywords(self._condition, condition)
            context = {"context": self._condition.context(tf.convert_to_tensor(condition))}
        elif condition is not None:
            context = {"context": condition}
        initialize(self.flow, tf.cast(batch, self.compute_dtype), **context)

    def get_config(self) -> dict[str, Any]:
        """Returns the config from which `from_config` builds the layer, a dict of plain data.

        Raises:
          ValueError: if neither a flow of this package nor a function that `tfp_glow.flows.register_flow` decorates
            built the flow.
        """
        config = config_of(self.flow) if self._condition is not None else None
        if config is None:
            raise ValueError("A FlowLayer can be saved whole only if a flow of this package, or a function that "
                             "`tfp_glow.flows.register_flow` decorates, built its flow. Otherwise save the weights "
                             f"(`save_weights`), build the model again and load them. The flow is {self.flow!r}.")
        return {**super().get_config(), "flow": config_to_dict(config)}

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "FlowLayer":
        """Builds a layer, with new weights, from a config that `get_config` returned."""
        return cls(**{**config, "flow": config_from_file(config["flow"]).build()})


def _keywords(conditions: Condition, condition: TensorLike | None) -> dict[str, Any]:
    """Returns the keyword arguments of `log_prob` that pass a condition."""
    spec = conditions.spec
    if (condition is None) != (spec is None):
        requirement = "must be left out" if spec is None else f"must hold {spec.name}, one per event"
        raise ValueError(f"Argument `condition` {requirement}; received {condition!r}.")
    return conditions.keywords(*([] if condition is None else [tf.convert_to_tensor(condition)]))
