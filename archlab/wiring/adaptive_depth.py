"""One layer, run as often as each token needs."""

from typing import Any

from archlab.inits import Constant, FanInNormal, Init
from archlab.ops import sigmoid, upcast
from archlab.spec import Cost, Example, Layer, Param, Parts, substate, updated


class AdaptiveDepth(Layer):
    """A layer run up to ``steps`` times; each token halts by itself (https://arxiv.org/abs/1603.08983, in the form of
    the universal transformer, https://arxiv.org/abs/1807.03819).

    p_n = σ(x_n · w + b), x_{n+1} = layer(x_n). A token halts at the first step at which Σ p > ``threshold``, or at the
    last. y = Σ_n a_n x_{n+1}, a_n = p_n and, where it halts, what is left to 1; then its x stays as it is.

    ``ponder`` times the mean over real tokens of (steps taken + what was left) is an auxiliary loss "ponder".

    halt_bias
        The law of b: the lower it starts, the longer tokens go on.
    """

    layer: Layer
    steps: int
    threshold: float
    ponder: float
    halt_bias: Init = Constant(value=1.0)
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.steps > 0, "steps", "must be > 0")
        self.require(0 < self.threshold <= 1, "threshold", "must lie in (0, 1]")
        self.require(self.ponder >= 0, "ponder", "must be ≥ 0")

    def params(self, width: int) -> dict[str, Param]:
        return {
            "halt": Param(shape=(width,), axes="D", init=self.init, fan_in=width),
            "halt_bias": Param(shape=(1,), axes="D", init=self.halt_bias),
        }

    def parts(self, width: int) -> Parts:
        return {"layer": self.layer.at(width)}

    def repeats(self) -> dict[str, int]:
        return {"layer": self.steps}

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        xp, states = ctx.xp, []
        y = xp.zeros_like(upcast(xp, x))
        spent = taken = left = y[..., 0]
        running = spent == 0
        for n in range(self.steps):
            wide = upcast(xp, x)
            score = xp.sum(wide * xp.astype(m.halt, wide.dtype), axis=-1) + xp.astype(m.halt_bias, wide.dtype)
            p = sigmoid(xp, score)
            halts = running & ((spent + p > self.threshold) | (n + 1 == self.steps))
            rest = 1.0 - spent
            share = xp.where(running, xp.where(halts, rest, p), xp.zeros_like(p))
            out, new = m.layer(x, ctx, substate(substate(state, "layer"), n))
            y = y + share[..., None] * upcast(xp, out)
            x = xp.where(running[..., None], out, x)
            taken, left = taken + xp.astype(running, p.dtype), xp.where(halts, rest, left)
            spent, running = spent + share, running & ~halts
            states.append(new)
        ctx.add_loss("ponder", self.ponder * ctx.mean(taken + left))
        return xp.astype(y, x.dtype), updated(state, layer=states)

    def cost(self, width: int, length: int) -> Cost:
        return Cost(weights=2.0 * width * self.steps)

    def saved(self, width: int, length: int) -> float:
        return 2.0 * width * self.steps

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.block import residual_example
        from archlab.residuals import PreNorm

        layer: Any = residual_example(PreNorm).spec
        coupled = (("padding", "the auxiliary loss is a mean over all tokens of the batch"),)
        base = cls(layer=layer, steps=3, threshold=0.99, ponder=0.0)
        return [Example(spec=base), Example(spec=base.replace(steps=2, ponder=0.1), waive=coupled)]
