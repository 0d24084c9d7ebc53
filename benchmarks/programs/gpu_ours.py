# SPDX-License-Identifier: Apache-2.0
"""This package's Glow on a GPU; see `gpu_worker`."""

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")  # Several workers share the GPU.

import keras
import numpy as np
import tensorflow as tf

import tfp_glow
from benchmarks.programs.gpu_worker import GpuSystem, main


def build(images: np.ndarray, width: int, num_levels: int = 3, num_steps: int = 8, jit_compile: bool = False,
          network_dtype: str = "float32", backprop: str = "stored") -> GpuSystem:
    """Returns the system; `jit_compile` compiles with XLA."""
    flow = tfp_glow.glow(images.shape[1:], num_levels=num_levels, num_steps=num_steps, width=width, learn_top=False,
                         network_dtype=network_dtype, backprop=backprop, seed=0)
    model = tfp_glow.FlowModel(flow, seed=0)
    model.initialize(images)
    model.compile(keras.optimizers.Adamax(1e-3), jit_compile=jit_compile)
    batch, number = tf.constant(images), len(images)
    step, log_prob, draw = (
        tf.function(function, jit_compile=jit_compile, autograph=False)
        for function in (model.train_step, flow.log_prob, lambda: flow.sample(number)))
    gpus = tf.config.list_physical_devices("GPU")

    def train(steps: int) -> None:
        for _ in range(steps):
            step((batch,))
        model.optimizer.iterations.numpy()
        model.trainable_variables[-1].numpy()

    def repeated(function, *arguments):
        def run(times: int) -> None:
            for _ in range(times):
                result = function(*arguments)
            result[0].numpy()
        return run

    def peak_gb() -> float:
        if not gpus:
            return float("nan")
        peak = tf.config.experimental.get_memory_info("GPU:0")["peak"] / 1e9
        tf.config.experimental.reset_memory_stats("GPU:0")
        return peak

    device = tf.config.experimental.get_device_details(gpus[0])["device_name"] if gpus else "CPU"
    return GpuSystem(train, repeated(log_prob, batch), repeated(draw), peak_gb, device)


if __name__ == "__main__":
    main(build)
