# SPDX-License-Identifier: Apache-2.0
"""A SavedModel of this package's Glow: `python -m benchmarks.programs.our_exported inference SETTINGS`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

import tfp_glow
from benchmarks.programs.command_line import main
from benchmarks.programs.system import System


def build(first: np.ndarray, **glow: Any) -> System:
    """Returns a system that calls the signatures of a SavedModel and cannot train.

    Args:
      first: images that initialize the flow.
      **glow: arguments of `tfp_glow.glow`.
    """
    model = tfp_glow.FlowModel(tfp_glow.glow(first.shape[1:], seed=0, **glow), seed=0, check_values=False)
    model.initialize(first)
    with tempfile.TemporaryDirectory() as directory:
        loaded = tf.saved_model.load(tfp_glow.export_saved_model(model, Path(directory) / "1"))
    signatures = loaded.signatures

    def sample(number: int) -> np.ndarray:
        return signatures["sample"](number=tf.constant(number), temperature=tf.constant(1.0),
                                    seed=tf.constant(0))["images"].numpy()

    def cannot(*_: Any) -> Any:
        raise NotImplementedError("A SavedModel is not trained.")

    return System(sum(v.shape.num_elements() for v in model.distribution.trainable_variables), tf.constant, cannot,
                  lambda images: signatures["log_prob"](images=images)["log_prob"].numpy(), sample, cannot, cannot)


if __name__ == "__main__":
    main(build)
