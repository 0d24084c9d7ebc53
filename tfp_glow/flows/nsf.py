# SPDX-License-Identifier: Apache-2.0
"""Neural spline flows (Durkan, Bekasov, Murray and Papamakarios, 2019)."""

from typing import Any

import keras
import numpy as np
from tensorflow_probability import bijectors as tfb
from tensorflow_probability import distributions as tfd

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_activation, check_bool, check_choice, check_int
from tfp_glow._types import ShapeLike
from tfp_glow.flows._config import register_flow
from tfp_glow.flows._shared import flow_distribution
from tfp_glow.flows._vector_flow import VectorData, check_backprop, repeated
from tfp_glow.networks import ResidualMADE, ResidualMLP
from tfp_glow.transforms import RationalQuadraticSpline


@register_flow("nsf", shared=VectorData)
def nsf(event_shape: ShapeLike, num_steps: int = 10, width: int = 256, *, kind: str = "coupling", num_blocks: int = 2,
        num_bins: int = 8, bound: float = 3.0, linear: str = "lu", unconditional: bool = True, activation: str = "relu",
        backprop: str = "stored", **data: Any) -> tfd.TransformedDistribution:
    """Builds a neural spline flow, a distribution over vectors, or over images as vectors.

    Each step is a linear map, followed by a layer of rational-quadratic splines: a coupling or an autoregressive layer.
    A residual network per step computes the widths, heights and slopes of the splines
    (`tfp_glow.transforms.RationalQuadraticSpline`). A coupling transforms one part of the vector by these splines, and
    the kept part by splines with learned parameters. A last linear map follows the last step. At the start, each step
    is a permutation.

    The splines act on `[-bound, bound]` and are the identity outside. So the data should be of the order of 1; the
    arguments `loc` and `scale` or `act_norm` standardize it.

    `log_prob` evaluates each network once. Sampling does so for couplings. For autoregressive layers it computes one
    element after the other.

    Args:
      event_shape: `(size,)` or an int for vectors, or `(height, width, channels)` for images. With couplings, an event
        has at least 2 elements.
      num_steps: number of steps, an int of at least 1. Default: 10.
      width: size of the hidden layers of the networks, an int of at least 1. It is not the width of an image.
        Default: 256.
      kind: `"coupling"` (the default, RQ-NSF (C) of the paper) or `"autoregressive"` (RQ-NSF (AR)).
      num_blocks: number of residual blocks per network, an int of at least 1. Default: 2.
      num_bins: number of bins of each spline, an int of at least 2. Default: 8.
      bound: half of the length of the interval on which the splines act, a positive float. Default: 3.
      linear: the linear map of each step: `"lu"` (the default, as in the paper), a learned matrix in the LU
        parametrization that starts as a random permutation; or `"permutation"`, only the permutation. The permutations
        put each element that a coupling keeps into the changed part of the next one.
      unconditional: a bool. True (the default, as in the paper) transforms the part that a coupling keeps by splines
        with learned parameters. False leaves this part unchanged, which takes less time.
      activation: name of the Keras activation of the hidden layers. Default: `"relu"`.
      backprop: how the steps are run. `"stored"` (the default) runs them in a loop, a `tfp_glow.bijectors.Repeat`. The
        time to trace the flow then does not grow with their number. `"reversible"` also rebuilds their activations in
        the gradient, so that memory does not grow. `"unrolled"` traces every step.
      **data: keyword arguments of `VectorData` in `tfp_glow/flows/_vector_flow.py`; `help` lists them here.

    Returns:
      A `tfd.TransformedDistribution` with event shape `event_shape` and no batch shape. `log_prob` is in nats per
      event and refers to the units of the data, without any scaling.

    Raises:
      ValueError: if an argument violates its description above.

    References:
      Durkan, Bekasov, Murray and Papamakarios, *Neural spline flows*, 2019, sections 3 and 5. The defaults are the
      paper's for POWER, without dropout.

    Example:

    >>> flow = tfp_glow.nsf(2, num_steps=2, width=16)
    >>> flow.log_prob(tf.zeros((3, 2))).shape, flow.sample(5).shape
    (TensorShape([3]), TensorShape([5, 2]))
    >>> posterior = tfp_glow.nsf(2, num_steps=2, width=16, context_shape=(3,))
    >>> posterior.log_prob(tf.zeros((4, 2)), bijector_kwargs={"context": tf.ones((4, 3))}).shape
    TensorShape([4])
    """
    vectors = VectorData(event_shape=event_shape, **data)
    check_choice("kind", kind, ("coupling", "autoregressive"))
    if kind == "coupling":
        vectors.check_two_elements()
    num_steps, width = check_int("num_steps", num_steps), check_int("width", width)
    num_blocks = check_int("num_blocks", num_blocks)
    check_choice("linear", linear, ("lu", "permutation"))
    unconditional = check_bool("unconditional", unconditional)
    check_activation("activation", activation)
    check_backprop(backprop)
    spline = RationalQuadraticSpline(num_bins, bound)
    generator = keras.random.SeedGenerator(vectors.seed)
    shape, dtype, num_kept = (vectors.size,), vectors.dtype, vectors.size // 2
    network_arguments: dict[str, Any] = {
        "width": width, "num_blocks": num_blocks, "activation": activation, "seed": generator, "dtype": vectors.policy}

    def mixing() -> tfgb.FlowBijector:
        order = _exchanging_order(vectors.size, generator)
        if linear == "lu":
            return tfgb.InvertibleConv1x1(shape, dtype=dtype, order=order)
        return tfgb.Permute(shape, order, dtype=dtype)

    def coupling() -> list[tfgb.FlowBijector]:
        network = ResidualMLP(spline.num_parameters * (vectors.size - num_kept), **network_arguments)
        kept = [tfgb.Elementwise(shape, spline, num_kept, dtype=dtype)] if unconditional else []
        return [tfgb.Coupling(shape, network, spline, context_shape=vectors.context_size, dtype=dtype), *kept]

    def autoregressive() -> list[tfgb.FlowBijector]:
        network = ResidualMADE(vectors.size, num_outputs=spline.num_parameters, context_size=vectors.context_size,
                               **network_arguments)
        return [tfgb.MaskedAutoregressive(shape, network, dtype, transform=spline, context_shape=vectors.context_size)]

    layer = coupling if kind == "coupling" else autoregressive
    steps: list[tfb.Bijector] = repeated(lambda index: [mixing(), *layer()], num_steps, backprop)
    return flow_distribution([*vectors.entrance(), *steps, mixing()], "nsf", vectors.name)


def _exchanging_order(size: int, seed: keras.random.SeedGenerator) -> np.ndarray:
    """Returns a random permutation that moves each of the first `size // 2` elements behind this half."""
    noise = keras.ops.convert_to_numpy(keras.random.uniform((size,), seed=seed, dtype="float32"))
    half = size // 2
    behind = half + np.argsort(noise[half:], kind="stable")  # The first `half` of these elements come to the front.
    others = np.concatenate([np.arange(half), behind[half:]])
    return np.concatenate([behind[:half], others[np.argsort(noise[:len(others)], kind="stable")]])
