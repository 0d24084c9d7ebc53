# SPDX-License-Identifier: Apache-2.0
"""Type aliases that the annotations of public functions share."""

from collections.abc import Sequence
from typing import Any, TypeAlias

import keras
import numpy as np
import tensorflow as tf

Shape: TypeAlias = tuple[int, ...]
ShapeLike: TypeAlias = int | Sequence[int] | tf.TensorShape
TensorLike: TypeAlias = tf.Tensor | np.ndarray | float | int | Sequence[Any]
DTypeLike: TypeAlias = str | tf.DType
SeedLike: TypeAlias = int | keras.random.SeedGenerator | None
PolicyLike: TypeAlias = str | keras.DTypePolicy | None
