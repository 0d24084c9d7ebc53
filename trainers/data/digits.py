# SPDX-License-Identifier: Apache-2.0
"""The data set `digits`: the 1,797 handwritten digits of scikit-learn, 8x8 pixels with 17 gray levels."""

import functools

import sklearn.datasets

from . import prepared_sets
from .crop_and_resize import ORIGINAL_SIZE, CropAndResize
from .image_data import ImageData
from .tfds_builders import image_data_from_builder

_NUM_TRAIN = 1500


def load(
    data_dir: str | None = None, crop_and_resize: CropAndResize = ORIGINAL_SIZE, verify: bool = False
) -> ImageData:
    """Opens the handwritten digits of scikit-learn as a data set.

    The splits are fixed. They are slices of `order = numpy.random.RandomState(0).permutation(1797)`, an order of
    scikit-learn's indices: train is `order[:1350]`, validation is `order[1350:1500]` and test is `order[1500:]`.

    Args:
      data_dir: str, directory in which the images are stored at the first call, in the format of TFDS. Default None:
        `$TFP_GLOW_DATA_DIR`, or `~/.cache/tfp_glow` if this variable is not set.
      crop_and_resize: `CropAndResize` that is applied to each image. Default: images stay as they are.
      verify: bool. If True, all stored files are read and compared with their hashes. Default False.

    Returns:
      An `ImageData` with 17 gray levels and ten classes. Its image shape is (8, 8, 1) without crop and resize.

    Raises:
      ValueError: if the crop is larger than 8 pixels, or `data_dir` is not writable.
    """
    bunch = sklearn.datasets.load_digits()
    images = bunch.images.astype("uint8")[..., None]
    order = prepared_sets.fixed_permutation(len(images))

    def make_splits() -> dict[str, prepared_sets.KeyedExamples]:
        indices = {"train": order[:_NUM_TRAIN], "test": order[_NUM_TRAIN:]}
        return {
            split: prepared_sets.keyed_examples(images[chosen], bunch.target[chosen], 10, f"digits {split}")
            for split, chosen in indices.items()
        }

    builder = prepared_sets.open_or_prepare(
        "digits",
        prepared_sets.content_fingerprint([images.tobytes(), bunch.target.astype("int64").tobytes()]),
        prepared_sets.image_features(images.shape[1:], [str(digit) for digit in range(10)]),
        make_splits,
        data_dir,
        verify,
    )
    return image_data_from_builder(
        builder, "digits", num_levels=17, crop_and_resize=crop_and_resize,
        find_damage=functools.partial(prepared_sets.damage_message, builder))
