"""How a model knows where a token stands: tables added to the embedding, rotations, biases.

Phases are computed in float32 at least (bfloat16 cannot hold integers above 256), from
integer positions, so that position 100,000 is as exact as position 1.
"""

import math
from typing import Any, Literal

import numpy as np

from archlab.config import Config
from archlab.inits import Init
from archlab.ops import statistics_dtype, upcast
from archlab.spec import Cost, Example, Map, Param, Spec

# --- tables added to the embedding ----------------------------------------------------------------


class PositionTable(Map):
    """A map (x, ctx) → x + p(position)."""

    abstract = True

    def limit(self) -> int | None:
        """The number of positions it knows; None for any number."""
        return None

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.model import tiny_model

        return [Example(spec=tiny_model(positions=spec), length=12) for spec in cls.variants()]

    @classmethod
    def variants(cls) -> list["PositionTable"]:
        return []


class LearnedPositions(PositionTable):
    """y = x + P[position], P of shape (P, D) learned (GPT-2, BERT)."""

    length: int
    init: Init

    def check(self) -> None:
        self.require(self.length > 0, "length", "must be > 0")

    def limit(self) -> int | None:
        return self.length

    def params(self, width: int) -> dict[str, Param]:
        return {"table": Param(shape=(self.length, width), axes="P D", init=self.init, fan_in=width)}

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return x + ctx.xp.astype(m.table[ctx.positions], x.dtype)

    def cost(self, width: int, length: int) -> Cost:
        return Cost()

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def variants(cls) -> list[PositionTable]:
        from archlab.inits import Normal

        return [cls(length=5000, init=Normal(std=0.02))]


class SinusoidalPositions(PositionTable):
    """y = x + p, p_2i = sin(t / base^(2i/D)), p_2i+1 = cos(t / base^(2i/D))  (https://arxiv.org/abs/1706.03762).

    ``layout`` "interleaved" is the paper's; "half" puts all sines before all cosines (tensor2tensor, fairseq).
    """

    base: float = 10000.0
    layout: Literal["interleaved", "half"]

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        xp, width = ctx.xp, x.shape[-1]
        rates = self.base ** -(np.arange(0, width, 2) / width)
        phase = angles(ctx, ctx.positions, rates, x)
        table = [xp.sin(phase), xp.cos(phase)]
        if self.layout == "half":
            table = xp.concat(table, axis=-1)
        else:
            table = xp.reshape(xp.stack(table, axis=-1), (*phase.shape[:-1], 2 * phase.shape[-1]))
        return x + xp.astype(table[..., :width], x.dtype)

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def variants(cls) -> list[PositionTable]:
        return [cls(layout="interleaved"), cls(layout="half", base=500.0)]


def angles(ctx: Any, positions: Any, rates: np.ndarray, like: Any) -> Any:
    """positions (...) × rates (R) → phases (..., R), in float32, or float64 where ``like`` is."""
    dtype = statistics_dtype(ctx.xp, like)
    return ctx.xp.astype(positions, dtype)[..., None] * ctx.constant(rates, dtype)


# --- rotations of queries and keys ------------------------------------------------------------------


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
        return (theta * self.factor**exponent) ** (-np.arange(pairs) / pairs)


class YarnScaling(RopeScaling):
    """YaRN (https://arxiv.org/abs/2309.00071): pairs that turn often keep their pace, slow ones are interpolated.

    A pair that makes more than ``beta_fast`` turns in ``original_length`` positions is kept; with fewer than
    ``beta_slow`` turns it is divided by ``factor``; between, the two are blended along the pair's index.
    Rotated vectors are multiplied by ``attention_factor``, by default 0.1 ln(factor) + 1.
    """

    factor: float
    original_length: int
    beta_fast: float = 32.0
    beta_slow: float = 1.0
    attention_factor: float | None = None

    def check(self) -> None:
        self.require(self.factor >= 1, "factor", "must be ≥ 1")
        self.require(self.original_length > 0, "original_length", "must be > 0")
        self.require(self.beta_fast > self.beta_slow, "beta_fast", f"must exceed beta_slow = {self.beta_slow}")

    def rates(self, rates: np.ndarray, theta: float) -> np.ndarray:
        pairs = len(rates)

        def pair_with(turns: float) -> float:
            return pairs * math.log(self.original_length / (turns * 2 * math.pi)) / math.log(theta)

        low = max(math.floor(pair_with(self.beta_fast)), 0)
        high = min(math.ceil(pair_with(self.beta_slow)), 2 * pairs - 1)
        blend = np.clip((np.arange(pairs) - low) / max(high - low, 0.001), 0, 1)
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


class Rotary(Map):
    """A map that turns the heads of queries or keys, (B, T, H, K) → (B, T, H, K), by their positions."""

    abstract = True


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

    def rates(self, width: int) -> np.ndarray:
        """Radians a position for every pair, (R/2,) float64."""
        size = self.rotated(width)
        rates = self.theta ** -(np.arange(0, size, 2) / size)
        return rates if self.scaling is None else self.scaling.rates(rates, self.theta)

    def magnitude(self) -> float:
        return 1.0 if self.scaling is None else self.scaling.magnitude()

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        xp, size = ctx.xp, self.rotated(x.shape[-1])
        phase = angles(ctx, ctx.positions, self.rates(x.shape[-1]), x)[:, :, None, :]
        cos, sin = xp.cos(phase) * self.magnitude(), xp.sin(phase) * self.magnitude()
        wide = upcast(xp, x[..., :size])
        a, b = self._pairs(wide)
        turned = self._join(xp, a * cos - b * sin, b * cos + a * sin)
        return xp.concat([xp.astype(turned, x.dtype), x[..., size:]], axis=-1)

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

        yarn = YarnScaling(factor=4.0, original_length=64, beta_fast=8.0)
        llama3 = Llama3Scaling(factor=8.0, low_factor=1.0, high_factor=4.0, original_length=64)
        return [
            attention_example(rotary=cls(theta=10000.0, layout="half"), length=520),
            attention_example(rotary=cls(theta=500.0, layout="interleaved", fraction=0.5)),
            attention_example(rotary=cls(theta=10000.0, layout="half", scaling=LinearScaling(factor=2.0))),
            attention_example(rotary=cls(theta=10000.0, layout="interleaved", scaling=NTKScaling(factor=4.0))),
            attention_example(rotary=cls(theta=10000.0, layout="half", scaling=yarn)),
            attention_example(rotary=cls(theta=10000.0, layout="half", scaling=llama3)),
        ]


# --- biases of attention scores -----------------------------------------------------------------------


class PositionBias(Spec):
    """A part that maps (heads, ctx, key positions (B, S)) to a bias (B, H, T, S) of the scores."""

    abstract = True

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.mixers.attention import attention_example

        return [attention_example(score_bias=spec) for spec in cls.variants()]

    @classmethod
    def variants(cls) -> list["PositionBias"]:
        return []


class ALiBi(PositionBias):
    """bias_h = −slope_h · |t − s|, slope_h = 2^(−slope_range · h/H) for h = 1 … H  (https://arxiv.org/abs/2108.12409).

    For a number of heads that is no power of two the slopes are those of the next lower power, then every
    second one of the next higher, as in the authors' code. The paper's ``slope_range`` is 8.
    """

    slope_range: float = 8.0

    def slopes(self, heads: int) -> np.ndarray:
        """(H,) float64."""
        low = 2 ** int(math.log2(heads))
        slopes = 2.0 ** (-self.slope_range * np.arange(1, low + 1) / low)
        extra = 2.0 ** (-self.slope_range * np.arange(1, 2 * low + 1, 2) / (2 * low))
        return np.concatenate([slopes, extra[: heads - low]])

    def forward(self, m: Any, heads: int, ctx: Any, key_positions: Any, like: Any) -> Any:
        distance = ctx.xp.abs(ctx.positions[:, :, None] - key_positions[:, None, :])
        return -ctx.xp.permute_dims(angles(ctx, distance, self.slopes(heads), like), (0, 3, 1, 2))

    @classmethod
    def variants(cls) -> list[PositionBias]:
        return [cls(), cls(slope_range=4.0)]


class RelativeBias(PositionBias):
    """T5's learned bias of bucketed distances (https://arxiv.org/abs/1910.10683): bias = E[bucket(s − t), h].

    Half of the ``buckets`` (of each direction's share, where ``bidirectional``) hold one distance each; the
    others grow logarithmically up to ``max_distance``, beyond which all distances share the last one.
    """

    heads: int
    buckets: int
    max_distance: int
    bidirectional: bool
    init: Init

    def check(self) -> None:
        self.require(self.heads > 0, "heads", "must be > 0")
        self.require(self.buckets >= 4 and self.buckets % 2 == 0, "buckets", "must be even and ≥ 4")
        exact = self.buckets // (4 if self.bidirectional else 2)
        self.require(self.max_distance > exact, "max_distance", f"must exceed the {exact} exact buckets")

    def params(self, width: int) -> dict[str, Param]:
        return {"table": Param(shape=(self.buckets, self.heads), axes="J H", init=self.init, fan_in=1)}

    def cost(self, width: int, length: int) -> Cost:
        return Cost()

    def bucket(self, xp: Any, offset: Any) -> Any:
        """The bucket of s − t, integers of any shape."""
        buckets = self.buckets // 2 if self.bidirectional else self.buckets
        side = xp.where(offset > 0, buckets, 0) if self.bidirectional else 0 * offset
        distance = xp.abs(offset) if self.bidirectional else xp.where(offset > 0, 0, -offset)
        edges = self._edges(buckets)
        far = sum((xp.astype(distance >= int(edge), offset.dtype) for edge in edges), start=0 * offset)
        exact = buckets // 2
        return side + xp.where(distance < exact, distance, exact - 1 + far)

    def _edges(self, buckets: int) -> np.ndarray:
        """The least distance of each logarithmic bucket, computed once and exactly on the host."""
        exact = buckets // 2
        distance = np.arange(exact, self.max_distance + 1)
        ratio = np.log((distance / exact).astype(np.float32)) / np.float32(math.log(self.max_distance / exact))
        index = np.minimum((ratio * np.float32(buckets - exact)).astype(np.int64), buckets - exact - 1)
        return np.array([distance[index >= i][0] for i in range(buckets - exact) if (index >= i).any()])

    def forward(self, m: Any, heads: int, ctx: Any, key_positions: Any, like: Any) -> Any:
        offset = key_positions[:, None, :] - ctx.positions[:, :, None]
        bias = upcast(ctx.xp, m.table)[self.bucket(ctx.xp, offset)]
        return ctx.xp.permute_dims(ctx.xp.astype(bias, like.dtype), (0, 3, 1, 2))

    @classmethod
    def variants(cls) -> list[PositionBias]:
        from archlab.inits import Normal

        shape = {"heads": 4, "init": Normal(std=1.0)}
        return [
            cls(buckets=8, max_distance=20, bidirectional=False, **shape),
            cls(buckets=12, max_distance=9, bidirectional=True, **shape),
        ]
