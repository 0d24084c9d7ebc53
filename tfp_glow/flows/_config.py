# SPDX-License-Identifier: Apache-2.0
"""What the presets share: a frozen config that builds a distribution, which is remembered with its config."""

import dataclasses
import functools
import weakref

import keras
import tensorflow_probability as tfp

from tfp_glow._checks import check_int

tfd = tfp.distributions

_CONFIGS = {}
_BUILT = weakref.WeakKeyDictionary()  # Distributions, with the configs that built them.


# What `tfd.TransformedDistribution(...)` makes of parts that are no composite tensors. The class itself is one, and
# `tf.Module` would look past the variables of a composite tensor in a list, such as a mixture's components.
_TRANSFORMED = tfd.TransformedDistribution.__bases__[0]


class PresetDistribution(_TRANSFORMED):
    """A `tfd.TransformedDistribution` that remembers the config it was built from, so that it can be built again."""

    def __init__(self, config, distribution, bijector, validate_args=False, name=None):
        parameters = dict(locals())
        super().__init__(distribution, bijector, validate_args=validate_args, parameters=parameters, name=name)
        self._config = self._no_dependency(config)

    @property
    def config(self):
        """The frozen config, a dataclass whose `build()` makes such a distribution with fresh weights."""
        return self._config

    @classmethod
    def _parameter_properties(cls, dtype, num_classes=None):
        return _TRANSFORMED._parameter_properties(dtype, num_classes)


def register_config(name):
    """Class decorator: makes a config savable and loadable under `name`, and with it the models of what it builds.

    `FlowModel.save` then writes a `.keras` file of a `FlowModel(config.build())`: the config's fields and the weights.
    `keras.saving.load_model` builds the flow again from them, in a process that has imported the decorated class.

    Args:
      name: a string that no other config has.

    Returns:
      A decorator of a dataclass, best a frozen one, whose fields are plain data (numbers, strings, True or False, None,
      tuples of these) and whose method `build()` returns a new `tfd.Distribution`.

    Raises:
      ValueError: if `name` is no string or another class has it; if the class is no dataclass with a method `build`;
        in `build()`, if it returns anything else.

    >>> @tfp_glow.flows.register_config("two_norms")
    ... @dataclasses.dataclass(frozen=True)
    ... class TwoNorms:
    ...     size: int
    ...
    ...     def build(self):
    ...         norms = [tfp_glow.bijectors.ActNorm((self.size,)) for _ in range(2)]
    ...         return tfd.TransformedDistribution(tfd.MultivariateNormalDiag(tf.zeros(self.size)), tfb.Chain(norms))
    >>> tfp_glow.FlowModel(TwoNorms(3).build()).save("norms.keras")
    >>> keras.saving.load_model("norms.keras").event_shape
    (3,)
    """
    if not isinstance(name, str):
        raise ValueError(f"Argument `name` must be a string; received {name!r}.")

    def decorate(cls):
        if not dataclasses.is_dataclass(cls) or not callable(getattr(cls, "build", None)):
            raise ValueError(f"register_config is for dataclasses with a method `build`; received {cls!r}.")
        known = _CONFIGS.get(name, cls)
        if (known.__module__, known.__qualname__) != (cls.__module__, cls.__qualname__):  # The same again is a reload.
            raise ValueError(f"Argument `name` must be one that no other config has; received {name!r}, which is "
                             f"{known.__module__}.{known.__qualname__}'s.")
        cls.flow_name, cls.build = name, _remembering(cls.build)
        _CONFIGS[name] = cls
        return cls
    return decorate


def _remembering(build):
    @functools.wraps(build)
    def remembering(self):
        distribution = build(self)
        if not isinstance(distribution, tfd.Distribution):
            raise ValueError(f"{type(self).__name__}.build must return a tfd.Distribution; received {distribution!r}.")
        _BUILT[distribution] = self
        return distribution
    return remembering


def config_of(distribution):
    """The registered config that built a distribution, or None."""
    return _BUILT.get(distribution)


def check_seed_and_policy(config):
    """Raises `ValueError` for what no random generator, or no network, would take as `seed` and `network_dtype`."""
    if config.seed is not None:
        check_int("seed", config.seed, minimum=0)
    if config.network_dtype is not None:
        try:
            keras.dtype_policies.get(config.network_dtype)
        except (TypeError, ValueError) as error:
            raise ValueError("Argument `network_dtype` must be a dtype or a Keras dtype policy, or None; "
                             f"received {config.network_dtype!r}.") from error


def check_num_classes(num_classes):
    """Raises `ValueError` for what is no number of classes to tell apart, nor None."""
    if num_classes is not None:
        check_int("num_classes", num_classes, minimum=2)


def config_to_dict(config):
    """The config as plain data: its flow's name and its fields."""
    return {"flow": config.flow_name, **dataclasses.asdict(config)}


def config_from_dict(values):
    """Undoes `config_to_dict`; raises `ValueError` for an unknown flow or field."""
    fields = dict(values)
    name = fields.pop("flow", None)
    if name not in _CONFIGS:
        raise ValueError(f"Config entry `flow` must be one of {sorted(_CONFIGS)}, or of a config whose module is "
                         f"imported beforehand; received {name!r}.")
    known = {field.name for field in dataclasses.fields(_CONFIGS[name])}
    if set(fields) - known:
        raise ValueError(f"Config of flow {name!r} must have fields among {sorted(known)}; "
                         f"received {sorted(set(fields) - known)} besides.")
    return _CONFIGS[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
