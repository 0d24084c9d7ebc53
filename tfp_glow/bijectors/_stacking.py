# SPDX-License-Identifier: Apache-2.0
"""Other values for parameters, for the length of a block.

`keras.StatelessScope` gives a Keras variable another value of its shape. A loop over stacked parameters also wants the
stack itself, to prepare all steps at once, and to hand each step what was prepared: that is what this scope is for.
"""

import contextlib
import threading

_SCOPES = threading.local()


@contextlib.contextmanager
def substituted(values):
    """Within the block, `substitute(key)` gives `values[key]`; blocks nest."""
    outer = getattr(_SCOPES, "values", {})
    _SCOPES.values = {**outer, **values}
    try:
        yield
    finally:
        _SCOPES.values = outer


def substitute(key):
    """The value given to `key` by the blocks around, or None."""
    return getattr(_SCOPES, "values", {}).get(key)


def key_of(thing, *more):
    """A key for `substituted`, and for dictionaries that `tf.nest` must be able to sort."""
    return "/".join(map(str, (id(thing), *more)))
