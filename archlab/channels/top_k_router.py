"""Tokens choose experts."""

import math
from typing import Any, Literal

import numpy as np

from archlab.channels.routing import Router, room_in, same_document
from archlab.config import Config
from archlab.inits import Normal, Zeros
from archlab.ops import masked_softmax, rank
from archlab.optim.sign_step import SignStep
from archlab.spec import Example, Param


class Groups(Config):
    """Experts in ``count`` groups of consecutive ones, of which a token may use the ``chosen`` best.

    A group is as good as its best expert ("max", DeepSeek-V2), or as its two best together ("top2", DeepSeek-V3).
    """

    count: int
    chosen: int
    score: Literal["max", "top2"]

    def check(self) -> None:
        self.require(self.count > 0, "count", "must be > 0")
        self.require(0 < self.chosen <= self.count, "chosen", f"must lie between 1 and count = {self.count}")

    def open(self, scores: Any, ctx: Any) -> Any:
        """(B, T, E): whether an expert's group is among the chosen ones."""
        xp, size = ctx.xp, scores.shape[-1] // self.count
        grouped = xp.sort(xp.reshape(scores, (*scores.shape[:-1], self.count, size)), axis=-1)
        best = xp.sum(grouped[..., -1:] if self.score == "max" else grouped[..., -2:], axis=-1)
        return xp.repeat(rank(xp, best) < self.chosen, size, axis=-1)


class TopKRouter(Router):
    """Every token takes the ``chosen`` experts that score highest; where scores are equal, the lower index wins.

    s = softmax(x W) or σ(x W); C = the k highest of s + b, by rank: #{j: s_j > s_i, or s_j = s_i and j < i} < k
    w_i = scale · s_i for i in C, with ``total`` scale · total · s_i / (Σ_{j∈C} s_j + epsilon), and else 0

    Sources: Switch (https://arxiv.org/abs/2101.03961; k = 1, capacity, balance), Mixtral
    (https://arxiv.org/abs/2401.04088; softmax over the chosen), ST-MoE (https://arxiv.org/abs/2202.08906; z),
    DeepSeek-V3 (https://arxiv.org/abs/2412.19437; sigmoid, groups, correction).

    over
        What the softmax runs over: "all" experts, or the "chosen" ones.
    total
        What a token's weights sum to before ``scale``; None leaves them as they are.
    epsilon
        Added to the sum that weights are divided by (DeepSeek-V3's code: 1e-20).
    groups
        Limits the choice to the best groups of experts.
    correction
        Gives each expert a bias b, 0 at first, that counts in choosing and in nothing else. It moves by this rule,
        its gradient being the expert's load above the mean: b ← b − size · sign(load − mean load), so that loads
        become even without an auxiliary loss.
    capacity
        An expert takes at most ⌈capacity · k · n / E⌉ tokens of a document of n, those that come first; for the others
        its weight is 0. None drops none. In decoding, n is what there is of the document in one piece.
    balance
        A coefficient of the auxiliary loss E Σ_e f_e P_e: f_e is the share of all choices (before any is dropped) that
        fell on expert e, P_e the mean of its share in a token's scores. It is 1 × ``balance`` where loads are even.
    z
        A coefficient of the auxiliary loss mean(logsumexp(x W)²).

    Padding does not count in either loss. Statistics: "router.largest_share", of the choices, on the busiest expert;
    "router.entropy" of these shares in nats, log E where they are even; "router.dropped", the share of choices that
    were dropped.
    """

    chosen: int
    over: Literal["all", "chosen"] = "all"
    total: float | None = None
    epsilon: float = 0.0
    scale: float = 1.0
    groups: Groups | None = None
    correction: SignStep | None = None
    capacity: float | None = None
    balance: float | None = None
    z: float | None = None

    def check(self) -> None:
        super().check()
        self.require(0 < self.chosen <= self.experts, "chosen", f"must lie between 1 and experts = {self.experts}")
        self.require(self.over == "all" or self.scores == "softmax", "over", "must be 'all' where scores are sigmoids")
        self.require(self.scale > 0, "scale", "must be > 0")
        self.require(self.epsilon >= 0, "epsilon", "must be ≥ 0")
        for name in ("total", "capacity", "balance", "z"):
            value = getattr(self, name)
            self.require(value is None or value > 0, name, "must be > 0 or null")
        if self.groups is not None:
            self._check_groups(self.groups)

    def _check_groups(self, groups: Groups) -> None:
        size, rest = divmod(self.experts, groups.count)
        least = 2 if groups.score == "top2" else 1
        self.require(rest == 0, "groups", f"must divide the {self.experts} experts evenly")
        self.require(size >= least, "groups", f"must hold at least {least} experts each")
        self.require(
            size * groups.chosen >= self.chosen, "groups", f"leave fewer than the {self.chosen} experts to choose"
        )

    def sums_to_one(self) -> bool:
        """Whether the weights before ``scale`` are those of a softmax over the chosen ones, however it is said."""
        whole = self.over == "chosen" if self.total is None else self.total == 1.0 and not self.epsilon
        return self.scores == "softmax" and whole

    @property
    def most(self) -> int | None:
        return self.chosen

    @property
    def mean(self) -> float:
        return float(self.chosen)

    def params(self, width: int) -> dict[str, Param]:
        if self.correction is None:
            return super().params(width)
        bias = Param(shape=(self.experts,), axes="E", init=Zeros(), rule=self.correction)
        return super().params(width) | {"correction": bias}

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        xp, logits = ctx.xp, self.logits(m, x, ctx)
        scores = self.scored(logits, ctx)
        chosen = self.choose(m, scores, ctx)
        kept = chosen if self.capacity is None else self.first_served(chosen, ctx)
        if ctx.noting:
            self.note(m, logits, scores, chosen, kept, ctx)
        return xp.where(kept, self.weigh(logits, scores, chosen, ctx), xp.zeros_like(scores))

    def choose(self, m: Any, scores: Any, ctx: Any) -> Any:
        """(B, T, E): whether a token chooses an expert."""
        xp, ranked = ctx.xp, ctx.stop_gradient(scores)
        if self.correction is not None:
            ranked = ranked + ctx.stop_gradient(xp.astype(m.correction, scores.dtype))
        if self.groups is not None:
            ranked = xp.where(self.groups.open(ranked, ctx), ranked, xp.full_like(ranked, -math.inf))
        return rank(xp, ranked) < self.chosen

    def weigh(self, logits: Any, scores: Any, chosen: Any, ctx: Any) -> Any:
        """Weights (B, T, E) of the chosen experts."""
        xp = ctx.xp
        weights = scores if self.over == "all" else masked_softmax(xp, logits, chosen)
        if self.total is None:
            return self.scale * weights
        whole = xp.sum(xp.where(chosen, weights, xp.zeros_like(weights)), axis=-1, keepdims=True)
        whole = whole + self.epsilon if self.epsilon else xp.where(whole > 0, whole, xp.ones_like(whole))
        return self.scale * self.total * weights / whole

    def first_served(self, chosen: Any, ctx: Any) -> Any:
        """The choices (B, T, E) that fit: tokens of a document queue at each expert in their order."""
        xp, same = ctx.xp, same_document(ctx)
        time = ctx.constant(np.arange(chosen.shape[1]))
        earlier = same & (time[:, None] > time)
        # counts in float32 are exact up to 16,777,216, and matrix products of integers are not to be had everywhere
        before = xp.astype(earlier, xp.float32) @ xp.astype(chosen, xp.float32)
        room = room_in(same, self.capacity * self.chosen / self.experts, ctx)  # type: ignore[operator]
        return chosen & (before < xp.astype(room, xp.float32)[..., None])

    def note(self, m: Any, logits: Any, scores: Any, chosen: Any, kept: Any, ctx: Any) -> None:
        """Auxiliary losses, the slope of the correction, statistics."""
        xp = ctx.xp
        chosen, kept = (xp.astype(mask, scores.dtype) for mask in (chosen, kept))
        if self.correction is not None:
            load = xp.sum(chosen * xp.astype(ctx.documents > 0, scores.dtype)[..., None], axis=(0, 1))
            above = ctx.stop_gradient(load - xp.mean(load))
            ctx.add_drive("router.correction", xp.sum(above * xp.astype(m.correction, load.dtype)))
        share = ctx.mean(chosen) / self.chosen
        if self.balance is not None:
            mean = ctx.mean(scores / xp.sum(scores, axis=-1, keepdims=True))
            ctx.add_loss("router.balance", self.balance * self.experts * xp.sum(share * mean))
        if self.z is not None:
            ctx.add_loss("router.z", self.z * ctx.mean(log_sum_exp(xp, logits) ** 2))
        ctx.add_stat("router.largest_share", xp.max(share))
        ctx.add_stat("router.entropy", -xp.sum(share * xp.log(xp.where(share > 0, share, xp.ones_like(share)))))
        if self.capacity is not None:
            ctx.add_stat("router.dropped", ctx.mean(xp.sum(chosen - kept, axis=-1)) / self.chosen)

    @classmethod
    def examples(cls) -> list[Example]:
        late = "capacity depends on the length of the whole document"
        groups = Groups(count=4, chosen=2, score="top2")
        base = cls(experts=8, chosen=3, scores="sigmoid", groups=groups, total=1.0, scale=2.5)
        first = cls(experts=4, chosen=2, scores="softmax", over="chosen", capacity=0.75, bias=Normal(std=1.0))
        near = cls(experts=4, chosen=2, scores="sigmoid", total=1.0, epsilon=0.5)
        return [
            Example(spec=base, width=8),
            Example(spec=first, width=8, waive=(("decode", late),)),
            Example(spec=near, width=8),
        ]


def log_sum_exp(xp: Any, logits: Any) -> Any:
    """log Σ exp over the last axis."""
    top = xp.max(logits, axis=-1, keepdims=True)
    return top[..., 0] + xp.log(xp.sum(xp.exp(logits - top), axis=-1))
