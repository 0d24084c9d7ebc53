# SPDX-License-Identifier: Apache-2.0
"""Toy densities of two variables: a sampler each and, where a closed form exists, the log-density and entropy."""

import dataclasses
import math
from collections.abc import Callable, Sequence

import numpy as np


@dataclasses.dataclass(frozen=True)
class Density:
    """A probability density of two variables.

    Attributes:
      sample: callable that draws samples. It accepts a `numpy.random.RandomState` and the number `N` of samples, and
        returns a float array `[N, 2]`.
      log_density: callable that accepts a float array of points `[..., 2]` and returns their log-densities `[...]` in
        nats. Default None: the log-density has no closed form.
      exact_entropy: float, differential entropy in nats. Default None: the entropy has no closed form.
      half_side: float, half of the side of a square around the origin. The probability outside this square must be
        negligible. Default 5.0.
    """

    sample: Callable[[np.random.RandomState, int], np.ndarray]
    log_density: Callable[[np.ndarray], np.ndarray] | None = None
    exact_entropy: float | None = None
    half_side: float = 5.0

    def entropy(self, step: float = 0.02) -> float:
        """Computes the differential entropy: `exact_entropy` if it is given, otherwise `quadrature(step)`.

        Args:
          step: float, distance between neighboring grid points of the quadrature. Default 0.02.

        Returns:
          The entropy in nats, a float.

        Raises:
          ValueError: if `exact_entropy` and `log_density` are None.

        Example:

        >>> round(DENSITIES["checkerboard"].entropy(), 4)
        3.4657
        """
        return self.quadrature(step) if self.exact_entropy is None else self.exact_entropy

    def quadrature(self, step: float) -> float:
        """Computes the differential entropy as the sum of `-p log(p) step**2` over the points of a square grid.

        The grid covers the square of side `2 * half_side` around the origin. For smooth densities, the sum converges
        faster than any power of `step`. For the densities of this module, `step=0.02` gives six correct digits.

        Args:
          step: float, distance between neighboring grid points. The nearest distance that divides the side of the
            square is used.

        Returns:
          The entropy in nats, a float.

        Raises:
          ValueError: if `log_density` is None.
        """
        if self.log_density is None:
            raise ValueError("log_density: must be given for a quadrature; got None")
        number = round(2 * self.half_side / step)
        ticks = (np.arange(number) + 0.5) * (2 * self.half_side / number) - self.half_side
        total = 0.0
        for y in np.array_split(ticks, max(1, number // 20)):
            log_p = self.log_density(np.stack(np.meshgrid(ticks, y), axis=-1))
            total -= np.sum(np.exp(log_p) * np.where(np.isfinite(log_p), log_p, 0.0))
        return float(total * (2 * self.half_side / number) ** 2)


def _log_normal(x: np.ndarray, deviation: float) -> np.ndarray:
    """Computes the log-density of the normal distribution with mean 0, elementwise."""
    return -0.5 * (x / deviation) ** 2 - math.log(deviation * math.sqrt(2 * math.pi))


def _normal_entropy(deviation: float) -> float:
    return 0.5 * math.log(2 * math.pi * math.e * deviation**2)


def _log_mean_exp(values: np.ndarray, axis: int) -> np.ndarray:
    top = values.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.mean(np.exp(values - top), axis=axis))


def _normal_mixture(centers: np.ndarray, deviation: float, half_side: float) -> Density:
    """Returns a mixture of isotropic normal distributions with equal weights."""
    def sample(random: np.random.RandomState, number: int) -> np.ndarray:
        return centers[random.randint(len(centers), size=number)] + deviation * random.normal(size=(number, 2))

    def log_density(x: np.ndarray) -> np.ndarray:
        away = x[..., None, :] - centers
        return _log_mean_exp(_log_normal(away, deviation).sum(axis=-1), axis=-1)

    return Density(sample, log_density, half_side=half_side)


def _circle_points(angles: np.ndarray, radius: float | np.ndarray) -> np.ndarray:
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _two_moons(deviation: float = 0.1, half_side: float = 2.5, nodes: int = 256) -> Density:
    """Returns the density of a uniform point on two half circles of radius 1, plus isotropic normal noise.

    One half circle is the other one, rotated by 180 degrees around the origin. The log-density is exact up to the
    midpoint rule, which replaces each half circle by `nodes` points. By default, neighboring points are
    about an eighth of `deviation` apart.
    """
    def arcs(angles: np.ndarray) -> np.ndarray:
        upper = _circle_points(angles, 1.0) - [0.5, 0.25]
        return np.stack([upper, -upper])

    points = arcs((np.arange(nodes) + 0.5) * (math.pi / nodes)).reshape(-1, 2)

    def sample(random: np.random.RandomState, number: int) -> np.ndarray:
        on_arcs = arcs(math.pi * random.uniform(size=number))
        which = random.randint(2, size=number)
        return on_arcs[which, np.arange(number)] + deviation * random.normal(size=(number, 2))

    def log_density(x: np.ndarray) -> np.ndarray:
        # One matrix product computes exp(-|x - c|^2 / 2d^2) without an array over points, nodes and coordinates.
        flat = np.reshape(x, (-1, 2))
        exponents = flat @ points.T - 0.5 * (np.sum(points**2, axis=1) + np.sum(flat**2, axis=1, keepdims=True))
        values = _log_mean_exp(exponents / deviation**2, axis=-1) - math.log(2 * math.pi * deviation**2)
        return values.reshape(np.shape(x)[:-1])

    return Density(sample, log_density, half_side=half_side)


def _rings(radii: Sequence[float] = (1.0, 2.0, 3.0), deviation: float = 0.1, half_side: float = 4.0) -> Density:
    """Returns circles around the origin with equal weights and normal noise on the radius.

    `p(x)` is the mean over the circles of `N(|x|; radius, deviation) / (2 pi |x|)`. The formula ignores negative radii:
    by default, they are ten standard deviations away.
    """
    centers = np.asarray(radii)

    def sample(random: np.random.RandomState, number: int) -> np.ndarray:
        lengths = centers[random.randint(len(centers), size=number)] + deviation * random.normal(size=number)
        return lengths[:, None] * _circle_points(2 * math.pi * random.uniform(size=number), 1.0)

    def log_density(x: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(x, axis=-1)
        radial = _log_mean_exp(_log_normal(length[..., None] - centers, deviation), axis=-1)
        return radial - np.log(2 * math.pi * length)

    return Density(sample, log_density, half_side=half_side)


def _checkerboard(squares: int = 4, side: float = 2.0) -> Density:
    """Returns the uniform density on every other square of a board; its entropy is the logarithm of their area."""
    half_side = squares * side / 2
    area = squares**2 * side**2 / 2

    def sample(random: np.random.RandomState, number: int) -> np.ndarray:
        column = random.randint(squares, size=number)
        row = 2 * random.randint(squares // 2, size=number) + column % 2
        return side * (np.stack([column, row], axis=-1) + random.uniform(size=(number, 2))) - half_side

    def log_density(x: np.ndarray) -> np.ndarray:
        inside = (np.abs(x) < half_side).all(axis=-1)
        even = np.floor((x + half_side) / side).sum(axis=-1) % 2 == 0
        return np.where(inside & even, -math.log(area), -np.inf)

    return Density(sample, log_density, math.log(area), half_side)


def _sheared_normal(
    curve: Callable[[np.ndarray], np.ndarray], first: float, second: float, half_side: float
) -> Density:
    """Returns the density of `(a, curve(a) + b)` for independent normal `a` and `b` with mean 0.

    Their standard deviations are `first` and `second`. The map from `(a, b)` preserves areas, so the entropy is the sum
    of the entropies of `a` and `b`.
    """
    def sample(random: np.random.RandomState, number: int) -> np.ndarray:
        a, b = first * random.normal(size=number), second * random.normal(size=number)
        return np.stack([a, curve(a) + b], axis=-1)

    def log_density(x: np.ndarray) -> np.ndarray:
        return _log_normal(x[..., 0], first) + _log_normal(x[..., 1] - curve(x[..., 0]), second)

    return Density(sample, log_density, _normal_entropy(first) + _normal_entropy(second), half_side)


def _twisted_normal(first: float, second: float, twist: float, half_side: float) -> Density:
    """Returns the density of a twisted normal vector with the standard deviations `first` and `second`.

    A vector of length `r` is rotated by the angle `twist * r`. This map preserves areas, so the entropy is the entropy
    of the normal vector.
    """
    def rotated(x: np.ndarray, sign: float) -> np.ndarray:
        angle = sign * twist * np.linalg.norm(x, axis=-1)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.stack([cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1]], axis=-1)

    def sample(random: np.random.RandomState, number: int) -> np.ndarray:
        return rotated(random.normal(size=(number, 2)) * [first, second], 1.0)

    def log_density(x: np.ndarray) -> np.ndarray:
        straight = rotated(x, -1.0)
        return _log_normal(straight[..., 0], first) + _log_normal(straight[..., 1], second)

    return Density(sample, log_density, _normal_entropy(first) + _normal_entropy(second), half_side)


def _sample_pinwheel(random: np.random.RandomState, number: int) -> np.ndarray:
    """Samples five arms around the origin, each a normal distribution that bends with the distance from the origin."""
    along, across = 1.0 + 0.3 * random.normal(size=number), 0.1 * random.normal(size=number)
    angle = 2 * math.pi / 5 * random.randint(5, size=number) + 0.25 * np.exp(along)
    rotated = np.stack([along * np.cos(angle) - across * np.sin(angle),
                        along * np.sin(angle) + across * np.cos(angle)], axis=-1)
    return 2 * rotated


def _sample_two_spirals(random: np.random.RandomState, number: int) -> np.ndarray:
    """Samples a spiral of one and a half turns and its rotation by 180 degrees, with normal noise."""
    angle = 3 * math.pi * np.sqrt(random.uniform(size=number))
    sign = 2 * random.randint(2, size=number) - 1
    return (sign * angle / 3)[:, None] * _circle_points(angle, 1.0) + 0.1 * random.normal(size=(number, 2))


DENSITIES: dict[str, Density] = {
    "two_moons": _two_moons(),
    "rings": _rings(),
    "pinwheel": Density(_sample_pinwheel),
    "checkerboard": _checkerboard(),
    "eight_gaussians": _normal_mixture(
        _circle_points(math.pi / 4 * np.arange(8), 4 / math.sqrt(2)), 0.5 / math.sqrt(2), 6.0),
    "two_spirals": Density(_sample_two_spirals),
    "banana": _sheared_normal(lambda a: 0.5 * a**2 - 1.0, 1.0, 0.5, 20.0),
    "wave": _sheared_normal(lambda a: np.sin(2.0 * a), 1.5, 0.3, 10.0),
    "swirl": _twisted_normal(1.5, 0.3, 0.8, 10.0),
}
