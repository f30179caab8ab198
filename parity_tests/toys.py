"""Blocks as a user writes them: one file outside the packages, no edit anywhere else."""

from typing import Any

from archlab.activations import Tanh
from archlab.inits import Normal, Zeros
from archlab.layers import Linear
from archlab.spec import Channel, Cost, Example, Mixer, Param, Parts, State, updated


class DecayingMean(Mixer):
    """h_t = σ(decay) ⊙ h_{t−1} + x_t within a document, y = h W: a recurrence with a state."""

    bias: bool

    def params(self, width: int) -> dict[str, Param]:
        return {"decay": Param(shape=(width,), axes="D", init=Zeros())}

    def parts(self, width: int) -> Parts:
        return {"out": Linear(features=width, axes="D D", bias=self.bias, init=Normal(std=0.1)).at(width)}

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        return {
            "hidden": State(shape=(batch, width), axes="B D"),
            "segment": State(shape=(batch,), axes="B", dtype="int"),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        xp = ctx.xp
        segments = xp.ones_like(ctx.positions) if ctx.segments is None else ctx.segments
        hidden, last = xp.zeros_like(x[:, 0]), xp.zeros_like(segments[:, 0])
        if state is not None:
            hidden, last = state["hidden"], xp.astype(state["segment"], segments.dtype)
        same = segments == xp.concat([last[:, None], segments[:, :-1]], axis=1)
        decay = 1.0 / (1.0 + xp.exp(-xp.astype(m.decay, x.dtype)))

        def step(hidden: Any, inputs: tuple[Any, Any]) -> tuple[Any, Any]:
            x, same = inputs
            hidden = xp.where(same[:, None], decay * hidden, xp.zeros_like(hidden)) + x
            return hidden, hidden

        hidden, all_hidden = ctx.scan(step, hidden, (x, same))
        return m.out(all_hidden, ctx), updated(state, hidden=hidden, segment=segments[:, -1])

    def cost(self, width: int, length: int) -> Cost:
        return Cost(visible=2.0 * width, executed=2.0 * width)

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=cls(bias=True)), Example(spec=cls(bias=False), width=8, length=17)]


class GatedTanh(Channel):
    """y = (x W) ⊙ tanh(x V) U: a channel mixer made of parts."""

    hidden: int

    def parts(self, width: int) -> Parts:
        return {
            "up": Linear(features=self.hidden, axes="D F", bias=False).at(width),
            "gate": Linear(features=self.hidden, axes="D F", bias=True).at(width),
            "activation": Tanh().at(self.hidden),
            "down": Linear(features=width, axes="F D", bias=False).at(self.hidden),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return m.down(m.up(x, ctx) * m.activation(m.gate(x, ctx), ctx), ctx), state

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=cls(hidden=12))]


class Penalised(Channel):
    """y = x W with the auxiliary loss ``weight`` · mean(y²)."""

    weight: float

    def parts(self, width: int) -> Parts:
        return {"map": Linear(features=width, axes="D D", bias=False).at(width)}

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        y = m.map(x, ctx)
        ctx.add_loss("penalty", self.weight * ctx.xp.mean(y * y))
        return y, state

    @classmethod
    def examples(cls) -> list[Example]:
        coupled = (("padding", "the auxiliary loss is a mean over all positions of the batch"),)
        return [Example(spec=cls(weight=0.5), waive=coupled)]
