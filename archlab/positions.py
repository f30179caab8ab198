"""Tables of positions, added to the embedding."""

from typing import Any, Literal

import numpy as np

from archlab.inits import Init
from archlab.ops import angles
from archlab.spec import Cost, Example, Map, Param


class PositionTable(Map):
    """A map (x, ctx) → x + p(position)."""

    abstract = True

    def limit(self) -> int | None:
        """The number of positions it knows; None for any number."""
        return None

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.model import tiny_model

        return [Example(spec=tiny_model(positions=spec, repeat=1), length=12) for spec in cls.variants()]

    @classmethod
    def variants(cls) -> list["PositionTable"]:
        return []


class LearnedPositions(PositionTable):
    """y = x + P[position + offset], P of shape (length + offset, D) learned (GPT-2, BERT).

    offset
        How many rows before the first position's are kept, unused: fairseq's models number positions from their
        padding's index + 1 = 2 (OPT, BART, RoBERTa, https://arxiv.org/abs/2205.01068).
    """

    length: int
    offset: int = 0
    init: Init

    def check(self) -> None:
        self.require(self.length > 0, "length", "must be > 0")
        self.require(self.offset >= 0, "offset", "must be ≥ 0")

    def limit(self) -> int | None:
        return self.length

    def params(self, width: int) -> dict[str, Param]:
        return {"table": Param(shape=(self.offset + self.length, width), axes="P D", init=self.init, fan_in=width)}

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return x + ctx.xp.astype(m.table[ctx.positions + self.offset], x.dtype)

    def cost(self, width: int, length: int) -> Cost:
        return Cost()

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def variants(cls) -> list[PositionTable]:
        from archlab.inits import Normal

        return [cls(length=5000, init=Normal(std=0.02)), cls(length=5000, offset=2, init=Normal(std=1.0))]


class SinusoidalPositions(PositionTable):
    """y = x + p, p_2i = sin(t / base^(2i/D)), p_2i+1 = cos(t / base^(2i/D))  (https://arxiv.org/abs/1706.03762).

    ``layout`` "interleaved" is the paper's; "half" puts all sines before all cosines (tensor2tensor, fairseq).
    """

    base: float = 10000.0
    layout: Literal["interleaved", "half"]

    def check(self) -> None:
        self.require(self.base > 1, "base", "must be > 1")

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        xp, width = ctx.xp, x.shape[-1]
        rates = self.base ** -(np.arange(0, width, 2, dtype=np.float64) / width)
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
