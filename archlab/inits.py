"""Initialiser laws: how a parameter's first value is drawn.

A law is a config, so an architecture states its own initialisation; neither framework's
defaults are ever used. All backends start from the same bits (see :mod:`archlab.random`).
"""

import math
from collections.abc import Sequence

import numpy as np

from archlab import random
from archlab.config import Config


class Init(Config):
    """A law. ``fan_in`` is the number of inputs that one output of the parameter sums over."""

    tagged = True
    abstract = True

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        """The parameter's first value, float64, a pure function of its arguments."""
        raise NotImplementedError


class Zeros(Init):
    """All 0."""

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        return np.zeros(shape)


class Ones(Init):
    """All 1."""

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        return np.ones(shape)


class OneHot(Init):
    """1 at ``index`` of the last axis, else 0."""

    index: int

    def check(self) -> None:
        self.require(self.index >= 0, "index", "must be ≥ 0")

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        return np.zeros(shape) + (np.arange(shape[-1]) == self.index)


class Eye(Init):
    """The identity matrix of the last two axes."""

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        return np.zeros(shape) + np.eye(shape[-2], shape[-1])


class Constant(Init):
    """All ``value``."""

    value: float

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        return np.full(shape, self.value)


def _normal(std: float, seed: int, path: str, shape: Sequence[int], bound: float = math.inf) -> np.ndarray:
    """``std`` times standard normal numbers cut off at ±``bound``."""
    drawn = random.normal(seed, path, math.prod(shape), bound=bound)
    drawn *= std
    return drawn.reshape(shape)


class Normal(Init):
    """N(0, std²)."""

    std: float

    def check(self) -> None:
        self.require(self.std >= 0, "std", "is not a standard deviation: it must be ≥ 0")

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        return _normal(self.std, seed, path, shape)


class TruncatedNormal(Init):
    """N(0, std²) cut off at ±``bound`` standard deviations; the result is not rescaled to ``std``."""

    std: float
    bound: float

    def check(self) -> None:
        self.require(self.std >= 0, "std", "is not a standard deviation: it must be ≥ 0")
        self.require(self.bound > 0, "bound", "must be > 0 (standard deviations)")

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        return _normal(self.std, seed, path, shape, self.bound)


class FanInNormal(Init):
    """N(0, gain²/fan_in), not truncated (LeCun's law at gain 1, He's at √2)."""

    gain: float = 1.0

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        return _normal(self.gain / math.sqrt(fan_in), seed, path, shape)


class Uniform(Init):
    """U(low, high)."""

    low: float
    high: float

    def check(self) -> None:
        self.require(self.high >= self.low, "high", f"must be at least low = {self.low}")

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        u = random.uniform(seed, path, math.prod(shape)).reshape(shape)
        return self.low + (self.high - self.low) * u


class FanInUniform(Init):
    """U(−b, b), b = gain/√fan_in: what PyTorch's Linear draws its matrix from at gain 1, LeCun's uniform law at √3."""

    gain: float = 1.0

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        bound = self.gain / math.sqrt(fan_in)
        return bound * (2.0 * random.uniform(seed, path, math.prod(shape)).reshape(shape) - 1.0)


class LogUniform(Uniform):
    """log u, u from U(low, high)."""

    def check(self) -> None:
        super().check()
        self.require(self.low > 0, "low", "must be > 0")

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        return np.log(super().draw(seed, path, shape, fan_in))


class LogRange(Init):
    """log 1, log 2, … along the last axis (S4D's real law, https://arxiv.org/abs/2206.11893)."""

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        return np.log(np.arange(1, shape[-1] + 1)) + np.zeros(shape)


class InverseSoftplus(Uniform):
    """b with softplus(b) = e^u, u from U(log low, log high): steps spread evenly over their orders of magnitude."""

    def check(self) -> None:
        super().check()
        self.require(self.low > 0, "low", "must be > 0")

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        exponents = Uniform(low=math.log(self.low), high=math.log(self.high))
        step = np.exp(exponents.draw(seed, path, shape, fan_in))
        return step + np.log(-np.expm1(-step))


class Ring(Uniform):
    """b with e^(−softplus(b)) = a, a² from U(low², high²): decays as evenly spread as points between two circles.

    The linear recurrent unit's law (https://arxiv.org/abs/2303.06349), which RecurrentGemma draws Λ from.
    """

    def check(self) -> None:
        super().check()
        self.require(self.low > 0, "low", "must be > 0")
        self.require(self.high < 1, "high", "must be < 1")

    def draw(self, seed: int, path: str, shape: Sequence[int], fan_in: int) -> np.ndarray:
        squares = Uniform(low=self.low**2, high=self.high**2).draw(seed, path, shape, fan_in)
        return np.log(1.0 / np.sqrt(squares) - 1.0)
