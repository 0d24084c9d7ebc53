# SPDX-License-Identifier: Apache-2.0
"""Type aliases that the annotations of public functions share."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import tensorflow as tf

Shape: TypeAlias = tuple[int, ...]
ShapeLike: TypeAlias = int | Sequence[int] | tf.TensorShape
TensorLike: TypeAlias = Any  # Accepted by `tf.convert_to_tensor`: tensors, arrays, numbers and nested sequences.
DTypeLike: TypeAlias = str | tf.DType
SeedLike: TypeAlias = int | keras.random.SeedGenerator | None
PolicyLike: TypeAlias = str | keras.DTypePolicy | None
