# SPDX-License-Identifier: Apache-2.0
"""Densities in the plane to learn: how to draw from them and, where it can be written down, what they are."""

import dataclasses
import math
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Density:
    """A density in the plane.

    Attributes:
      sample: `(RandomState, number) -> [number, 2]`.
      log_density: `[..., 2] -> [...]`, in nats; None where there is no closed form.
      exact_entropy: in nats, where it has a closed form.
      half_side: of the square around the origin outside of which the density is nought for all practical purposes.
    """

    sample: Callable
    log_density: Callable | None = None
    exact_entropy: float | None = None
    half_side: float = 5.0

    def entropy(self, step: float = 0.02) -> float:
        """Differential entropy in nats: `exact_entropy`, or the sum of `-p log p * step**2` over a square grid.

        The sum converges faster than any power of `step` for smooth densities: at a fifth of the smallest deviation
        in here it has six digits.

        Args:
          step: distance of the grid's points.
        """
        return self.quadrature(step) if self.exact_entropy is None else self.exact_entropy

    def quadrature(self, step: float) -> float:
        """The entropy by the grid alone, see `entropy`."""
        number = round(2 * self.half_side / step)
        ticks = (np.arange(number) + 0.5) * (2 * self.half_side / number) - self.half_side
        total = 0.0
        for y in np.array_split(ticks, max(1, number // 20)):
            log_p = self.log_density(np.stack(np.meshgrid(ticks, y), axis=-1))
            total -= np.sum(np.exp(log_p) * np.where(np.isfinite(log_p), log_p, 0.0))
        return float(total * (2 * self.half_side / number) ** 2)


def _log_normal(x, deviation):
    """Log-density of a centred normal distribution."""
    return -0.5 * (x / deviation) ** 2 - math.log(deviation * math.sqrt(2 * math.pi))


def _normal_entropy(deviation):
    return 0.5 * math.log(2 * math.pi * math.e * deviation**2)


def _log_mean_exp(values, axis):
    top = values.max(axis=axis, keepdims=True)
    return np.squeeze(top, axis) + np.log(np.mean(np.exp(values - top), axis=axis))


def _mixture(centers, deviation, half_side):
    """Equal round normal distributions."""
    def sample(random, number):
        return centers[random.randint(len(centers), size=number)] + deviation * random.normal(size=(number, 2))

    def log_density(x):
        away = x[..., None, :] - centers
        return _log_mean_exp(_log_normal(away, deviation).sum(axis=-1), axis=-1)

    return Density(sample, log_density, half_side=half_side)


def _circle(angles, radius):
    return radius * np.stack([np.cos(angles), np.sin(angles)], axis=-1)


def _two_moons(deviation=0.1, half_side=2.5, nodes=256):
    """Two half circles of radius 1, one the other turned by half, blurred by a normal distribution.

    The density is the mean over the arcs of the normal density around each of their points: by the midpoint rule on
    `nodes` points an arc, an eighth of `deviation` apart.
    """
    def arcs(angles):
        upper = _circle(angles, 1.0) - [0.5, 0.25]
        return np.stack([upper, -upper])

    points = arcs((np.arange(nodes) + 0.5) * (math.pi / nodes)).reshape(-1, 2)

    def sample(random, number):
        on_arcs = arcs(math.pi * random.uniform(size=number))
        which = random.randint(2, size=number)
        return on_arcs[which, np.arange(number)] + deviation * random.normal(size=(number, 2))

    def log_density(x):
        # exp(-|x - c|^2 / 2d^2) as one matrix product instead of an array over points and nodes and coordinates.
        flat = np.reshape(x, (-1, 2))
        exponents = flat @ points.T - 0.5 * (np.sum(points**2, axis=1) + np.sum(flat**2, axis=1, keepdims=True))
        values = _log_mean_exp(exponents / deviation**2, axis=-1) - math.log(2 * math.pi * deviation**2)
        return values.reshape(np.shape(x)[:-1])

    return Density(sample, log_density, half_side=half_side)


def _rings(radii=(1.0, 2.0, 3.0), deviation=0.1, half_side=4.0):
    """Circles with equally many points, whose distance from the origin is normal around the circle's radius.

    `p(x) = mean over circles of N(|x|; radius, deviation) / (2 pi |x|)`; that the normal reaches below 0 is left out:
    at ten deviations it has no weight.
    """
    radii = np.asarray(radii)

    def sample(random, number):
        lengths = radii[random.randint(len(radii), size=number)] + deviation * random.normal(size=number)
        return lengths[:, None] * _circle(2 * math.pi * random.uniform(size=number), 1.0)

    def log_density(x):
        length = np.linalg.norm(x, axis=-1)
        radial = _log_mean_exp(_log_normal(length[..., None] - radii, deviation), axis=-1)
        return radial - np.log(2 * math.pi * length)

    return Density(sample, log_density, half_side=half_side)


def _checkerboard(squares=4, side=2.0):
    """Uniform on every other square of a board; its entropy is the logarithm of their area."""
    half_side = squares * side / 2
    area = squares**2 * side**2 / 2

    def sample(random, number):
        column = random.randint(squares, size=number)
        row = 2 * random.randint(squares // 2, size=number) + column % 2
        return side * (np.stack([column, row], axis=-1) + random.uniform(size=(number, 2))) - half_side

    def log_density(x):
        inside = (np.abs(x) < half_side).all(axis=-1)
        even = np.floor((x + half_side) / side).sum(axis=-1) % 2 == 0
        return np.where(inside & even, -math.log(area), -np.inf)

    return Density(sample, log_density, math.log(area), half_side)


def _sheared(curve, first, second, half_side):
    """`x = (a, curve(a) + b)` for independent normal a and b: the shear keeps areas, so their entropies add up."""
    def sample(random, number):
        a, b = first * random.normal(size=number), second * random.normal(size=number)
        return np.stack([a, curve(a) + b], axis=-1)

    def log_density(x):
        return _log_normal(x[..., 0], first) + _log_normal(x[..., 1] - curve(x[..., 0]), second)

    return Density(sample, log_density, _normal_entropy(first) + _normal_entropy(second), half_side)


def _twisted(first, second, twist, half_side):
    """A normal distribution with two deviations whose points at radius r are turned by `twist * r`.

    The turn keeps areas, as a shear does, so the entropy is that of the normal distribution.
    """
    def turned(x, sign):
        angle = sign * twist * np.linalg.norm(x, axis=-1)
        cos, sin = np.cos(angle), np.sin(angle)
        return np.stack([cos * x[..., 0] - sin * x[..., 1], sin * x[..., 0] + cos * x[..., 1]], axis=-1)

    def sample(random, number):
        return turned(random.normal(size=(number, 2)) * [first, second], 1.0)

    def log_density(x):
        straight = turned(x, -1.0)
        return _log_normal(straight[..., 0], first) + _log_normal(straight[..., 1], second)

    return Density(sample, log_density, _normal_entropy(first) + _normal_entropy(second), half_side)


def _pinwheel(random, number):
    """Five arms of a normal distribution that turns as it leaves the centre."""
    along, across = 1.0 + 0.3 * random.normal(size=number), 0.1 * random.normal(size=number)
    angle = 2 * math.pi / 5 * random.randint(5, size=number) + 0.25 * np.exp(along)
    turned = np.stack([along * np.cos(angle) - across * np.sin(angle),
                       along * np.sin(angle) + across * np.cos(angle)], axis=-1)
    return 2 * turned


def _two_spirals(random, number):
    """Two spirals of one and a half turns, one the other turned by half."""
    angle = 3 * math.pi * np.sqrt(random.uniform(size=number))
    sign = 2 * random.randint(2, size=number) - 1
    return (sign * angle / 3)[:, None] * _circle(angle, 1.0) + 0.1 * random.normal(size=(number, 2))


DENSITIES = {
    "two_moons": _two_moons(),
    "rings": _rings(),
    "pinwheel": Density(_pinwheel),
    "checkerboard": _checkerboard(),
    "eight_gaussians": _mixture(_circle(math.pi / 4 * np.arange(8), 4 / math.sqrt(2)), 0.5 / math.sqrt(2), 6.0),
    "two_spirals": Density(_two_spirals),
    "banana": _sheared(lambda a: 0.5 * a**2 - 1.0, 1.0, 0.5, 20.0),
    "wave": _sheared(lambda a: np.sin(2.0 * a), 1.5, 0.3, 10.0),
    "swirl": _twisted(1.5, 0.3, 0.8, 10.0),
}
