# SPDX-License-Identifier: Apache-2.0
"""Writes models with one version of Keras, and reads them with another.

    python -m benchmarks.programs.model_files write DIRECTORY
    python -m benchmarks.programs.model_files read DIRECTORY

For each flow, `write` makes a `.keras` file, a `.weights.h5` file, a checkpoint of TensorFlow and the densities of a
few events. `read` loads each file and compares the densities. It prints the number of files and the errors, as JSON.
"""

import json
import pathlib
import sys
from collections.abc import Callable, Iterator, Sequence

import keras
import numpy as np
import tensorflow as tf

import tfp_glow

IMAGE = (4, 4, 2)
FLOWS = {
    "glow": lambda: tfp_glow.glow(IMAGE, num_levels=2, num_steps=2, width=6),
    "glow_classes": lambda: tfp_glow.glow(IMAGE, num_levels=1, num_steps=1, width=6, num_classes=3),
    "realnvp": lambda: tfp_glow.realnvp(IMAGE, num_scales=1, num_blocks=2, width=4),
    "pyramid": lambda: tfp_glow.pyramid(IMAGE, num_levels=1, width=4, num_blocks=2, num_components=2, top_sizes=(8,)),
    "jet": lambda: tfp_glow.jet(IMAGE, patch_size=2, depth=6, block_depth=1, width=4, num_heads=2),
    "nice": lambda: tfp_glow.nice(5, hidden_sizes=(8, 8)),
    "maf": lambda: tfp_glow.maf(5, num_layers=2, hidden_sizes=(8, 8), batch_norm=True),
    "iaf": lambda: tfp_glow.iaf(5, num_layers=2, hidden_sizes=(8,)),
    "realnvp_vector": lambda: tfp_glow.realnvp_vector(5, num_couplings=3, hidden_sizes=(8,)),
}


def densities(model: tfp_glow.FlowModel) -> np.ndarray:
    """Returns the log-densities of a few events, the same for all models of a shape."""
    random = np.random.RandomState(0)
    shape = (6, *model.event_shape)
    events = random.uniform(0, 256, shape) if len(shape) == 4 else random.standard_normal(shape)
    condition = None if model.condition_spec is None else np.arange(6) % 3
    return model.log_prob(events.astype("float32"), condition=condition).numpy()


def new_model(name: str, seed: int) -> tfp_glow.FlowModel:
    """Returns a compiled model whose variables all differ from their initial values."""
    keras.utils.set_random_seed(seed)
    model = tfp_glow.FlowModel(FLOWS[name]())
    random = np.random.RandomState(seed)
    for variable in model.trainable_variables:
        variable.assign_add(0.1 * random.standard_normal(variable.shape).astype("float32"))
    model.compile(keras.optimizers.Adam(1e-3))
    model.optimizer.build(model.trainable_variables)
    return model


def write(directory: pathlib.Path) -> None:
    """Writes the files of all flows."""
    directory.mkdir(parents=True, exist_ok=True)
    for name in FLOWS:
        model = new_model(name, seed=1)
        model.save(directory / f"{name}.keras")
        model.save_weights(directory / f"{name}.weights.h5")
        tf.train.Checkpoint(model=model).write(str(directory / f"{name}.ckpt"))
        np.save(directory / f"{name}.npy", densities(model))


def loaders(directory: pathlib.Path, name: str) -> Iterator[tuple[str, Callable[[], tfp_glow.FlowModel]]]:
    """Yields the name of each file of a flow, and a function that returns a model loaded from it."""
    def weights() -> tfp_glow.FlowModel:
        model = new_model(name, seed=2)
        model.load_weights(directory / f"{name}.weights.h5")
        return model

    def checkpoint() -> tfp_glow.FlowModel:
        model = new_model(name, seed=2)
        tf.train.Checkpoint(model=model).read(str(directory / f"{name}.ckpt")).assert_consumed()
        return model

    yield f"{name}.keras", lambda: keras.saving.load_model(directory / f"{name}.keras")
    yield f"{name}.weights.h5", weights
    yield f"{name}.ckpt", checkpoint


def read(directory: pathlib.Path) -> dict[str, object]:
    """Loads all files. Returns their number, and the error of each file that fails or gives other densities."""
    errors, number = {}, 0
    for name in FLOWS:
        expected = np.load(directory / f"{name}.npy")
        for file, load in loaders(directory, name):
            number += 1
            try:
                np.testing.assert_allclose(densities(load()), expected, rtol=1e-5)
            except Exception as error:  # Whatever a version of Keras raises is a result.
                errors[file] = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    return {"files": number, "errors": errors}


def main(argv: Sequence[str] | None = None) -> None:
    action, directory = sys.argv[1:] if argv is None else argv
    if action == "write":
        write(pathlib.Path(directory))
    else:
        print(json.dumps(read(pathlib.Path(directory))))


if __name__ == "__main__":
    main()
