"""Elementwise functions. Each says exactly which function it is: there is no bare ``GELU``."""

import math
from typing import Any

from archlab.config import FieldError
from archlab.ops import sigmoid
from archlab.spec import Example, Map


class Activation(Map):
    """An elementwise map, usable wherever a field asks for an activation."""

    abstract = True

    def saved(self, width: int, length: int) -> float:
        return float(width)

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.channels.mlp import MLP

        return [Example(spec=MLP(hidden=12, activation=cls(), bias=True), width=8)]


class ReLU(Activation):
    """max(x, 0)."""

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return ctx.xp.where(x > 0, x, ctx.xp.zeros_like(x))


class SquaredReLU(Activation):
    """max(x, 0)² (Primer, https://arxiv.org/abs/2109.08668)."""

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return ctx.xp.where(x > 0, x * x, ctx.xp.zeros_like(x))


class GELUErf(Activation):
    """x Φ(x), Φ the normal distribution function (https://arxiv.org/abs/1606.08415). PyTorch's default."""

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return 0.5 * x * (1.0 + ctx.erf(x / math.sqrt(2.0)))


class GELUTanh(Activation):
    """x/2 (1 + tanh(√(2/π) (x + 0.044715 x³))), an approximation of x Φ(x). JAX's default."""

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return 0.5 * x * (1.0 + ctx.xp.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * x * x * x)))


class GELUSigmoid(Activation):
    """x σ(c x), c = ``slope``: 1.702 in the approximation of x Φ(x) that CLIP and gpt-oss use."""

    slope: float = 1.702

    def check(self) -> None:
        if not self.slope > 0:
            raise FieldError("slope", f"{self.slope} must be > 0")

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return x / (1.0 + ctx.xp.exp(-self.slope * x))


class SiLU(Activation):
    """x σ(x), also called swish."""

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return x / (1.0 + ctx.xp.exp(-x))


class Sigmoid(Activation):
    """1 / (1 + e^-x)."""

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return sigmoid(ctx.xp, x)


class Tanh(Activation):
    """tanh(x)."""

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return ctx.xp.tanh(x)


class Identity(Activation):
    """x. In a GLU it gives the bilinear layer of https://arxiv.org/abs/2002.05202."""

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return x

    def saved(self, width: int, length: int) -> float:
        return 0.0


class LeakyReLU(Activation):
    """x where x > 0, else ``slope`` · x."""

    slope: float = 0.01

    def check(self) -> None:
        if not 0 <= self.slope < 1:
            raise FieldError("slope", f"{self.slope} must lie in [0, 1)")

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        return ctx.xp.where(x > 0, x, self.slope * x)
