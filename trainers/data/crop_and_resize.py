# SPDX-License-Identifier: Apache-2.0
"""Crop and resize: images of all sizes become squares of one."""

import dataclasses

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Frame:
    """What is kept of an image and how large: first a central crop, then a resize. With neither, all of it as it is.

    Attributes:
      crop: side, in pixels, of the central square that is kept; None for all of the image or, if `resize` is given,
        for the largest central square, so that nothing is squeezed.
      resize: side, in pixels, that the square then gets: each new pixel is the mean of the area it stands for, rounded.
        None to leave the size.

    Raises:
      ValueError: if one is not a whole number of at least 1.
    """

    crop: int | None = None
    resize: int | None = None

    def __post_init__(self):
        for name in ("crop", "resize"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < 1):
                raise ValueError(f"{name}: must be a whole number of at least 1; got {value!r}")

    @property
    def side(self) -> int | None:
        """Side of every image that comes out; None if images are left as they are."""
        return self.resize or self.crop

    def size(self, height: int, width: int, what: str) -> tuple[int, int]:
        """The size of an image of `height` x `width` after; raises `ValueError`, naming it, if the crop is larger."""
        if self.crop is not None and self.crop > min(height, width):
            raise ValueError(f"crop: must not be larger than an image; {what} is {width}x{height}; got {self.crop}")
        return (self.side, self.side) if self.side else (height, width)

    def __call__(self, image: tf.Tensor) -> tf.Tensor:
        """The framed image: uint8 `[H, W, C]` to uint8 `[side, side, C]`."""
        if self.side is None:
            return image
        size = tf.shape(image)[:2]
        side = self.crop or tf.reduce_min(size)
        with tf.control_dependencies([tf.debugging.assert_less_equal(
                side, tf.reduce_min(size), "crop: must not be larger than an image")]):
            top, left = tf.unstack((size - side) // 2)
        image = image[top:top + side, left:left + side]
        if self.resize is not None:
            image = tf.cast(tf.round(tf.image.resize(image, (self.resize, self.resize), "area")), tf.uint8)
        return image


WHOLE = Frame()
