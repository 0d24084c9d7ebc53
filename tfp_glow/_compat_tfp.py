# SPDX-License-Identifier: Apache-2.0
"""The private APIs of TensorFlow Probability that this package uses, each with its reason.

`tfp_glow._versions` checks that they exist.
"""

from collections.abc import Callable
from typing import Any, TypeVar

from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd
from tensorflow_probability.python.internal.cache_util import BijectorCacheWithGreedyAttrs

__all__ = [
    "Blockwise", "Chain", "Invert", "Mixture", "StampedCache", "TransformedDistribution", "WRAPPERS", "cache_of",
    "mutable_bijector", "permutation",
]

PRIVATE_APIS = {
    "tensorflow_probability.python.internal.cache_util.BijectorCacheWithGreedyAttrs":
        "TFP requests value and log-determinant in two calls. A cache with greedy attributes lets both share one pass; "
        "TFP itself uses it for `tfb.FFJORD`.",
    "tensorflow_probability.python.internal.cache_util.BijectorCacheWithGreedyAttrs._get_or_create_edge":
        "Extended, so that entries of the cache can expire.",
    "tensorflow_probability.python.internal.cache_util.BijectorCacheWithGreedyAttrs._invoke":
        "Extended, so that each entry of the cache holds a stamp.",
    "tfb.Bijector._cache": "The attribute in which a bijector class holds its cache.",
    "tfb.Bijector._get_parameterization": "Bijectors compare by identity, as their weights can change.",
    "tfb.Bijector._is_permutation": "Lets TFP skip the log-determinant of a permutation.",
    "tfb.Chain.__bases__":
        "`tfb.Chain(...)` returns an object of its first base class if a part is not a composite tensor, and flow "
        "bijectors are not. So `isinstance` must compare with the base class. The same holds for `tfb.Invert`, "
        "`tfb.Blockwise`, `tfd.TransformedDistribution`, `tfd.Mixture` and the wrappers of distributions.",
}

B = TypeVar("B", bound=type)


def _without_composite(kind: Any) -> Any:
    base = kind.__bases__[0]
    if base.__name__ != f"_{kind.__name__}":
        raise ImportError(f"the first base of {kind.__name__} is {base.__name__}")
    return base


Blockwise, Chain, Invert = map(_without_composite, (tfb.Blockwise, tfb.Chain, tfb.Invert))
Mixture, TransformedDistribution = map(_without_composite, (tfd.Mixture, tfd.TransformedDistribution))
WRAPPERS = tuple(map(_without_composite, (tfd.Independent, tfd.Sample, tfd.BatchReshape, tfd.Masked)))


class StampedCache(BijectorCacheWithGreedyAttrs):
    """Base of a bijector cache whose entries can expire.

    An entry holds the result of one pass of a bijector and a *stamp*: the state under which the pass was computed. If
    the entry is no longer current, a lookup drops it and computes a new pass. A subclass defines `stamp` and
    `is_current`.

    Args:
      forward_name: name of the bijector's method that computes `(y, attributes)` from `x`.
      inverse_name: name of the bijector's method that computes `(x, attributes)` from `y`. In both methods `attributes`
        is a dict of further results of the pass, such as `{"ildj": log_det}`.
    """

    def stamp(self, conditions: Any) -> Any:
        """Returns a stamp: the state that a pass, which the bijector has just computed, depends on.

        Args:
          conditions: dict of the keyword arguments of the pass.
        """
        raise NotImplementedError

    def is_current(self, attributes: dict[str, Any], output: Any, source: Any) -> bool:
        """Returns True if an entry may be used in place of a new pass.

        Args:
          attributes: dict of the attributes of the entry. Its key `"stamp"` holds the stamp.
          output: the result of the pass, or None if no other object refers to the result any more.
          source: the pair of the input and the keyword arguments of the present call.
        """
        raise NotImplementedError

    def _invoke(self, input: Any, fn_name: str, kwargs: Any, attributes: dict[str, Any]) -> Any:
        attributes.clear()
        output = super()._invoke(input, fn_name, kwargs, attributes)
        attributes["stamp"] = self.stamp(kwargs)
        return output

    def _get_or_create_edge(self, input: Any, forward_name: str, kwargs: Any) -> Any:
        edge = super()._get_or_create_edge(input, forward_name, kwargs)
        output = edge.output_ref() if edge.output_ref else None
        if not edge.attributes or self.is_current(edge.attributes, output, (input, kwargs)):
            return edge
        for reference in (edge.input_ref, edge.output_ref):
            if reference is not None:
                reference.cancel()
                self.storage.pop(reference, None)
        return super()._get_or_create_edge(input, forward_name, kwargs)


def mutable_bijector(cache: StampedCache) -> Callable[[B], B]:
    """Returns a class decorator for bijectors whose variables can change.

    The decorated class uses `cache` in the place of TFP's cache. Each of its instances is equal to itself only, because
    TFP must not take two bijectors with different weights for the same bijector.
    """
    def decorate(bijector_class: B) -> B:
        bijector_class._cache = cache  # type: ignore[attr-defined]
        bijector_class._get_parameterization = lambda self: id(self)  # type: ignore[attr-defined]
        return bijector_class
    return decorate


def cache_of(bijector: tfb.Bijector) -> StampedCache:
    """Returns the cache that `mutable_bijector` set for the class of a bijector."""
    return bijector._cache


def permutation(bijector_class: B) -> B:
    """Class decorator that declares a bijector a permutation of elements, whose log-determinant is 0."""
    bijector_class._is_permutation = True  # type: ignore[attr-defined]
    return bijector_class
