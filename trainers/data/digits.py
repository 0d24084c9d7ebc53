# SPDX-License-Identifier: Apache-2.0
"""`digits`: the 1,797 handwritten digits, 8x8 pixels of 17 grey levels, that come with scikit-learn."""

import sklearn.datasets

from trainers.data import prepared_sets
from trainers.data.tfds_builders import from_builder
from trainers.data.crop_and_resize import Frame, WHOLE
from trainers.data.image_data import ImageData

_NUM_TRAIN = 1500


def load(data_dir: str | None = None, frame: Frame = WHOLE) -> ImageData:
    """Opens scikit-learn's digits.

    The fixed split: with `order = numpy.random.RandomState(0).permutation(1797)`, `order[:1350]` is
    train, `order[1350:1500]` validation and `order[1500:]` (297 digits) test.

    Args:
      data_dir: directory of prepared sets, see `trainers.data.store`.
      frame: how images are cropped and resized.

    Returns:
      An `ImageData` with `image_shape` (8, 8, 1), unless framed, `num_levels` 17 and ten classes.
    """
    bunch = sklearn.datasets.load_digits()
    images = bunch.images.astype("uint8")[..., None]
    order = prepared_sets.permutation(len(images))

    def splits():
        parts = {"train": order[:_NUM_TRAIN], "test": order[_NUM_TRAIN:]}
        return {
            split: prepared_sets.array_examples(images[part], bunch.target[part], 10, f"digits {split}")
            for split, part in parts.items()
        }

    builder = prepared_sets.stored(
        "digits",
        prepared_sets.fingerprint([images.tobytes(), bunch.target.astype("int64").tobytes()]),
        prepared_sets.features(images.shape[1:], [str(digit) for digit in range(10)]),
        splits,
        data_dir,
    )
    return from_builder(builder, "digits", num_levels=17, frame=frame)
