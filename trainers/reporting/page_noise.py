# SPDX-License-Identifier: Apache-2.0
"""The seeded random numbers of the page in docs/play, the same as docs/play/js/random.js computes."""

import math

import numpy as np


class PageNoise:
    """A generator of random numbers that a page in JavaScript and Python implement alike.

    The generator is xoshiro128**. Its four words of state are four outputs of splitmix32.

    Args:
      seed: int in `[0, 2**32)`.

    References:
      Blackman and Vigna, *Scrambled linear pseudorandom number generators*, 2021; Steele, Lea and Flood, *Fast
      splittable pseudorandom number generators*, 2014, here in 32 bits.
    """

    def __init__(self, seed: int) -> None:
        self._state = [_mixed((seed + (k + 1) * 0x9E3779B9) % 2**32) for k in range(4)]

    def uniform(self, shape: tuple[int, ...]) -> np.ndarray:
        """Draws from the uniform distribution on [0, 1), in multiples of `2**-24`.

        Args:
          shape: shape of the result.

        Returns:
          A float32 array.
        """
        return np.array([self._high_bits() for _ in range(math.prod(shape))], np.float32).reshape(shape)

    def normal(self, shape: tuple[int, ...]) -> np.ndarray:
        """Draws from the standard normal distribution.

        From `u` in (0, 1] and `v` in [0, 1), two draws are `sqrt(-2 log u) cos(2 pi v)` and
        `sqrt(-2 log u) sin(2 pi v)`.

        Args:
          shape: shape of the result.

        Returns:
          A float32 array.

        References:
          Box and Muller, *A note on the generation of random normal deviates*, 1958.
        """
        size = math.prod(shape)
        draws: list[float] = []
        while len(draws) < size:
            radius = math.sqrt(-2.0 * math.log(self._high_bits() + 2.0**-24))
            angle = 2.0 * math.pi * self._high_bits()
            draws += [radius * math.cos(angle), radius * math.sin(angle)]
        return np.array(draws[:size], np.float32).reshape(shape)

    def _high_bits(self) -> float:
        """Returns the 24 high bits of the next output as a number in [0, 1)."""
        s = self._state
        result = _rotated(s[1] * 5 % 2**32, 7) * 9 % 2**32
        t = s[1] << 9 & 0xFFFFFFFF
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = _rotated(s[3], 11)
        return (result >> 8) * 2.0**-24


def _rotated(x: int, k: int) -> int:
    return (x << k | x >> (32 - k)) & 0xFFFFFFFF


def _mixed(z: int) -> int:
    """Returns the mixing function of splitmix32."""
    z = (z ^ z >> 16) * 0x21F0AAAD % 2**32
    z = (z ^ z >> 15) * 0x735A2D97 % 2**32
    return z ^ z >> 15
