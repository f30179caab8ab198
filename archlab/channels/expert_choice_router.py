"""Experts choose tokens."""

from typing import Any

from archlab.channels.routing import Router, place_in_document, room_in, same_document
from archlab.spec import SEES, Example


class ExpertChoiceRouter(Router):
    """Every expert takes the tokens of each document that score highest for it (https://arxiv.org/abs/2202.09368).

    s = softmax(x W) or σ(x W); w_te = s_te where t is among the ⌈capacity · n / E⌉ highest s_·e of its document of n
    tokens, else 0; where scores are equal, the earlier token wins.

    Whether a token is taken depends on later ones: it can neither be trained causally nor be decoded with.
    Statistics: "router.untaken", the share of tokens that no expert takes.
    """

    capacity: float

    def check(self) -> None:
        super().check()
        self.require(self.capacity > 0, "capacity", "must be > 0")

    @property
    def mean(self) -> float:
        return min(self.capacity, float(self.experts))

    def sees_later(self) -> str | None:
        return f"an ExpertChoiceRouter compares all tokens of a document, {SEES}"

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        xp = ctx.xp
        scores = self.scored(self.logits(m, x, ctx), ctx)
        room = room_in(same_document(ctx), self.capacity / self.experts, ctx)
        taken = place_in_document(ctx.stop_gradient(scores), ctx) < room[..., None]
        if ctx.noting:
            ctx.add_stat("router.untaken", ctx.mean(xp.astype(~xp.any(taken, axis=-1), scores.dtype)))
        return xp.where(taken, scores, xp.zeros_like(scores))

    @classmethod
    def examples(cls) -> list[Example]:
        later = "whether a token is taken depends on later ones"
        spec = cls(experts=4, scores="softmax", capacity=1.5)
        return [Example(spec=spec, width=8, waive=(("causal", later), ("decode", later)))]
