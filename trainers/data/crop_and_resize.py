# SPDX-License-Identifier: Apache-2.0
"""`CropAndResize`: a central crop and a resize that give all images of a data set one size."""

import dataclasses
import numbers

import tensorflow as tf

_MAX_SIDE = 2**16


@dataclasses.dataclass(frozen=True)
class CropAndResize:
    """Cuts the central square out of an image, then resizes the square.

    If both attributes are None, images stay as they are.

    Attributes:
      crop: int, side in pixels of the central square, at least 1. Default None: the largest central square if `resize`
        is given, otherwise the whole image.
      resize: int, side in pixels to which the square is resized, at least 1. Each new pixel is the mean of the area
        that it covers in the square, rounded to an integer. Default None: no resize.
      of_run: bool. True if the crop comes from the configuration of a run instead of a flag; error messages then say
        so. Default False.

    Raises:
      ValueError: if `crop` or `resize` is neither None nor an integer of at least 1.

    Example:

    >>> CropAndResize(crop=4, resize=2)(tf.zeros([7, 10, 3], tf.uint8)).shape
    TensorShape([2, 2, 3])
    """

    crop: int | None = None
    resize: int | None = None
    of_run: bool = False

    def __post_init__(self) -> None:
        for name in ("crop", "resize"):
            value = getattr(self, name)
            if value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, numbers.Integral) or value < 1:
                raise ValueError(f"{name}: must be an integer of at least 1; got {value!r}")
            value = int(value)
            if value > _MAX_SIDE:
                raise ValueError(f"{name}: must be at most {_MAX_SIDE} pixels; got {value}")
            object.__setattr__(self, name, value)

    @property
    def output_side(self) -> int | None:
        """Height and width in pixels of each resulting image, an int; None if images keep their size."""
        return self.resize or self.crop

    @property
    def condition_for_sizes(self) -> str:
        """The condition, for error messages, under which images may differ in size."""
        return "the run was trained with --crop or --resize" if self.of_run else "--crop or --resize is given"

    def output_size(self, height: int, width: int, image_name: str) -> tuple[int, int]:
        """Computes the size of an image after crop and resize.

        Args:
          height: int, height of the image in pixels.
          width: int, width of the image in pixels.
          image_name: str, name of the image for the error message, such as its path.

        Returns:
          `(height, width)` in pixels, two ints.

        Raises:
          ValueError: if `crop` is greater than the height or the width of the image.
        """
        if self.crop is not None and self.crop > min(height, width):
            origin = ", the run's crop" if self.of_run else ""
            raise ValueError(f"crop: must not be larger than an image; {image_name} is {width}x{height}; "
                             f"got {self.crop}{origin}")
        return (self.output_side, self.output_side) if self.output_side else (height, width)

    def __call__(self, image: tf.Tensor) -> tf.Tensor:
        """Crops and resizes one image.

        Args:
          image: uint8 tensor `[height, width, channels]`.

        Returns:
          A uint8 tensor `[output_side, output_side, channels]`. If `crop` and `resize` are None, it is `image` itself.

        Raises:
          tf.errors.InvalidArgumentError: if `crop` is greater than the height or the width of the image.
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
