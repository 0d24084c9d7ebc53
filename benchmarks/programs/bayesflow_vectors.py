# SPDX-License-Identifier: Apache-2.0
"""BayesFlow's `CouplingFlow`: `python -m benchmarks.programs.bayesflow_vectors TASK ...`; see `vector_command_line`.

The backend is TensorFlow, or JAX in an environment without TensorFlow.
"""

import importlib.util
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ["KERAS_BACKEND"] = "tensorflow" if importlib.util.find_spec("tensorflow") else "jax"

import math
from collections.abc import Callable, Sequence
from typing import Any

import bayesflow as bf
import keras
import numpy as np

from benchmarks.programs.vector_command_line import main
from benchmarks.programs.vector_system import VectorSystem


def make_approximator(first: np.ndarray, kind: str, num_layers: int, hidden_sizes: Sequence[int], num_bins: int,
                      subnet: dict[str, Any] | None, **options: Any) -> Any:
    """Returns a built approximator of an unconditional density; see `build`."""
    network = bf.networks.CouplingFlow(
        depth=num_layers // 2, transform="affine" if kind == "realnvp" else "spline",
        transform_kwargs={} if kind == "realnvp" else {"bins": num_bins},
        subnet_kwargs={"widths": tuple(hidden_sizes), **(subnet or {})}, **options)
    approximator = bf.approximators.ContinuousApproximator(inference_network=network, standardize=None)
    approximator.build_from_data({"inference_variables": keras.ops.convert_to_tensor(first)})
    return approximator


def tensorflow_step(approximator: Any, jit: bool) -> Callable[[Any], Any]:
    """Returns the step of `fit`, compiled as Keras compiles it."""
    import tensorflow as tf

    update = tf.function(approximator.train_step, autograph=False, jit_compile=jit)
    return lambda batch: update({"inference_variables": batch})["loss"].numpy()


def jax_step(approximator: Any, rate: Any) -> tuple[Callable[[Any], Any], Callable[[], None], Callable[[], None]]:
    """Returns the step of `fit`, compiled as Keras compiles it, and functions that write and read the model's state."""
    import jax

    groups = [approximator.trainable_variables, approximator.non_trainable_variables, approximator.optimizer.variables,
              approximator.metrics_variables]
    update = jax.jit(approximator.stateless_train_step, donate_argnums=0)
    index = next(n for n, variable in enumerate(groups[2]) if variable is rate)
    state = tuple([jax.numpy.array(variable.value) for variable in group] for group in groups)

    def step(batch: Any) -> Any:
        nonlocal state
        state[2][index] = jax.numpy.array(rate.value)  # A copy: the step deletes its arguments.
        metrics, state = update(state, {"inference_variables": batch})
        return np.asarray(metrics["loss"])

    def write() -> None:
        for group, values in zip(groups, state, strict=True):
            for variable, value in zip(group, values, strict=True):
                if variable is not rate:
                    variable.assign(value)

    def read() -> None:
        nonlocal state
        state = tuple([jax.numpy.array(variable.value) for variable in group] for group in groups)

    return step, write, read


def build(first: np.ndarray, kind: str, num_layers: int, hidden_sizes: Sequence[int], learning_rate: float = 1e-3,
          seed: int = 0, num_bins: int = 8, jit: bool = True, compiled: bool = False,
          subnet: dict[str, Any] | None = None, clip_norm: float | None = None, **options: Any) -> VectorSystem:
    """Returns a system under Adam.

    Args:
      first: vectors that build the flow.
      kind: `"realnvp"` for affine or `"nsf_coupling"` for spline couplings.
      num_layers: number of couplings, twice BayesFlow's `depth`.
      hidden_sizes: sizes of the hidden layers of each network.
      learning_rate: of Adam.
      seed: random seed of the weights.
      num_bins: bins of the splines.
      jit: with TensorFlow, True compiles the step by XLA, which is the default of Keras.
      compiled: True puts `log_prob` and `sample` of the inference network into `tf.function` or `jax.jit`. The methods
        of the approximator, which users call, run eagerly.
      subnet: further arguments of the networks.
      clip_norm: bound of the norm of the gradient, or None.
      **options: further arguments of `CouplingFlow`.
    """
    keras.utils.set_random_seed(seed)
    approximator = make_approximator(first, kind, num_layers, hidden_sizes, num_bins, subnet, **options)
    optimizer = keras.optimizers.Adam(learning_rate, global_clipnorm=clip_norm)
    approximator.compile(optimizer=optimizer)
    optimizer.build(approximator.trainable_variables)
    rate, network = optimizer.learning_rate, approximator.inference_network

    def nothing() -> None:
        pass

    write, read = nothing, nothing
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        one_step, size = tensorflow_step(approximator, jit), first.shape[1]
        log_prob, sample = network.log_prob, lambda number: network.sample((number,))
        if compiled:
            log_prob = tf.function(log_prob, autograph=False, reduce_retracing=True)
            sample = tf.function(sample, autograph=False)
    else:
        import jax

        one_step, write, read = jax_step(approximator, rate)
        log_prob, sample, size = network.log_prob, lambda number: network.sample((number,)), first.shape[1]
        if compiled:
            trained, fixed = approximator.trainable_variables, approximator.non_trainable_variables

            def with_values(function: Callable[..., Any]) -> Callable[..., Any]:
                def call(values: Any, argument: Any) -> Any:
                    with keras.StatelessScope(list(zip([*trained, *fixed], values, strict=True))):
                        return function(argument)
                return call

            density = jax.jit(with_values(log_prob))
            inverse = jax.jit(with_values(lambda z: network(z, inverse=True)))
            keys = keras.random.SeedGenerator(seed)

            def log_prob(batch: Any) -> Any:
                return density([v.value for v in (*trained, *fixed)], batch)

            def sample(number: int) -> Any:
                latents = keras.random.normal((number, size), seed=keys)
                return inverse([v.value for v in (*trained, *fixed)], latents)

    def step(batch: Any, multiplier: float) -> float:
        rate.assign(multiplier * learning_rate)
        return -float(one_step(batch))

    def evaluated(function: Callable[[Any], Any], argument: Any) -> np.ndarray:
        write()
        return keras.ops.convert_to_numpy(function(argument))

    def weights() -> list[np.ndarray]:
        write()
        return [keras.ops.convert_to_numpy(v) for v in approximator.variables]

    def set_weights(values: Sequence[np.ndarray]) -> None:
        write()
        for variable, value in zip(approximator.variables, values, strict=True):
            variable.assign(value)
        read()

    return VectorSystem(
        sum(math.prod(v.shape) for v in approximator.trainable_variables), keras.ops.convert_to_tensor, step,
        lambda batch: evaluated(log_prob, batch), lambda number: evaluated(sample, number), weights, set_weights)


if __name__ == "__main__":
    main(build)
