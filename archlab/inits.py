"""Initialiser laws: how a parameter's first value is drawn.

A law is a config, so an architecture states its own initialisation; neither framework's
defaults are ever used. All backends start from the same bits (see :mod:`archlab.random`).
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from archlab import random
from archlab.config import Config


class Init(Config):
    """A law. ``fan_in`` is the number of inputs that one output of the parameter sums over."""

    tagged = True
    abstract = True

    def draw(
        self, seed: int, path: str, shape: Sequence[int], fan_in: int, dtype: DTypeLike = np.float64
    ) -> np.ndarray:
        """The parameter's first value, worked out in float64 and rounded to ``dtype``: a function of these alone."""
        raise NotImplementedError


class Fixed(Init):
    """A law without chance."""

    abstract = True

    def values(self, shape: Sequence[int]) -> np.ndarray | float:
        """What a parameter starts at: a number, or an array that broadcasts to ``shape``."""
        raise NotImplementedError

    def draw(
        self, seed: int, path: str, shape: Sequence[int], fan_in: int, dtype: DTypeLike = np.float64
    ) -> np.ndarray:
        out = np.empty(shape, dtype)
        out[...] = self.values(shape)
        return out


class Random(Init):
    """A law whose elements are independent: each is made of a uniform number of its own."""

    abstract = True

    def element(self, u: np.ndarray, fan_in: int) -> np.ndarray:
        """What uniform numbers 0 < u < 1 become, elementwise: the law's quantiles, in either direction."""
        raise NotImplementedError

    def draw(
        self, seed: int, path: str, shape: Sequence[int], fan_in: int, dtype: DTypeLike = np.float64
    ) -> np.ndarray:
        drawn = random.elements(lambda u: self.element(u, fan_in), seed, path, math.prod(shape), dtype=dtype)
        return drawn.reshape(shape)


class Zeros(Fixed):
    """All 0."""

    def values(self, shape: Sequence[int]) -> float:
        return 0.0


class Ones(Fixed):
    """All 1."""

    def values(self, shape: Sequence[int]) -> float:
        return 1.0


class OneHot(Fixed):
    """1 at ``index`` of the last axis, else 0."""

    index: int

    def check(self) -> None:
        self.require(self.index >= 0, "index", "must be ≥ 0")

    def values(self, shape: Sequence[int]) -> np.ndarray:
        return np.arange(shape[-1]) == self.index


class Eye(Fixed):
    """The identity matrix of the last two axes."""

    def values(self, shape: Sequence[int]) -> np.ndarray:
        return np.eye(shape[-2], shape[-1])


class Constant(Fixed):
    """All ``value``."""

    value: float

    def values(self, shape: Sequence[int]) -> float:
        return self.value


class LogRange(Fixed):
    """log 1, log 2, … along the last axis (S4D's real law, https://arxiv.org/abs/2206.11893)."""

    def values(self, shape: Sequence[int]) -> np.ndarray:
        return np.log(np.arange(1, shape[-1] + 1))


class Normal(Random):
    """N(0, std²)."""

    std: float

    def check(self) -> None:
        self.require(self.std >= 0, "std", "is not a standard deviation: it must be ≥ 0")

    def element(self, u: np.ndarray, fan_in: int) -> np.ndarray:
        return random.normal_quantile(u) * self.std


class TruncatedNormal(Normal):
    """N(0, std²) cut off at ±``bound`` standard deviations; the result is not rescaled to ``std``."""

    bound: float

    def check(self) -> None:
        super().check()
        self.require(self.bound > 0, "bound", "must be > 0 (standard deviations)")

    def element(self, u: np.ndarray, fan_in: int) -> np.ndarray:
        low, high = random.normal_cdf(-self.bound), random.normal_cdf(self.bound)
        return super().element(_between(low, high, u), fan_in)


class FanInNormal(Random):
    """N(0, gain²/fan_in), not truncated (LeCun's law at gain 1, He's at √2)."""

    gain: float = 1.0

    def element(self, u: np.ndarray, fan_in: int) -> np.ndarray:
        return random.normal_quantile(u) * (self.gain / math.sqrt(fan_in))


class Uniform(Random):
    """U(low, high)."""

    low: float
    high: float

    def check(self) -> None:
        self.require(self.high >= self.low, "high", f"must be at least low = {self.low}")

    def element(self, u: np.ndarray, fan_in: int) -> np.ndarray:
        return _between(self.low, self.high, u)


class FanInUniform(Random):
    """U(−b, b), b = gain/√fan_in: what PyTorch's Linear draws its matrix from at gain 1, LeCun's uniform law at √3."""

    gain: float = 1.0

    def element(self, u: np.ndarray, fan_in: int) -> np.ndarray:
        return self.gain / math.sqrt(fan_in) * (2.0 * u - 1.0)


class LogUniform(Uniform):
    """log u, u from U(low, high)."""

    def check(self) -> None:
        super().check()
        self.require(self.low > 0, "low", "must be > 0")

    def element(self, u: np.ndarray, fan_in: int) -> np.ndarray:
        return np.log(super().element(u, fan_in))


class InverseSoftplus(Uniform):
    """b with softplus(b) = e^u, u from U(log low, log high): steps spread evenly over their orders of magnitude."""

    def check(self) -> None:
        super().check()
        self.require(self.low > 0, "low", "must be > 0")

    def element(self, u: np.ndarray, fan_in: int) -> np.ndarray:
        step = np.exp(_between(math.log(self.low), math.log(self.high), u))
        return step + np.log(-np.expm1(-step))


class Ring(Uniform):
    """b with e^(−softplus(b)) = a, a² from U(low², high²): decays as evenly spread as points between two circles.

    The linear recurrent unit's law (https://arxiv.org/abs/2303.06349), which RecurrentGemma draws Λ from.
    """

    def check(self) -> None:
        super().check()
        self.require(self.low > 0, "low", "must be > 0")
        self.require(self.high < 1, "high", "must be < 1")

    def element(self, u: np.ndarray, fan_in: int) -> np.ndarray:
        return np.log(1.0 / np.sqrt(_between(self.low**2, self.high**2, u)) - 1.0)


def _between(low: float, high: float, u: np.ndarray) -> np.ndarray:
    """The points a share ``u`` of the way from ``low`` to ``high``."""
    return low + (high - low) * u
