# SPDX-License-Identifier: Apache-2.0
"""`Container`: a tuple of layers that every version of Keras saves."""

from collections.abc import Iterator
from typing import Any

import keras


class Container(keras.layers.Layer):
    """A group of layers that another Keras layer holds in a list, `self.blocks = [Container(...), ...]`.

    Keras saves the layers in a list. It saves layers in a nested list, such as a list of tuples, from version 3.15 on.
    There, the path of such a layer in a file is `blocks/container/NAME`, where `NAME` is the class of the layer. With
    this class instead of a tuple, the paths are the same, and files are equal in all versions.

    Args:
      **layers: the layers. The names of the arguments are those of the classes in snake case, such as `conv2d`; a
        second layer of a class has the name `conv2d_1`.
    """

    def __init__(self, **layers: keras.layers.Layer) -> None:
        super().__init__()
        self._names = tuple(layers)
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.built = True

    def __iter__(self) -> Iterator[keras.layers.Layer]:
        return (getattr(self, name) for name in self._names)

    def call(self, inputs: Any) -> Any:
        return inputs
