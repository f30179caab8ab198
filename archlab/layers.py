"""The small parts everything is made of: linear map, embedding, dropout, drop path."""

import math
from collections.abc import Sequence
from typing import Any, Literal

from archlab.inits import FanInNormal, Init, Zeros
from archlab.spec import Cost, Example, Map, Param, Part, walk


class Linear(Map):
    """y = x W (+ b), W of shape (in, out) with the axes ``axes``, for example ``"D F"``."""

    features: int
    axes: str
    bias: bool
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.features > 0, "features", "must be > 0")

    def params(self, width: int) -> dict[str, Param]:
        kernel = Param(shape=(width, self.features), axes=self.axes, init=self.init, fan_in=width)
        if not self.bias:
            return {"kernel": kernel}
        return {"kernel": kernel, "bias": Param(shape=(self.features,), axes=self.axes.split()[1], init=Zeros())}

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        y = x @ ctx.xp.astype(m.kernel, x.dtype)
        return y + ctx.xp.astype(m.bias, x.dtype) if self.bias else y

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(spec=cls(features=24, axes="D F", bias=True)),
            Example(spec=cls(features=24, axes="D F", bias=False)),
        ]


class Embedding(Map):
    """y = E[token], E of shape (V, D)."""

    vocab: int
    init: Init

    def check(self) -> None:
        self.require(self.vocab > 0, "vocab", "must be > 0")

    def params(self, width: int) -> dict[str, Param]:
        return {"table": Param(shape=(self.vocab, width), axes="V D", init=self.init, fan_in=width)}

    def forward(self, m: Any, tokens: Any, ctx: Any) -> Any:
        return ctx.xp.astype(m.table[tokens], ctx.dtype)

    def cost(self, width: int, length: int) -> Cost:
        return Cost()

    def saved(self, width: int, length: int) -> float:
        return 1.0

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.model import LanguageModel

        return LanguageModel.examples()[:1]


class Dropout(Map):
    """y = x · keep / (1 − rate), keep ~ Bernoulli(1 − rate) for each element; the identity in evaluation."""

    rate: float

    def check(self) -> None:
        self.require(0 <= self.rate < 1, "rate", "must lie in [0, 1)")

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        if ctx.random is None:
            return x
        keep = ctx.random.keep(m.path, x.shape, 1.0 - self.rate)
        return ctx.xp.where(keep, x / (1.0 - self.rate), ctx.xp.zeros_like(x))

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=cls(rate=0.5))]


class DropPath(Map):
    """y = x · keep / (1 − rate), one keep for each sequence (stochastic depth, https://arxiv.org/abs/1603.09382).

    ``by_depth`` "linear" lets the rate grow from 0 at the first layer to ``rate`` at the last; "constant"
    uses it in every layer.
    """

    rate: float
    by_depth: Literal["constant", "linear"] = "constant"

    def check(self) -> None:
        self.require(0 <= self.rate < 1, "rate", "must lie in [0, 1)")

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        if ctx.random is None:
            return x
        kept = ctx.of_depth(self.kept)
        keep = ctx.random.keep(m.path, (x.shape[0],) + (1,) * (x.ndim - 1), kept)
        return ctx.xp.where(keep, ctx.xp.astype(x / kept, x.dtype), ctx.xp.zeros_like(x))

    def kept(self, depth: float) -> float:
        """1 − the rate at a depth from 0 to 1."""
        return 1.0 - self.rate * (depth if self.by_depth == "linear" else 1.0)

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=cls(rate=0.5)), Example(spec=cls(rate=0.5, by_depth="linear"))]


def is_random(part: Part) -> bool:
    """Whether a tree draws masks in training."""
    return any(isinstance(inner.spec, (Dropout, DropPath)) for _, inner in walk(part))


def side_by_side(x: Any, linears: Sequence[Any]) -> bool:
    """Whether one product of x (..., D) with the kernels of ``linears`` laid side by side moves less than one for each.

    Laying them so writes and reads every column once more, and spares reading x again for each map after the first.
    """
    rows, features = math.prod(x.shape[:-1]), [linear.spec.features for linear in linears]
    return (len(features) - 1) * rows > 2 * sum(features)
