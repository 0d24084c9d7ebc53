# SPDX-License-Identifier: Apache-2.0
"""This package's flows over vectors: `python -m benchmarks.programs.our_vectors TASK ...`.

See `vector_command_line`.
"""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import math
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

import tfp_glow
from benchmarks.programs.vector_command_line import main
from benchmarks.programs.vector_system import VectorSystem


def make_flow(kind: str, size: int, num_layers: int, hidden_sizes: Sequence[int], **options: Any) -> Any:
    """Returns a flow; see `build`."""
    if kind == "realnvp":
        return tfp_glow.realnvp_vector(size, num_layers, hidden_sizes, **options)
    if kind == "maf":
        return tfp_glow.maf(size, num_layers, hidden_sizes, **{"batch_norm": False, **options})
    # A residual block has two dense layers, between one dense layer before and one after the blocks.
    return tfp_glow.nsf(size, num_layers, hidden_sizes[0], kind=kind.removeprefix("nsf_"),
                        **{"num_blocks": len(hidden_sizes) // 2, "linear": "permutation", **options})


def build(first: np.ndarray, kind: str, num_layers: int, hidden_sizes: Sequence[int], learning_rate: float = 1e-3,
          seed: int = 0, divide: bool = True, clip_norm: float | None = None, **options: Any) -> VectorSystem:
    """Returns a system under Adam.

    Args:
      first: vectors that initialize the flow.
      kind: `"realnvp"`, `"maf"`, `"nsf_coupling"` or `"nsf_autoregressive"`.
      num_layers: number of couplings or autoregressive layers.
      hidden_sizes: sizes of the hidden layers of each network.
      learning_rate: of Adam.
      seed: random seed of the weights.
      divide: True calls `tfp_glow.divide_batches_among_cores` first, as the commands of this package do.
      clip_norm: bound of the norm of the gradient, or None.
      **options: further arguments of the flow.
    """
    if divide:
        tfp_glow.divide_batches_among_cores()
    keras.utils.set_random_seed(seed)
    flow = make_flow(kind, first.shape[1], num_layers, hidden_sizes, seed=seed, **options)
    model = tfp_glow.FlowModel(flow, seed=seed)
    optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=clip_norm)
    model.compile(optimizer)
    model.initialize(first)
    model.make_train_function()
    update = tf.function(model.train_step, autograph=False, jit_compile=model.jit_compile)  # The step of `fit`.

    def step(batch: tf.Tensor, multiplier: float) -> float:
        optimizer.learning_rate.assign(multiplier * learning_rate)
        bits = update(batch)["bits_per_dim"].numpy()
        return -float(bits) * first.shape[1] * math.log(2.0)

    def set_weights(weights: Sequence[np.ndarray]) -> None:
        for variable, value in zip(model.variables, weights, strict=True):
            variable.assign(value)

    return VectorSystem(
        sum(math.prod(v.shape) for v in model.trainable_variables), tf.constant, step,
        lambda batch: model.log_prob(batch).numpy(),
        # At temperature 1, a sample of MAF with random weights may overflow, which `sample` refuses.
        lambda number: model.sample(number, temperature=0.5).numpy(),
        lambda: [v.numpy() for v in model.variables], set_weights)


if __name__ == "__main__":
    main(build)
