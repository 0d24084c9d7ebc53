# SPDX-License-Identifier: Apache-2.0
"""`FlowDistribution`: the `tfd.TransformedDistribution` that the flows of this package return."""

import functools
import inspect
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow._compat_tfp import TransformedDistribution
from tfp_glow._types import TensorLike

_KEYWORDS = ("bijector_kwargs", "distribution_kwargs")


@keras.saving.register_keras_serializable("tfp_glow")
class FlowDistribution(TransformedDistribution):
    """A `tfd.TransformedDistribution` that can be copied and pickled and that rejects unknown keywords.

    It has all methods of `tfd.TransformedDistribution`, and these differences:

    * A keyword of `log_prob`, `sample` and similar methods must be `bijector_kwargs` or `distribution_kwargs`. TFP
      ignores other keywords.
    * `copy` keeps the `config` if the base distribution and the bijector stay the same.
    * `pickle`, `copy.deepcopy` and `copy.copy` work. The first two build the flow again from its `config` and set its
      variables. `copy.copy` returns a flow that shares the variables.

    Args:
      distribution: the base distribution over the latents, a `tfd.Distribution`.
      bijector: the bijector that maps latents to data by `forward`, a `tfb.Bijector`.
      kwargs_split_fn: a function that splits a dict of keywords into those of the base distribution and those of the
        bijector, as in TFP. None (the default) means the two keywords above.
      validate_args: a bool, passed to `tfd.TransformedDistribution`. The default is False.
      name: name of the distribution, a string. None (the default) means `default_name`. In a joint distribution of
        TFP, None means the name of the variable there.
      default_name: name for `name=None`, a string. None (the default) means the name that TFP would use.
      num_classes: number of classes, an int, if the context of `bijector` is a one-hot label. Otherwise None (the
        default).

    Attributes:
      config: the `FlowConfig` that rebuilds the flow, or None if no registered flow built it.
      num_classes: the argument `num_classes`.
    """

    def __init__(self, distribution: tfd.Distribution, bijector: tfb.Bijector, kwargs_split_fn: Any = None,
                 validate_args: bool = False, name: str | None = None, default_name: str | None = None,
                 num_classes: int | None = None):
        parameters = dict(locals())
        split = kwargs_split_fn or functools.partial(_split_keywords, num_classes=num_classes)
        super().__init__(distribution, bijector, split, validate_args, parameters, name or default_name)
        self.num_classes = num_classes
        self.config: Any = None

    @classmethod
    def from_transformed(cls, distribution: tfd.Distribution) -> "FlowDistribution":
        """Converts a `tfd.TransformedDistribution`. The result shares its base distribution and its bijector."""
        given = distribution.parameters
        default_split = inspect.signature(TransformedDistribution).parameters["kwargs_split_fn"].default
        split = None if given["kwargs_split_fn"] is default_split else given["kwargs_split_fn"]
        return cls(distribution.distribution, distribution.bijector, split, given["validate_args"], given["name"],
                   default_name=distribution.name)

    @classmethod
    def _parameter_properties(cls, dtype: tf.DType | None, num_classes: int | None = None) -> dict[str, Any]:
        return super()._parameter_properties(dtype, num_classes)

    def copy(self, **override_parameters_kwargs: Any) -> "FlowDistribution":
        """Returns a distribution with the same variables, built with other constructor arguments.

        Args:
          **override_parameters_kwargs: the arguments of the constructor that change.

        Returns:
          A `FlowDistribution`. Its `config` is None if the base distribution or the bijector changes.
        """
        # TFP's method stores the original in the copy, whose `variables` would then include those of replaced parts.
        new = type(self)(**{**self.parameters, **override_parameters_kwargs})
        same = new.bijector is self.bijector and new.distribution is self.distribution
        if same and self.config is not None:
            new.config = self.config.renamed(new.parameters["name"])
        return new

    def get_config(self) -> dict[str, Any]:
        """Returns the config of the flow as a dict of plain data, so that Keras can save a layer with a flow argument.

        Raises:
          ValueError: if no registered flow built the distribution.
        """
        if self.config is None:
            raise ValueError(f"The distribution {self.name!r} has no config, because no registered flow built its base "
                             "distribution and its bijector. Build it in a function that "
                             "`tfp_glow.flows.register_flow` decorates.")
        return self.config.to_dict()

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> tfd.Distribution:
        """Builds the flow, with new weights, from a config that `get_config` returned."""
        from tfp_glow.flows._config import config_from_file  # That module imports this one.

        return config_from_file(config).build()

    def __copy__(self) -> "FlowDistribution":
        return self.copy()

    def __reduce__(self) -> tuple[Any, ...]:
        if self.config is None:
            raise TypeError(
                f"The distribution {self.name!r} cannot be pickled or copied deeply, because no registered flow built "
                "its base distribution and its bijector. Build it in a function that "
                "`tfp_glow.flows.register_flow` decorates, or store the values of `distribution.variables` and build "
                "it again.")
        overrides = {key: self.parameters[key] for key in ("kwargs_split_fn", "validate_args", "name")}
        return _rebuild, (self.config, overrides, [variable.numpy() for variable in self.variables])


def _rebuild(config: Any, overrides: Mapping[str, Any], values: list[np.ndarray]) -> FlowDistribution:
    flow = config.build()
    for variable, value in zip(flow.variables, values, strict=True):
        variable.assign(value)
    changed = {key: value for key, value in overrides.items() if flow.parameters[key] != value}
    return flow.copy(**changed) if changed else flow


def _split_keywords(keywords: Mapping[str, Any], num_classes: int | None = None,
                    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """Returns the keywords of the base distribution and those of the bijector.

    Raises:
      ValueError: if a keyword is unknown, or if the context of a class-conditional flow holds integers that are not
        one-hot.
    """
    for unknown in set(keywords) - set(_KEYWORDS):
        remedy = _REMEDIES.get(unknown, "")
        raise ValueError(f"Keyword must be one of {', '.join(map(repr, _KEYWORDS))}; received {unknown!r}.{remedy}")
    of_base, of_bijector = (keywords.get(keyword, {}) for keyword in ("distribution_kwargs", "bijector_kwargs"))
    if not isinstance(of_bijector, Mapping):
        raise ValueError(f"Argument `bijector_kwargs` must be a dict; received {of_bijector!r}.{_CONTEXT}")
    if num_classes is not None:
        _check_one_hot(of_bijector.get("context"), num_classes)
    return of_base, of_bijector


def _check_one_hot(context: TensorLike | None, num_classes: int) -> None:
    """Raises `ValueError` for integer labels in the place of one-hot labels, which could broadcast by accident."""
    try:
        context = tf.convert_to_tensor(context)
    except (TypeError, ValueError):
        return  # The bijector raises the error.
    if context.dtype.is_integer and tf.executing_eagerly() and bool(tf.reduce_any((context < 0) | (context > 1))):
        raise ValueError(f"The context of a class-conditional flow must be one-hot labels of shape "
                         f"[..., {num_classes}], tf.one_hot(labels, {num_classes}); received integers of shape "
                         f"{tuple(context.shape)}.")


_CONTEXT = ' Pass a context as bijector_kwargs={"context": ...}; for class labels, tf.one_hot(labels, num_classes).'
_REMEDIES = {
    "temperature": " To sample at a temperature, call tfp_glow.FlowModel(flow).sample(number, temperature=...).",
    **dict.fromkeys(("condition", "conditions", "context", "label", "labels", "y"), _CONTEXT),
    "training": ' Pass it as bijector_kwargs={"training": ...}.',
}
