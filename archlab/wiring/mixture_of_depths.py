"""A layer that only some tokens go through."""

from typing import Any, Literal

import numpy as np

from archlab.channels.routing import place_in_document, room_in, same_document
from archlab.inits import FanInNormal, Init
from archlab.ops import sigmoid, softplus, upcast
from archlab.spec import Cost, Example, Layer, Param, Parts, State, substate, updated
from archlab.subsequence import choose, context, spread, stepwise, taken


class MixtureOfDepths(Layer):
    """y = x + σ(r) (layer(x) − x) for the tokens that are chosen, y = x for the others, r = x · w
    (https://arxiv.org/abs/2404.02258). The layer sees the chosen tokens only.

    share
        Of each document's n tokens the ⌊share · n⌋ with the highest r are chosen in training; where they are equal,
        the earlier ones. Only as many go through the layer: that is what it saves.
    choice
        "rank" chooses so in training, which a token that comes later can change, and by r > 0 in evaluation and
        decoding. "threshold" chooses by r > 0 always, however many that are.
    teach
        Times the mean over tokens of the cross-entropy of σ(r) with the choice by rank: an auxiliary loss
        "depth.choice", by which r > 0 comes to be that choice (the paper's second way to decode).

    Statistics: "depth.share", the share of tokens that are chosen.
    """

    layer: Layer
    share: float
    choice: Literal["rank", "threshold"] = "rank"
    teach: float = 0.01
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(0 < self.share <= 1, "share", "must lie in (0, 1]")
        self.require(self.teach >= 0, "teach", "must be ≥ 0")

    def params(self, width: int) -> dict[str, Param]:
        return {"router": Param(shape=(width,), axes="D", init=self.init, fan_in=width)}

    def parts(self, width: int) -> Parts:
        return {"layer": self.layer.at(width)}

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        return {"index": State(shape=(batch,), axes="B", dtype="int")}  # the layer's own counts chosen tokens

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        xp, wide = ctx.xp, upcast(ctx.xp, x)
        score = xp.sum(wide * xp.astype(m.router, wide.dtype), axis=-1)
        real = ctx.documents > 0
        chosen, most = real & (score > 0), x.shape[1]
        if ctx.noting:
            ranked = real & self.first(score, ctx)
            self.note(score, ranked, ctx)
            if self.choice == "rank" and state is None:
                chosen, most = ranked, int(self.share * x.shape[1])
        if most == 0:
            return x, state
        y, state = self.through(m, x, ctx, state, chosen, most)
        share = xp.astype(sigmoid(xp, score), x.dtype)[..., None]
        return xp.where(chosen[..., None], x + share * (y - x), x), state

    def first(self, score: Any, ctx: Any) -> Any:
        """(B, T): whether a token is among those of its document that score highest."""
        place = place_in_document(ctx.stop_gradient(score)[..., None], ctx)[..., 0]
        return place < room_in(same_document(ctx), self.share, ctx, np.floor)

    def note(self, score: Any, ranked: Any, ctx: Any) -> None:
        """The loss that teaches the threshold, and the share of tokens."""
        share = ctx.xp.astype(ranked, score.dtype)
        if self.teach:
            ctx.add_loss("depth.choice", self.teach * ctx.mean(softplus(ctx.xp, score) - share * score))
        ctx.add_stat("depth.share", ctx.mean(share))

    def through(self, m: Any, x: Any, ctx: Any, state: Any, mask: Any, most: int) -> tuple[Any, Any]:
        """(B, T, D) of the layer on the tokens of ``mask``, at most ``most`` in a row."""
        if state is not None:
            y, inner = stepwise(m.layer, x, ctx, state["layer"], mask, ctx.positions)
            return y, updated(state, layer=inner, index=state["index"] + x.shape[1])
        chosen = choose(ctx, mask, most)
        y, _ = m.layer(taken(ctx, x, chosen.source), context(ctx, chosen, ctx.positions), substate(state, "layer"))
        return spread(ctx, y, chosen), None

    def cost(self, width: int, length: int) -> Cost:
        return Cost(weights=2.0 * width)

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.block import residual_example
        from archlab.residuals import PreNorm

        layer: Any = residual_example(PreNorm).spec
        late = "in training the choice depends on later tokens"
        coupled = (("padding", "the auxiliary loss is a mean over all tokens of the batch"),)
        waive = (("causal", late), ("decode", "decoding chooses by threshold"))
        return [
            Example(spec=cls(layer=layer, share=0.5, teach=0.0), waive=waive),
            Example(spec=cls(layer=layer, share=0.5, choice="threshold", teach=0.1), waive=coupled),
        ]
