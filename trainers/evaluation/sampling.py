# SPDX-License-Identifier: Apache-2.0
"""`sample_in_batches`: many samples of a model, in batches that fit into memory."""

import numpy as np

import tfp_glow


def sample_in_batches(model: tfp_glow.FlowModel, number: int, batch_size: int, temperature: float, seed: int,
                      condition: np.ndarray | int | None = None) -> np.ndarray:
    """Draws samples of a model, a batch at a time.

    The first batch is that of `model.sample` with the same seed. Each further batch has a seed of its own.

    Args:
      model: a `tfp_glow.FlowModel`.
      number: int, number of samples, at least 1.
      batch_size: int, number of samples per batch, at least 1.
      temperature: float, sampling temperature: scales the deviation of latents from their mean.
      seed: int in `[0, 2**31)`, random seed.
      condition: an int, the label of all samples; an int array `[number]`, their labels; or None for a model without
        condition. Default None.

    Returns:
      An array `[number, *event_shape]`, as `model.sample` returns.
    """
    batches = []
    for index, start in enumerate(range(0, number, batch_size)):
        size = min(batch_size, number - start)
        own_seed = int(np.random.default_rng([seed, index]).integers(2**31)) if index else seed
        labels = condition[start:start + size] if isinstance(condition, np.ndarray) else condition
        batches.append(model.sample(size, temperature=temperature, seed=own_seed, condition=labels).numpy())
    return np.concatenate(batches)
