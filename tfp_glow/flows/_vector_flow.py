# SPDX-License-Identifier: Apache-2.0
"""`VectorData`: arguments that all flows over vectors share, and the bijectors that prepare data for these flows."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from tensorflow_probability import bijectors as tfb

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_bool, check_choice, check_num_bits, check_shape
from tfp_glow._types import DTypeLike, PolicyLike, Shape, ShapeLike
from tfp_glow.flows._shared import check_common
from tfp_glow.networks import ScaledTanh

_DEFAULT_LOC, _DEFAULT_SCALE = 0.0, 1.0
# Masks of the couplings that change the two parts of a vector in turn.
PARTITIONS = {"odd_even": ("checkerboard", "checkerboard_reversed"), "halves": ("channel", "channel_reversed")}
BACKPROPS = ("stored", "reversible", "unrolled")
# Arguments of the flows that repeat their layers, for files that were written before they had this argument.
EARLIER = {"backprop": "unrolled"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorData:
    """The shared arguments of the flows over vectors: shape, units and dtype of the data, and the random seed.

    The flows also accept images, which they flatten to vectors. A flow first maps data to vectors whose elements are
    of the order of 1 (see `entrance`). The density of the flow refers to the data before this map.

    Args:
      event_shape: `(size,)` or an int for vectors, or `(height, width, channels)` for images. All sizes are positive.
      pixels: for images, the map from pixel units: `"logit"` (the default) maps them to logits
        (`tfp_glow.bijectors.LogitPixels`), `"affine"` to `[-1/2, 1/2)` (`tfp_glow.bijectors.AffinePixels`).
      num_bits: for images, bits per channel value, an int from 1 to 16; values are in `[0, 2**num_bits)`. Default: 8.
      loc: for vectors, a finite number or one per element, usually the mean of the data. The flow subtracts it first.
        Default: 0.
      scale: for vectors, a positive number or one per element, usually the standard deviation of the data. The flow
        then divides by it. Default: 1.
      act_norm: a bool. True adds an `ActNorm` for the scaled vectors, which `tfp_glow.initialize` sets from a batch.
        Default: False.
      context_shape: `(size,)` or an int, shape of the context of one event, for a density `p(y | context)`. All
        networks then receive the context: `flow.log_prob(y, bijector_kwargs={"context": c})`,
        `FlowModel(flow).fit(y, c)`. None (the default) means no context.
      seed: an int of at least 0 for reproducible weights. None (the default) draws a new seed.
      dtype: float32 (the default) or float64, of data, latents, densities and parameters.
      network_dtype: dtype or Keras dtype policy of the networks, such as `"mixed_bfloat16"`. None (the default) means
        Keras's global policy (`keras.config.set_dtype_policy`), or float64 if `dtype` is float64. Densities and all
        other parameters have the dtype `dtype` under every policy.
      name: name of the distribution, a string. None (the default) means the name of the function that builds the flow.
        In a joint distribution of TFP, None means the name of the variable there.

    Raises:
      ValueError: if an argument violates its description above, or `loc` or `scale` is given for images.
    """

    event_shape: ShapeLike
    pixels: str = "logit"
    num_bits: int = 8
    loc: float | tuple[float, ...] = _DEFAULT_LOC
    scale: float | tuple[float, ...] = _DEFAULT_SCALE
    act_norm: bool = False
    context_shape: ShapeLike | None = None
    seed: int | None = None
    dtype: DTypeLike = "float32"
    network_dtype: PolicyLike = None
    name: str | None = None

    def __post_init__(self) -> None:
        shape = self.shape
        check_choice("pixels", self.pixels, ("logit", "affine"))
        check_num_bits(self.num_bits)
        check_bool("act_norm", self.act_norm)
        if self.context_shape is not None:
            check_shape("context_shape", self.context_shape, ranks=(1,))
        check_common(self.dtype, self.network_dtype, self.seed, self.name)
        for argument, default in (("loc", _DEFAULT_LOC), ("scale", _DEFAULT_SCALE)):
            value = getattr(self, argument)
            if len(shape) == 3 and np.asarray(value).tolist() != default:
                raise ValueError(f"Argument `{argument}` is for vectors, not images; received {value!r}.")

    @property
    def shape(self) -> Shape:
        """The event shape as a tuple of ints."""
        return check_shape("event_shape", self.event_shape, ranks=(1, 3))

    @property
    def size(self) -> int:
        """Number of elements of one event."""
        return math.prod(self.shape)

    @property
    def context_size(self) -> int | None:
        """Number of elements of the context of one event, or None for no context."""
        return None if self.context_shape is None else check_shape("context_shape", self.context_shape, ranks=(1,))[0]

    @property
    def policy(self) -> Any:
        """The dtype or dtype policy of the networks: `network_dtype`, or `dtype` if `network_dtype` is None.

        A builder of flows has already replaced None by Keras's global policy, unless the policy is float32.
        """
        return self.network_dtype or self.dtype

    def check_two_elements(self) -> None:
        """Raises `ValueError` if an event has only one element, which leaves a coupling nothing to keep."""
        if self.size < 2:
            raise ValueError("Argument `event_shape` must have at least 2 elements, because a coupling keeps one to "
                             f"change another (tfp_glow.maf and tfp_glow.iaf accept 1); received {self.event_shape!r}.")

    def part_sizes(self, partition: str) -> tuple[int, int]:
        """Returns the numbers of inputs and of outputs per parameter of a coupling's network.

        Args:
          partition: a key of `PARTITIONS`.

        Raises:
          ValueError: if `partition` is not one of them.
        """
        check_choice("partition", partition, tuple(PARTITIONS))
        return (self.size // 2, self.size - self.size // 2) if partition == "halves" else (self.size, self.size)

    def entrance(self) -> list[tfb.Bijector]:
        """Returns the bijectors that map data to vectors with elements of the order of 1, listed from the data side.

        For vectors the list has a `Standardize`. For images it has a `LogitPixels` or an `AffinePixels`, followed by a
        `Flatten`. With `act_norm` an `ActNorm` comes last.
        """
        if len(self.shape) == 1:
            entrance = [tfgb.Standardize(self.shape, self.loc, self.scale, dtype=self.dtype)]
        else:
            pixels = tfgb.LogitPixels if self.pixels == "logit" else tfgb.AffinePixels
            entrance = [pixels(self.shape, self.num_bits, dtype=self.dtype), tfgb.Flatten(self.shape, dtype=self.dtype)]
        if self.act_norm:
            entrance.append(tfgb.ActNorm((self.size,), dtype=self.dtype))
        return entrance

    def batch_norm(self) -> list[tfb.Bijector]:
        """Returns batch normalization with a learned scale and shift, as MAF has it: a `BatchNorm` and an `ActNorm`."""
        shape = (self.size,)
        return [tfgb.BatchNorm(shape, dtype=self.dtype),
                tfgb.ActNorm(shape, data_dependent=False, dtype=self.dtype, name="batch_norm_affine")]


def repeated(make_layer: Callable[[int], list[tfb.Bijector]], num_layers: int, backprop: str,
             period: int = 1) -> list[tfb.Bijector]:
    """Returns the layers of a flow, listed from the data side. Those of equal structure are run in a loop.

    Args:
      make_layer: a function of the index of a layer that returns the bijectors of a new layer.
      num_layers: number of layers, an int of at least 1.
      backprop: `"stored"` or `"reversible"`, as for `tfp_glow.bijectors.Repeat`, which runs the loop; or `"unrolled"`,
        which builds no loop.
      period: number of layers after which the structure is the same again. It is one step of the loop. Default: 1.
    """
    num_steps = num_layers // period if backprop != "unrolled" else 0
    if num_steps < 2:
        return [bijector for index in range(num_layers) for bijector in make_layer(index)]

    def make_step() -> tfgb.FlowBijector:
        bijectors = [bijector for index in range(period) for bijector in make_layer(index)]
        return bijectors[0] if len(bijectors) == 1 and isinstance(bijectors[0], tfgb.FlowBijector) else (
            tfgb.Steps(bijectors))

    loop = tfgb.Repeat(make_step, num_steps, backprop=backprop)
    return [loop, *(bijector for index in range(num_steps * period, num_layers) for bijector in make_layer(index))]


def bounded(network: keras.Layer, size: int, vectors: VectorData) -> keras.Layer:
    """Returns a network whose outputs are those of `network` with log-scales in the range of a learned factor.

    Args:
      network: a Keras layer that maps vectors, or pairs of a vector and a context, to shifts and raw log-scales.
      size: number of elements of these vectors.
      vectors: the arguments of the flow.
    """
    inputs = keras.Input((size,), dtype=vectors.dtype)
    scaled_tanh = ScaledTanh(dtype=vectors.policy)
    if vectors.context_size is None:
        return keras.Sequential([inputs, network, scaled_tanh])
    pair = [inputs, keras.Input((vectors.context_size,), dtype=vectors.dtype)]
    return keras.Model(pair, scaled_tanh(network(pair)))


def check_backprop(backprop: str, batch_norm: bool = False) -> str:
    """Returns how the layers of a flow are run, for `repeated`.

    Args:
      backprop: the argument `backprop` of the flow.
      batch_norm: True if the flow has batch normalization. The layers are then always unrolled, because a loop cannot
        carry running statistics.

    Raises:
      ValueError: if `backprop` is not one of `BACKPROPS`, or is `"reversible"` for a flow with batch normalization.
    """
    check_choice("backprop", backprop, BACKPROPS)
    if batch_norm and backprop == "reversible":
        raise ValueError("Argument `backprop` must be 'stored' or 'unrolled' with batch_norm=True, because a loop "
                         "cannot carry running statistics (use batch_norm=False); received 'reversible'.")
    return "unrolled" if batch_norm else backprop
