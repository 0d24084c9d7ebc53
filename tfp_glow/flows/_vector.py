# SPDX-License-Identifier: Apache-2.0
"""What the flows over vectors share: their way from data units to numbers of about unit size."""

import dataclasses
import math

import keras
import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from tfp_glow import bijectors as tfgb
from tfp_glow._checks import check_bool, check_choice, check_float_dtype, check_int, check_shape
from tfp_glow.bijectors.pixels import check_num_bits
from tfp_glow.flows._config import PresetDistribution, check_seed_and_policy

tfd = tfp.distributions


@dataclasses.dataclass(frozen=True, kw_only=True)
class VectorConfig:
    """The arguments that flows over vectors have in common, checked. Densities are over data as it comes.

    Args:
      event_shape: `(size,)` or an int; or `(height, width, channels)`, of images that are flattened.
      pixels: for images, how pixel units become real numbers: `"logit"` or `"affine"`, see
        `tfp_glow.bijectors.LogitPixels` and `AffinePixels`. Vectors are continuous.
      num_bits: for images, bits of a pixel; images are in `[0, 2**num_bits)`.
      loc: for vectors, what is subtracted from data before all else: a number, or one for each element.
      scale: for vectors, what data is divided by then, likewise.
      act_norm: whether data then passes an `ActNorm`, set from the first batch.
      seed: an int for reproducible weights, or None.
      dtype: float32 or float64, of data, latents, densities and parameters.
      network_dtype: dtype or policy of the networks, `dtype` by default.

    Raises:
      ValueError: if an argument is not as said.
    """

    event_shape: tuple
    pixels: str = "logit"
    num_bits: int = 8
    loc: float | tuple = 0.0
    scale: float | tuple = 1.0
    act_norm: bool = False
    seed: int | None = None
    dtype: str = "float32"
    network_dtype: str | None = None

    def __post_init__(self):
        shape = check_shape("event_shape", self.event_shape, ranks=(1, 3))
        object.__setattr__(self, "event_shape", shape)
        check_choice("pixels", self.pixels, ("logit", "affine"))
        check_num_bits(self.num_bits)
        check_float_dtype(self.dtype)
        check_bool("act_norm", self.act_norm)
        check_seed_and_policy(self)
        for argument in ("loc", "scale"):  # As plain data, for config files.
            value = np.asarray(getattr(self, argument)).tolist()
            value = tuple(value) if isinstance(value, list) else value
            object.__setattr__(self, argument, value)
            if len(shape) == 3 and value != {"loc": 0.0, "scale": 1.0}[argument]:
                raise ValueError(f"Argument `{argument}` is for vectors, not images; received {value!r}.")
        self._entrance()
        if "hidden_sizes" in self.__dict__:
            if not isinstance(self.hidden_sizes, (list, tuple)):
                raise ValueError("Argument `hidden_sizes` must be a sequence of whole numbers; "
                                 f"received {self.hidden_sizes!r}.")
            sizes = tuple(check_int("hidden_sizes", size) for size in self.hidden_sizes)
            object.__setattr__(self, "hidden_sizes", sizes)

    def build(self):
        """Makes the distribution, with fresh weights."""
        size = math.prod(self.event_shape)
        seed = keras.random.SeedGenerator(self.seed)
        flow = tfgb.Steps([*self._entrance(), *self._steps(size, seed)], name=self.flow_name)
        return PresetDistribution(self, self._base(size), flow, name=self.flow_name)

    def _entrance(self):
        """The bijectors between data and the flow proper, from the data's side."""
        shape, dtype = self.event_shape, self.dtype
        if len(shape) == 1:
            entrance = [tfgb.Standardize(shape, self.loc, self.scale, dtype=dtype)]
        else:
            pixels = tfgb.LogitPixels if self.pixels == "logit" else tfgb.AffinePixels
            entrance = [pixels(shape, self.num_bits, dtype=dtype), tfgb.Flatten(shape, dtype=dtype)]
        if self.act_norm:
            entrance.append(tfgb.ActNorm((math.prod(shape),), dtype=dtype))
        return entrance

    def _steps(self, size, seed):
        """The bijectors of the flow proper over vectors of `size`, from the data's side."""
        raise NotImplementedError(f"{type(self).__name__} must define _steps.")

    def _base(self, size):
        """The distribution of latents: standard normal, unless a flow says otherwise."""
        return tfd.Independent(tfd.Normal(tf.zeros([size], self.dtype), tf.ones([], self.dtype)), 1)

    def _norm(self, size):
        """Batch norm with a learned scale and shift, as between the layers of MAF."""
        return [tfgb.BatchNorm((size,), dtype=self.dtype),
                tfgb.ActNorm((size,), data_dependent=False, dtype=self.dtype, name="batch_norm_affine")]
