# SPDX-License-Identifier: Apache-2.0
"""The private APIs of TensorFlow Probability that this package uses, each with its reason.

Checked with TensorFlow Probability 0.25.
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
        "TFP itself uses it for `tfb.FFJORD`. Its methods `_invoke` and `_get_or_create_edge` are extended, so that "
        "entries can expire.",
    "tfb.Bijector._cache": "The attribute in which a bijector class holds its cache.",
    "tfb.Bijector._get_parameterization": "Makes a bijector equal to itself only, as its weights can change.",
    "tfb.Bijector._is_permutation": "Lets TFP skip the log-determinant of a permutation.",
    "tfb.Chain.__bases__": "`tfb.Chain(...)` returns an object of its first base class if a part is no composite "
                           "tensor, as flow bijectors are not. So `isinstance` must compare with that class. The same "
                           "holds for the other compositions below.",
}

B = TypeVar("B", bound=type)


def _without_composite(kind: Any) -> Any:
    return kind.__bases__[0]


Blockwise, Chain, Invert = map(_without_composite, (tfb.Blockwise, tfb.Chain, tfb.Invert))
Mixture, TransformedDistribution = map(_without_composite, (tfd.Mixture, tfd.TransformedDistribution))
WRAPPERS = tuple(map(_without_composite, (tfd.Independent, tfd.Sample, tfd.BatchReshape, tfd.Masked)))


class StampedCache(BijectorCacheWithGreedyAttrs):
    """A bijector cache that stamps each entry and drops an entry that is no longer current.

    A subclass defines `stamp` and `is_current`. The bijector's methods named in the constructor return the result and a
    dict of attributes, such as `{"ildj": log_det}`.
    """

    def stamp(self, conditions: Any) -> Any:
        """Returns a stamp for the pass that the bijector has just computed under these keyword arguments."""
        raise NotImplementedError

    def is_current(self, attributes: dict[str, Any], output: Any, source: Any) -> bool:
        """Returns whether an entry may be used.

        Args:
          attributes: the attributes of the entry; its stamp is under `"stamp"`.
          output: the result of the pass, or None if it was deleted.
          source: input and keyword arguments of the present call.
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
    """Class decorator: gives a bijector class a cache, and makes its objects equal to themselves only."""
    def decorate(bijector_class: B) -> B:
        bijector_class._cache = cache  # type: ignore[attr-defined]
        bijector_class._get_parameterization = lambda self: id(self)  # type: ignore[attr-defined]
        return bijector_class
    return decorate


def cache_of(bijector: tfb.Bijector) -> StampedCache:
    """Returns the cache of a bijector."""
    return bijector._cache


def permutation(bijector_class: B) -> B:
    """Class decorator: declares that a bijector only moves elements, so that its log-determinant is 0."""
    bijector_class._is_permutation = True  # type: ignore[attr-defined]
    return bijector_class
