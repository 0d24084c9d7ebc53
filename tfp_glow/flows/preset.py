# SPDX-License-Identifier: Apache-2.0
"""What the presets share: a frozen config that builds a distribution, and a distribution that knows its config."""

import dataclasses

import keras
import tensorflow_probability as tfp

from tfp_glow.bijectors.checks import check_int

tfd = tfp.distributions

_CONFIGS = {}


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
    """Class decorator: makes a config dataclass loadable by `config_from_dict` under `name`."""
    def decorate(cls):
        cls.flow_name = name
        _CONFIGS[name] = cls
        return cls
    return decorate


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


def config_to_dict(config):
    """The config as plain data: its flow's name and its fields."""
    return {"flow": config.flow_name, **dataclasses.asdict(config)}


def config_from_dict(values):
    """Undoes `config_to_dict`; raises `ValueError` for an unknown flow or field."""
    fields = dict(values)
    name = fields.pop("flow", None)
    if name not in _CONFIGS:
        raise ValueError(f"Config entry `flow` must be one of {sorted(_CONFIGS)}; received {name!r}.")
    known = {field.name for field in dataclasses.fields(_CONFIGS[name])}
    if set(fields) - known:
        raise ValueError(f"Config of flow {name!r} must have fields among {sorted(known)}; "
                         f"received {sorted(set(fields) - known)} besides.")
    return _CONFIGS[name](**{k: tuple(v) if isinstance(v, list) else v for k, v in fields.items()})
