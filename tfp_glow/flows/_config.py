# SPDX-License-Identifier: Apache-2.0
"""Frozen flow configs and the registry that rebuilds flows from them.

`register_flow("glow")` decorates the function `glow`. Each call of the function then stores a `FlowConfig` for the
distribution that it returns: the name `"glow"` and all arguments, as plain data. `FlowModel.save` writes this config to
the file, and `config_from_dict(...).build()` calls the function again.
"""

import dataclasses
import difflib
import functools
import inspect
import re
import weakref
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple, TypeVar

import keras
import numpy as np
import tensorflow as tf
from tensorflow_probability import distributions as tfd

from tfp_glow._compat_keras import is_tracing_layers
from tfp_glow._compat_tfp import TransformedDistribution
from tfp_glow.flows._flow_distribution import FlowDistribution

F = TypeVar("F", bound=Callable)


@dataclasses.dataclass(frozen=True)
class FlowConfig:
    """The name of a registered flow and the arguments to build it with.

    Attributes:
      flow: name of the flow, the argument of `register_flow`, such as `"glow"`.
      arguments: a mapping from the name of each argument of the flow to its value. Values are plain data: numbers,
        strings, bools, None, or tuples of these.
    """

    flow: str
    arguments: Mapping[str, Any]

    def build(self) -> tfd.Distribution:
        """Builds the flow with new weights.

        Returns:
          A `tfd.Distribution`, whose config `config_of` returns.

        Raises:
          ValueError: if the value of an argument is invalid for the flow, or if a `tf.function` calls this method
            outside of the method `build` of a Keras layer.
        """
        registered = _FLOWS[self.flow]
        config = FlowConfig(self.flow, _complete(registered.parameters, self.arguments))
        if tf.inside_function() and not is_tracing_layers():
            raise ValueError(f"The flow {self.flow!r} must be built outside of a tf.function, because each trace would "
                             "create new weights. The function of an auto-batched joint distribution is traced, too: "
                             "build the flow before this function.")
        with tf.init_scope():
            return _remember(registered.build(**config.arguments), config)

    def to_dict(self) -> dict[str, Any]:
        """Returns the same dict as `config_to_dict`."""
        arguments = {key: value for key, value in self.arguments.items() if key != "name" or value is not None}
        return {"flow": self.flow, **arguments}

    def renamed(self, name: str | None) -> "FlowConfig":
        """Returns the config of the same flow with another `name`, or this config if the flow has no such argument."""
        if "name" not in self.arguments:
            return self
        return FlowConfig(self.flow, {**self.arguments, "name": name})


class _RegisteredFlow(NamedTuple):
    source: Callable  # The decorated function or dataclass.
    build: Callable[..., Any]  # Returns the distribution, which does not have a config yet.
    parameters: Mapping[str, inspect.Parameter]
    earlier: Mapping[str, Any] = {}  # Arguments for configs of files that were written before the flow had them.


_FLOWS: dict[str, _RegisteredFlow] = {}
_CONFIGS: weakref.WeakKeyDictionary[tfd.Distribution, FlowConfig] = weakref.WeakKeyDictionary()


def register_flow(name: str, shared: type | None = None, earlier: Mapping[str, Any] | None = None) -> Callable[[F], F]:
    """Returns a decorator that registers a function as a flow, so that Keras can save and load models of this flow.

    If `make_flow` is the decorated function, `FlowModel(make_flow(...)).save("model.keras")` writes the arguments of
    the call and the weights. `keras.saving.load_model("model.keras")` calls `make_flow` with these arguments and then
    loads the weights. The module of `make_flow` must be imported before the model is loaded.

    The decorator accepts a function that returns a `tfd.Distribution`. It also accepts a dataclass whose method
    `build()`, without arguments, returns a `tfd.Distribution`. All arguments of the function, or all fields of the
    dataclass, must be plain data: numbers, strings, bools, None, or tuples of these.

    Args:
      name: name of the flow, a string. No other flow may have this name.
      shared: a dataclass that defines further keyword arguments of a function, or None (the default). The last
        parameter of the function must then be `**data`. In the signature and in the docstring of the decorated
        function, the fields of the dataclass replace `**data`.
      earlier: a mapping from arguments to values, or None (the default). If a file has no entry for such an argument,
        because the flow did not have it when the file was written, a model from this file gets this value instead of
        the default of the argument.

    Returns:
      The decorator. It returns a function with the same signature, or the same dataclass.

    Raises:
      ValueError: if `name` is not a string or belongs to another flow, or if the decorated object is a class but no
        dataclass with a method `build`. When the flow is built: if the result is no `tfd.Distribution`.

    Example:

    >>> @tfp_glow.flows.register_flow("two_norms")
    ... def two_norms(size):
    ...     norms = [tfp_glow.bijectors.ActNorm((size,), data_dependent=False) for _ in range(2)]
    ...     return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(size)), tfb.Chain(norms))
    >>> tfp_glow.FlowModel(two_norms(3)).save("norms.keras")
    >>> keras.saving.load_model("norms.keras").event_shape
    (3,)
    """
    if not isinstance(name, str):
        raise ValueError(f"Argument `name` must be a string; received {name!r}.")

    def decorate(source: F) -> F:
        known = _FLOWS[name].source if name in _FLOWS else source
        if _place(known) != _place(source):  # A reloaded module registers the same place again.
            raise ValueError(f"Argument `name` must be a name that no other flow has; received {name!r}, which belongs "
                             f"to {'.'.join(_place(known))}.")
        if inspect.isclass(source):
            return _register_class(name, source, earlier or {})
        return _register_function(name, source, shared, earlier or {})
    return decorate


register_config = register_flow  # An older name of the same function.


def config_of(distribution: tfd.Distribution) -> FlowConfig | None:
    """Returns the `FlowConfig` of a distribution.

    Args:
      distribution: a `tfd.Distribution`, such as `tfp_glow.glow(...)` returns.

    Returns:
      The name of the flow and the arguments that built `distribution`, or None if no registered flow built it. The
      copy `flow.copy(name=...)` has the config of `flow` with another name. A copy with another base distribution or
      another bijector has no config.
    """
    return distribution.config if isinstance(distribution, FlowDistribution) else _CONFIGS.get(distribution)


def config_to_dict(config: FlowConfig) -> dict[str, Any]:
    """Returns a dict with the name of the flow under the key `"flow"` and each argument under its own name.

    An argument `name` of None is left out.
    """
    return config.to_dict()


def config_from_dict(values: Mapping[str, Any]) -> FlowConfig:
    """Returns the `FlowConfig` that a dict describes.

    This function checks the names of the arguments. `FlowConfig.build` checks their values.

    Args:
      values: a mapping with the name of a registered flow under the key `"flow"`, and arguments of the flow under their
        names. A missing argument has its default value. `config_to_dict` returns such a mapping.

    Raises:
      ValueError: if no flow of this name is registered, the flow has no argument of a given name, or an argument
        without a default is missing.

    Example:

    >>> tfp_glow.flows.config_from_dict({"flow": "glow", "image_shape": (8, 8, 1), "width": 16}).arguments["num_levels"]
    3
    """
    arguments = dict(values)
    name = arguments.pop("flow", None)
    if name not in _FLOWS:
        raise ValueError(f"Config entry `flow` must be one of {sorted(_FLOWS)}, or the name of a flow whose module is "
                         f"imported before; received {name!r}.")
    parameters = _FLOWS[name].parameters
    unknown = sorted(set(arguments) - set(parameters))
    if unknown:
        raise ValueError(f"Config of flow {name!r} must have entries among {sorted(parameters)}; received {unknown} "
                         "in addition.")
    return FlowConfig(name, _complete(parameters, arguments))


def config_from_file(values: Mapping[str, Any]) -> FlowConfig:
    """Returns the `FlowConfig` that a dict from a file describes, which an earlier version may have written.

    The difference from `config_from_dict`: if the flow did not have an argument yet when the file was written, the
    argument has the value `earlier` of `register_flow`, if there is one. So the flow has the weights of the file.

    Args:
      values: a mapping as for `config_from_dict`, such as `config_to_dict` returned.

    Raises:
      ValueError: as `config_from_dict`.

    Example:

    >>> old = {"flow": "maf", "event_shape": (2,), "num_layers": 3}
    >>> [load(old).arguments["backprop"] for load in (config_from_dict, config_from_file)]
    ['stored', 'unrolled']
    """
    registered = _FLOWS.get(values.get("flow", ""))
    # Keras wrote `dtype=np.float32` as a dict, before flows stored the name.
    values = {name: value["config"] if isinstance(value, dict) and value.get("class_name") == "type" else value
              for name, value in values.items()}
    return config_from_dict({**(registered.earlier if registered else {}), **values})


def _register_function(name: str, function: Any, shared: type | None, earlier: Mapping[str, Any]) -> Any:
    signature = inspect.signature(function)
    if shared is not None:
        function.__doc__ = _document_shared(function.__doc__, shared, signature.parameters)
        signature = _with_shared(signature, shared)

    @functools.wraps(function)
    def build(*args: Any, **kwargs: Any) -> tfd.Distribution:
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:  # Its message does not name the function.
            raise TypeError(f"{function.__name__}() {_argument_error(str(error), signature, kwargs)}") from None
        arguments = _complete(signature.parameters, bound.arguments)
        return FlowConfig(name, _with_global_policy(arguments)).build()

    build.__signature__ = signature  # type: ignore[attr-defined]
    _FLOWS[name] = _RegisteredFlow(function, function, signature.parameters, earlier)
    return build


# The argument that conditions a flow of one kind, and the argument of the other kind.
_CONDITIONS = {"context_shape": ("num_classes", "classes"), "num_classes": ("context_shape", "contexts")}


def _argument_error(message: str, signature: inspect.Signature, kwargs: Mapping[str, Any]) -> str:
    """Adds to the message of a failed call the arguments that the caller may have meant."""
    for given, (other, kind) in _CONDITIONS.items():
        if given in kwargs and given not in signature.parameters and other in signature.parameters:
            return f"{message}; this flow is conditioned on {kind}, argument {other}"
    close = [name for given in kwargs if given not in signature.parameters
             for name in difflib.get_close_matches(given, signature.parameters, 1)]
    return f"{message}; did you mean {' and '.join(close)}?" if close else message


def _register_class(name: str, source: Any, earlier: Mapping[str, Any]) -> Any:
    build = getattr(source, "build", None)
    if build is None or not hasattr(source, "__dataclass_fields__"):
        raise ValueError("register_flow must decorate a function, or a dataclass with a method `build`; received "
                         f"{source!r}.")

    @functools.wraps(build)
    def remembering_build(self: Any) -> tfd.Distribution:
        return _remember(build(self), FlowConfig(name, _plain(dataclasses.asdict(self))))

    source.build = remembering_build
    parameters = inspect.signature(source).parameters
    _FLOWS[name] = _RegisteredFlow(source, lambda **arguments: build(source(**arguments)), parameters, earlier)
    return source


def _remember(distribution: Any, config: FlowConfig) -> tfd.Distribution:
    if not isinstance(distribution, tfd.Distribution):
        raise ValueError(f"The flow {config.flow!r} must return a tfd.Distribution; received {distribution!r}.")
    if type(distribution) is TransformedDistribution:
        distribution = FlowDistribution.from_transformed(distribution)
    if isinstance(distribution, FlowDistribution):
        distribution.config = config
    else:
        _CONFIGS[distribution] = config
    return distribution


def _with_global_policy(arguments: dict[str, Any]) -> dict[str, Any]:
    """Replaces `network_dtype=None` by Keras's global dtype policy, unless that is float32 or `dtype` is float64.

    The config then holds the policy, so that a saved model does not depend on the global policy when it is loaded.
    """
    policy = keras.config.dtype_policy().name
    if arguments.get("network_dtype", "") is None and arguments.get("dtype") == "float32" and policy != "float32":
        return {**arguments, "network_dtype": policy}
    return arguments


def _complete(parameters: Mapping[str, inspect.Parameter], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Returns all arguments of a flow in the order of its signature, as plain data."""
    missing = [name for name, parameter in parameters.items()
               if name not in arguments and parameter.default is inspect.Parameter.empty]
    if missing:
        raise ValueError(f"Config must have the entries {missing}, which have no defaults.")
    return {name: _plain(arguments.get(name, parameter.default)) for name, parameter in parameters.items()}


def _plain(value: Any) -> Any:
    """Converts NumPy numbers to Python numbers, sequences and shapes to tuples, and dtypes to their names."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, (tf.DType, keras.DTypePolicy)):
        return value.name
    if isinstance(value, (np.dtype, type)):  # Such as `np.float32`, `np.dtype("float32")` and `float`.
        try:
            return tf.as_dtype(value).name
        except TypeError:
            return value  # The check of the flow names the argument.
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, tf.TensorShape):
        return tuple(value.as_list()) if value.rank is not None else value
    if isinstance(value, (list, tuple)):
        return tuple(map(_plain, value))
    return {key: _plain(entry) for key, entry in value.items()} if isinstance(value, dict) else value


def _with_shared(signature: inspect.Signature, shared: type) -> inspect.Signature:
    """Replaces the parameter `**data` by the fields of the dataclass `shared`, as keyword-only parameters."""
    own = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
    fields = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in inspect.signature(shared).parameters.values()
              if p.name not in signature.parameters]
    return signature.replace(parameters=[*own, *fields])


def _document_shared(text: str | None, shared: type, own: Collection[str]) -> str:
    """Replaces the entry `**data` of a docstring by the entries of `shared`, a dataclass, except the names in `own`."""
    documented = str(inspect.getdoc(shared)).partition("Args:\n")[2].partition("\n\n")[0]
    entries = [entry for entry in re.split(r"\n(?=  \w)", documented) if entry.split(":")[0].strip() not in own]
    # Python removes the indentation of docstrings since version 3.13.
    return re.sub(r"^ +\*\*data:.*$", lambda _: "\n".join(entries), inspect.cleandoc(str(text)), count=1,
                  flags=re.MULTILINE)


def _place(source: Any) -> tuple[str, str]:
    return source.__module__, source.__qualname__
