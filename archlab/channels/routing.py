"""Routers: which experts a token goes to, and with what weight."""

import math
from typing import Any, Literal

import numpy as np

from archlab.config import Config
from archlab.inits import FanInNormal, Init, Zeros
from archlab.ops import masked_softmax, upcast
from archlab.optim.sign_step import SignStep
from archlab.spec import Example, Map, Param

Scores = Literal["softmax", "sigmoid"]


class Router(Map):
    """Maps x (B, T, D) to weights (B, T, E) ≥ 0, in float32 at least: exactly 0 where a token does not go to an expert.

    experts
        E.
    scores
        What logits become: a softmax over the experts, or a sigmoid of each.
    dtype
        What the logits are computed in: "float32" is float32 at least, "compute" the dtype of the activations, in
        which rounding may decide where a token goes.
    """

    abstract = True

    experts: int
    scores: Scores
    dtype: Literal["float32", "compute"] = "float32"
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.experts > 0, "experts", "must be > 0")

    @property
    def most(self) -> int | None:
        """How many experts a token goes to at most; None for all of them."""
        return None

    @property
    def mean(self) -> float:
        """How many experts a token goes to on average, for accounting."""
        raise NotImplementedError

    def params(self, width: int) -> dict[str, Param]:
        return {"kernel": Param(shape=(width, self.experts), axes="D E", init=self.init, fan_in=width)}

    def logits(self, m: Any, x: Any, ctx: Any) -> Any:
        """x W (B, T, E), in float32 at least."""
        x = upcast(ctx.xp, x) if self.dtype == "float32" else x
        return upcast(ctx.xp, ctx.xp.astype(x @ ctx.xp.astype(m.kernel, x.dtype), x.dtype))

    def scored(self, logits: Any, ctx: Any) -> Any:
        """Scores (B, T, E) of the experts."""
        if self.scores == "sigmoid":
            return 1.0 / (1.0 + ctx.xp.exp(-logits))
        return masked_softmax(ctx.xp, logits, ctx.xp.ones_like(logits) > 0)

    def saved(self, width: int, length: int) -> float:
        return 3.0 * self.experts


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
    w_i = scale · s_i for i in C, with ``total`` scale · total · s_i / Σ_{j∈C} s_j, and else 0

    Sources: Switch (https://arxiv.org/abs/2101.03961; k = 1, capacity, balance), Mixtral
    (https://arxiv.org/abs/2401.04088; softmax over the chosen), ST-MoE (https://arxiv.org/abs/2202.08906; z),
    DeepSeek-V3 (https://arxiv.org/abs/2412.19437; sigmoid, groups, correction).

    over
        What the softmax runs over: "all" experts, or the "chosen" ones.
    total
        What a token's weights sum to before ``scale``; None leaves them as they are.
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
        return self.scale * self.total * weights / xp.where(whole > 0, whole, xp.ones_like(whole))

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
        real = xp.astype(real_tokens(ctx), scores.dtype)[..., None]
        chosen, kept = (xp.astype(mask, scores.dtype) * real for mask in (chosen, kept))
        if self.correction is not None:
            load = xp.sum(chosen, axis=(0, 1))
            above = ctx.stop_gradient(load - xp.mean(load))
            ctx.add_drive("router.correction", xp.sum(above * xp.astype(m.correction, load.dtype)))
        count = counted(ctx, real)
        share = ctx.total(xp.sum(chosen, axis=(0, 1))) / (self.chosen * count)
        if self.balance is not None:
            part = scores / xp.sum(scores, axis=-1, keepdims=True)
            mean = ctx.total(xp.sum(part * real, axis=(0, 1))) / count
            ctx.add_loss("router.balance", self.balance * self.experts * xp.sum(share * mean))
        if self.z is not None:
            squares = log_sum_exp(xp, logits) ** 2 * real
            ctx.add_loss("router.z", self.z * ctx.total(xp.sum(squares)) / count)
        note_shares(ctx, share)
        if self.capacity is not None:
            ctx.add_stat("router.dropped", ctx.total(xp.sum(chosen - kept)) / (self.chosen * count))

    @classmethod
    def examples(cls) -> list[Example]:
        late = "capacity depends on the length of the whole document"
        groups = Groups(count=4, chosen=2, score="top2")
        base = cls(experts=8, chosen=3, scores="sigmoid", groups=groups, total=1.0, scale=2.5)
        first = cls(experts=4, chosen=2, scores="softmax", over="chosen", capacity=0.75)
        return [Example(spec=base, width=8), Example(spec=first, width=8, waive=(("decode", late),))]


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
        return "an ExpertChoiceRouter compares all tokens of a document"

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        xp = ctx.xp
        scores = self.scored(self.logits(m, x, ctx), ctx)
        room = room_in(same_document(ctx), self.capacity / self.experts, ctx)
        taken = self.place(ctx.stop_gradient(scores), ctx) < room[..., None]
        if ctx.noting:
            real = xp.astype(real_tokens(ctx), scores.dtype)
            alone = xp.astype(~xp.any(taken, axis=-1), scores.dtype) * real
            ctx.add_stat("router.untaken", ctx.total(xp.sum(alone)) / counted(ctx, real))
        return xp.where(taken, scores, xp.zeros_like(scores))

    def place(self, scores: Any, ctx: Any) -> Any:
        """(B, T, E): how many tokens of a token's document come before it in the order of an expert's scores."""
        xp, segments = ctx.xp, segments_of(ctx)
        by_expert = xp.permute_dims(scores, (0, 2, 1))
        order = xp.argsort(-by_expert, axis=-1, stable=True)
        document = xp.take_along_axis(xp.broadcast_to(segments[:, None, :], order.shape), order, axis=-1)
        order = xp.take_along_axis(order, xp.argsort(document, axis=-1, stable=True), axis=-1)
        others = xp.sum(xp.astype(segments[:, None, :] < segments[:, :, None], order.dtype), axis=-1)
        return xp.permute_dims(xp.argsort(order, axis=-1, stable=True), (0, 2, 1)) - others[..., None]

    @classmethod
    def examples(cls) -> list[Example]:
        later = "whether a token is taken depends on later ones"
        spec = cls(experts=4, scores="softmax", capacity=1.5)
        return [Example(spec=spec, width=8, waive=(("causal", later), ("decode", later)))]


def rank(xp: Any, scores: Any) -> Any:
    """(…, E): how many of the others come first by score; where scores are equal, the lower index does."""
    return xp.argsort(xp.argsort(-scores, axis=-1, stable=True), axis=-1, stable=True)


def segments_of(ctx: Any) -> Any:
    """(B, T) documents."""
    return ctx.xp.ones_like(ctx.positions) if ctx.segments is None else ctx.segments


def real_tokens(ctx: Any) -> Any:
    """(B, T): whether a token is no padding."""
    return segments_of(ctx) > 0


def same_document(ctx: Any) -> Any:
    """(B, T, T): whether two tokens are of one document."""
    segments = segments_of(ctx)
    return segments[:, :, None] == segments[:, None, :]


def room_in(same: Any, share: float, ctx: Any) -> Any:
    """⌈share · n⌉ (B, T), n the length of a token's document, worked out on the host: the same bits everywhere."""
    xp, length = ctx.xp, same.shape[-1]
    table = ctx.constant(np.ceil(share * np.arange(length + 1, dtype=np.float64)).astype(np.int64))
    return table[xp.sum(xp.astype(same, xp.int32), axis=-1)]


def counted(ctx: Any, real: Any) -> Any:
    """How many tokens of the whole batch are no padding, but at least 1."""
    count = ctx.total(ctx.xp.sum(real))
    return ctx.xp.where(count > 0, count, ctx.xp.ones_like(count))


def log_sum_exp(xp: Any, logits: Any) -> Any:
    """log Σ exp over the last axis, which stays."""
    top = xp.max(logits, axis=-1, keepdims=True)
    return top + xp.log(xp.sum(xp.exp(logits - top), axis=-1, keepdims=True))


def note_shares(ctx: Any, share: Any) -> None:
    """How evenly the choices (E) are spread."""
    xp = ctx.xp
    ctx.add_stat("router.largest_share", xp.max(share))
    ctx.add_stat("router.entropy", -xp.sum(share * xp.log(xp.where(share > 0, share, xp.ones_like(share)))))
