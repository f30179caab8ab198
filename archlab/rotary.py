"""Rotations of queries and keys by position.

Phases are computed in float32 at least (bfloat16 cannot hold integers above 256), from
integer positions.
"""

import math
from typing import Any, Literal

import numpy as np

from archlab.config import Config, FieldError
from archlab.ops import angles, statistics_dtype, upcast
from archlab.spec import Example, Map, Parts


class RopeScaling(Config):
    """How the frequencies of :class:`RoPE` are changed for longer contexts."""

    tagged = True
    abstract = True

    def rates(self, rates: np.ndarray, theta: float) -> np.ndarray:
        """The changed radians a position, (K/2,) float64."""
        raise NotImplementedError

    def magnitude(self) -> float:
        """What the rotated vectors are multiplied with."""
        return 1.0

    def fit(self, pairs: int) -> None:
        """Raise with :meth:`fail` if it cannot change the rates of ``pairs`` pairs."""


class LinearScaling(RopeScaling):
    """Positions divided by ``factor`` (https://arxiv.org/abs/2306.15595)."""

    factor: float

    def check(self) -> None:
        self.require(self.factor >= 1, "factor", "must be ≥ 1")

    def rates(self, rates: np.ndarray, theta: float) -> np.ndarray:
        return rates / self.factor


class NTKScaling(RopeScaling):
    """theta' = theta · factor^(K/(K−2)): the slowest pair slows by ``factor``, the fastest keeps its pace."""

    factor: float

    def check(self) -> None:
        self.require(self.factor >= 1, "factor", "must be ≥ 1")

    def rates(self, rates: np.ndarray, theta: float) -> np.ndarray:
        pairs = len(rates)
        exponent = pairs / max(pairs - 1, 1)
        return (theta * self.factor**exponent) ** (-np.arange(pairs, dtype=np.float64) / pairs)


class YarnScaling(RopeScaling):
    """YaRN (https://arxiv.org/abs/2309.00071): pairs that turn often keep their pace, slow ones are interpolated.

    A pair that makes more than ``beta_fast`` turns in ``original_length`` positions is kept; with fewer than
    ``beta_slow`` turns it is divided by ``factor``; between, the two are blended along the pair's index.
    Rotated vectors are multiplied by ``attention_factor``, by default 0.1 ln(factor) + 1. ``ends`` says whether the
    blend begins and ends at a whole pair or exactly where the turns are as many (gpt-oss).
    """

    factor: float
    original_length: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None
    ends: Literal["whole", "exact"] = "whole"

    def check(self) -> None:
        self.require(self.factor >= 1, "factor", "must be ≥ 1")
        self.require(self.original_length > 0, "original_length", "must be > 0")
        self.require(self.beta_slow > 0, "beta_slow", "must be > 0")
        self.require(self.beta_fast > self.beta_slow, "beta_fast", f"must exceed beta_slow = {self.beta_slow}")

    def rates(self, rates: np.ndarray, theta: float) -> np.ndarray:
        pairs = len(rates)

        def pair_with(turns: float) -> float:
            return pairs * math.log(self.original_length / (turns * 2 * math.pi)) / math.log(theta)

        first, last = pair_with(self.beta_fast), pair_with(self.beta_slow)
        if self.ends == "whole":
            first, last = math.floor(first), math.ceil(last)
        low, high = max(first, 0), min(last, 2 * pairs - 1)
        blend = np.clip((np.arange(pairs, dtype=np.float64) - low) / max(high - low, 0.001), 0, 1)
        return rates * (1 - blend) + rates / self.factor * blend

    def magnitude(self) -> float:
        return 0.1 * math.log(self.factor) + 1.0 if self.attention_factor is None else self.attention_factor


class Llama3Scaling(RopeScaling):
    """Llama 3.1's: wavelengths above original_length/low_factor are divided by ``factor``, those below
    original_length/high_factor are kept, and between them the rate is blended linearly in 1/wavelength.
    """

    factor: float
    low_factor: float
    high_factor: float
    original_length: int

    def check(self) -> None:
        self.require(self.factor >= 1, "factor", "must be ≥ 1")
        self.require(self.original_length > 0, "original_length", "must be > 0")
        self.require(self.high_factor > self.low_factor, "high_factor", f"must exceed low_factor = {self.low_factor}")

    def rates(self, rates: np.ndarray, theta: float) -> np.ndarray:
        turns = self.original_length * rates / (2 * math.pi)
        blend = np.clip((turns - self.low_factor) / (self.high_factor - self.low_factor), 0, 1)
        return (1 - blend) * rates / self.factor + blend * rates


class LengthScaling(RopeScaling):
    """A change of the frequencies that depends on how long a token's document is, as far as it is known.

    Its length is its latest position + 1. In decoding, that is the latest of the new tokens: earlier keys stay as they
    were turned when they came, and the outputs of a document that grows are not those of one pass over it.
    """

    abstract = True

    def rates(self, rates: np.ndarray, theta: float) -> np.ndarray:
        """What :meth:`at` starts from: by default as they are."""
        return rates

    def at(self, ctx: Any, rates: Any, lengths: Any) -> Any:
        """The changed radians a position, (B, T or 1, R/2), in documents of ``lengths`` (B, T or 1)."""
        raise NotImplementedError


def document_lengths(ctx: Any) -> Any:
    """(B, T), or (B, 1) where a row is one document: the latest position of each token's document, plus 1."""
    xp = ctx.xp
    if ctx.segments is None:
        return xp.max(ctx.positions, axis=1, keepdims=True) + 1
    same = ctx.segments[:, :, None] == ctx.segments[:, None, :]
    positions = ctx.positions[:, None, :]
    return xp.max(xp.where(same, positions, xp.zeros_like(positions)), axis=2) + 1


class DynamicNTKScaling(LengthScaling):
    """Dynamic NTK: theta grows with the length L, once it exceeds ``original_length`` L₀, so that pair i slows by
    s^(2i/(R−2)), s = 1 + factor · (L/L₀ − 1): the slowest by s, the fastest not at all.

    As transformers has it (rope_type "dynamic"), after
    https://www.reddit.com/r/LocalLLaMA/comments/14mrgpr/dynamically_scaled_rope_further_increases/.
    """

    factor: float
    original_length: int

    def check(self) -> None:
        self.require(self.factor >= 1, "factor", "must be ≥ 1")
        self.require(self.original_length > 0, "original_length", "must be > 0")

    def fit(self, pairs: int) -> None:
        self.require(pairs > 1, "factor", "changes nothing where a single pair turns, the fastest")

    def at(self, ctx: Any, rates: Any, lengths: Any) -> Any:
        xp, pairs = ctx.xp, rates.shape[-1]
        over = xp.astype(xp.maximum(lengths - self.original_length, xp.zeros_like(lengths)), rates.dtype)
        stretch = over * (self.factor / self.original_length) + 1.0
        share = ctx.constant(np.arange(pairs, dtype=np.float64) / (pairs - 1), rates.dtype)
        return rates * xp.exp(-xp.log(stretch)[:, :, None] * share)


class LongRopeScaling(LengthScaling):
    """LongRoPE (https://arxiv.org/abs/2402.13753): pair i slows by ``short[i]`` in documents of ``original_length`` at
    most, and by ``long[i]`` in longer ones. Rotated vectors are multiplied by ``attention_factor`` in both (Phi-3).
    """

    short: tuple[float, ...]
    long: tuple[float, ...]
    original_length: int
    attention_factor: float

    def check(self) -> None:
        self.require(all(factor > 0 for factor in self.short), "short", "must hold numbers > 0")
        self.require(all(factor > 0 for factor in self.long), "long", "must hold numbers > 0")
        self.require(self.original_length > 0, "original_length", "must be > 0")

    def fit(self, pairs: int) -> None:
        for name in ("short", "long"):
            self.require(len(getattr(self, name)) == pairs, name, f"must hold {pairs} numbers, one for each pair")

    def at(self, ctx: Any, rates: Any, lengths: Any) -> Any:
        short, long = (ctx.constant(1.0 / np.asarray(factors), rates.dtype) for factors in (self.short, self.long))
        return rates * ctx.xp.where((lengths > self.original_length)[:, :, None], long, short)

    def magnitude(self) -> float:
        return self.attention_factor


class Rotary(Map):
    """A map that turns the heads of queries or keys, (B, T, H, K) → (B, T, H, K), by their positions."""

    abstract = True

    def saved(self, width: int, length: int) -> float:
        return 0.0


class RoPE(Rotary):
    """Rotary position embedding (https://arxiv.org/abs/2104.09864): pair i turns by t · theta^(−2i/R).

    theta
        The base of the frequencies.
    fraction
        The share of the head that is rotated, R = K · fraction rounded down to even; the rest passes.
    layout
        "half" pairs i with i + R/2 (Llama, GPT-NeoX); "interleaved" pairs 2i with 2i + 1 (the paper, GPT-J).
    scaling
        A change of the frequencies for longer contexts.
    """

    theta: float
    layout: Literal["half", "interleaved"]
    fraction: float = 1.0
    scaling: RopeScaling | None = None

    def check(self) -> None:
        self.require(self.theta > 1, "theta", "must be > 1")
        self.require(0 < self.fraction <= 1, "fraction", "must lie in (0, 1]")

    def rotated(self, width: int) -> int:
        """How many of a head's ``width`` entries turn."""
        return int(width * self.fraction) // 2 * 2

    def parts(self, width: int) -> Parts:
        self.require(self.rotated(width) > 0, "fraction", f"rotates nothing of a head of size {width}; raise it")
        if self.scaling is not None:
            try:
                self.scaling.fit(self.rotated(width) // 2)
            except FieldError as error:
                raise error.inside("scaling") from None
        return {}

    def rates(self, width: int) -> np.ndarray:
        """Radians a position for every pair, (R/2,) float64."""
        size = self.rotated(width)
        rates = self.theta ** -(np.arange(0, size, 2, dtype=np.float64) / size)
        return rates if self.scaling is None else self.scaling.rates(rates, self.theta)

    def magnitude(self) -> float:
        return 1.0 if self.scaling is None else self.scaling.magnitude()

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        xp, size = ctx.xp, self.rotated(x.shape[-1])
        phase = self.phases(x, ctx)[:, :, None, :]
        cos, sin = xp.cos(phase) * self.magnitude(), xp.sin(phase) * self.magnitude()
        wide = upcast(xp, x[..., :size])
        a, b = self._pairs(wide)
        turned = self._join(xp, a * cos - b * sin, b * cos + a * sin)
        return xp.concat([xp.astype(turned, x.dtype), x[..., size:]], axis=-1)

    def phases(self, x: Any, ctx: Any) -> Any:
        """(B, T, R/2): how far the pairs of x (B, T, H, K) turn."""
        rates = self.rates(x.shape[-1])
        if not isinstance(self.scaling, LengthScaling):
            return angles(ctx, ctx.positions, rates, x)
        dtype = statistics_dtype(ctx.xp, x)
        rates = self.scaling.at(ctx, ctx.constant(rates, dtype), document_lengths(ctx))
        return ctx.xp.astype(ctx.positions, dtype)[..., None] * rates

    def _pairs(self, x: Any) -> tuple[Any, Any]:
        if self.layout == "half":
            half = x.shape[-1] // 2
            return x[..., :half], x[..., half:]
        return x[..., 0::2], x[..., 1::2]

    def _join(self, xp: Any, a: Any, b: Any) -> Any:
        if self.layout == "half":
            return xp.concat([a, b], axis=-1)
        return xp.reshape(xp.stack([a, b], axis=-1), (*a.shape[:-1], 2 * a.shape[-1]))

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.mixers.attention import attention_example

        yarn = YarnScaling(factor=4.0, original_length=1024, beta_fast=8.0)
        llama3 = Llama3Scaling(factor=8.0, low_factor=1.0, high_factor=4.0, original_length=64)
        dynamic = DynamicNTKScaling(factor=2.0, original_length=8)
        long = LongRopeScaling(short=(1.0, 1.5), long=(2.0, 5.0), original_length=8, attention_factor=1.2)
        grows = (("decode", "earlier keys were turned at the rates of a shorter document"),)
        return [
            attention_example(rotary=cls(theta=10000.0, layout="half"), length=520),
            attention_example(rotary=cls(theta=500.0, layout="interleaved", fraction=0.5)),
            attention_example(rotary=cls(theta=10000.0, layout="half", scaling=LinearScaling(factor=2.0))),
            attention_example(rotary=cls(theta=10000.0, layout="interleaved", scaling=NTKScaling(factor=4.0))),
            attention_example(rotary=cls(theta=10000.0, layout="half", scaling=yarn), head_size=16),
            attention_example(rotary=cls(theta=10000.0, layout="half", scaling=llama3), head_size=16),
            attention_example(
                rotary=cls(theta=10000.0, layout="half", scaling=dynamic), head_size=8, length=24, waive=grows
            ),
            attention_example(rotary=cls(theta=100.0, layout="interleaved", scaling=long), length=24, waive=grows),
        ]
