# SPDX-License-Identifier: Apache-2.0
"""Central crop and resize, which give images of different sizes one size."""

import dataclasses
import numbers

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class CropAndResize:
    """Cuts the central square out of an image, then resizes it.

    Without `crop` and `resize` the image stays as it is.

    Attributes:
      crop: int, side of the central square in pixels, at least 1. Default None: with `resize`, the largest central
        square, so that the aspect ratio stays; without `resize`, the whole image.
      resize: int, side of the result in pixels, at least 1. Each new pixel is the rounded mean of the area that it
        covers. Default None: no resize.

    Raises:
      ValueError: if `crop` or `resize` is neither None nor an integer of at least 1.

    Example:

    >>> CropAndResize(crop=4, resize=2)(tf.zeros([7, 10, 3], tf.uint8)).shape
    TensorShape([2, 2, 3])
    """

    crop: int | None = None
    resize: int | None = None

    def __post_init__(self) -> None:
        for name in ("crop", "resize"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"{name}: must be an integer of at least 1; got {value!r}")
            object.__setattr__(self, name, int(value))

    @property
    def output_side(self) -> int | None:
        """Height and width of each result in pixels, or None if images keep their size."""
        return self.resize or self.crop

    def output_size(self, height: int, width: int, image_name: str) -> tuple[int, int]:
        """Computes the size of a result.

        Args:
          height: height of the image in pixels.
          width: width of the image in pixels.
          image_name: name of the image, for the error message.

        Returns:
          `(height, width)` of the result in pixels.

        Raises:
          ValueError: if the crop is larger than the image.
        """
        if self.crop is not None and self.crop > min(height, width):
            raise ValueError(f"crop: must not be larger than an image; {image_name} is {width}x{height}; "
                             f"got {self.crop}")
        return (self.output_side, self.output_side) if self.output_side else (height, width)

    def __call__(self, image: tf.Tensor) -> tf.Tensor:
        """Crops and resizes an image.

        Args:
          image: uint8 `[H, W, C]`.

        Returns:
          uint8 `[output_side, output_side, C]`, or `image` itself without crop and resize.

        Raises:
          tf.errors.InvalidArgumentError: if the crop is larger than the image.
        """
        if self.output_side is None:
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


ORIGINAL_SIZE = CropAndResize()
