"""A layer on a shorter sequence, with causality kept."""

from typing import Any, Literal

import numpy as np

from archlab.inits import FanInNormal, Init
from archlab.layers import Linear
from archlab.spec import Cost, Example, Layer, Parts, State, substate, updated
from archlab.subsequence import choose, context, stepwise, taken


class Hourglass(Layer):
    """y = x + up(layer(down(x))): ``factor`` tokens become one, and one becomes as many
    (https://arxiv.org/abs/2110.13711).

    Group g holds the positions g k … g k + k − 1 of a document. A token reads the last group that is complete, its own
    where it completes it: that is the paper's shift by k − 1, by which no token sees a later one. Before the first
    complete group y = x. A row's first document may begin at any position, the others begin at 0.

    down
        "linear": [x_{gk}, …, x_{gk+k−1}] W; "mean": their mean.
    up
        "linear": with z W' = [u_0, …, u_{k−1}] the j-th token after the group's last one reads u_j; "repeat": it
        reads z.
    """

    layer: Layer
    factor: int
    down: Literal["linear", "mean"] = "linear"
    up: Literal["linear", "repeat"] = "linear"
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.factor > 1, "factor", "must be > 1")

    def parts(self, width: int) -> Parts:
        together = self.factor * width
        down = Linear(features=width, axes="C D", bias=False, init=self.init).at(together)
        up = Linear(features=together, axes="D C", bias=False, init=self.init).at(width)
        return {
            "down": down if self.down == "linear" else None,
            "layer": self.layer.at(width),
            "up": up if self.up == "linear" else None,
        }

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        """The last k − 1 tokens, and what the layer gave for the last complete group."""
        return {
            "recent": State(shape=(batch, self.factor - 1, width), axes="B W D"),
            "segments": State(shape=(batch, self.factor - 1), axes="B W", dtype="int"),
            "latest": State(shape=(batch, 1, width), axes="B T D"),
            "of": State(shape=(batch, 1), axes="B T", dtype="int"),
            "index": State(shape=(batch,), axes="B", dtype="int"),  # the layer's own counts groups
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        xp, k = ctx.xp, self.factor
        after = (ctx.positions + 1) % k  # how many tokens came after the last complete group
        ends = (after == 0) & (ctx.documents > 0)
        recent, owners = self.recent(x, ctx, state)
        if state is None:
            chosen = choose(ctx, ends, -(-x.shape[1] // k))
            z = self.grouped(m, recent, owners, chosen.source, ctx)
            z, _ = m.layer(z, context(ctx, chosen, ctx.positions // k), substate(state, "layer"))
            y = self.read(m, z, chosen.slot, after, ctx)
            return x + y, None
        time = xp.broadcast_to(ctx.constant(np.arange(x.shape[1])), ends.shape)
        z = self.grouped(m, recent, owners, time, ctx)
        z, inner = stepwise(m.layer, z, ctx, state["layer"], ends, ctx.positions // k)
        return self.resumed(m, x, z, after, ctx, updated(state, layer=inner), recent, owners)

    def recent(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        """x and its documents with the k − 1 tokens before them in front, (B, k − 1 + T, D) and (B, k − 1 + T)."""
        xp, k, segments = ctx.xp, self.factor, ctx.documents
        if state is None:
            before, of = (xp.zeros_like(xp.repeat(a[:, :1], k - 1, axis=1)) for a in (x, segments))
        else:
            before, of = xp.astype(state["recent"], x.dtype), xp.astype(state["segments"], segments.dtype)
        return xp.concat([before, x], axis=1), xp.concat([of, segments], axis=1)

    def grouped(self, m: Any, recent: Any, owners: Any, ends: Any, ctx: Any) -> Any:
        """(B, S, D): the k tokens that end at ``ends`` (B, S) as one; what is of another document counts as 0."""
        xp, own = ctx.xp, taken(ctx, ctx.documents, ends)
        members = []
        for j in range(self.factor):
            same = taken(ctx, owners, ends + j) == own
            member = taken(ctx, recent, ends + j)
            members.append(xp.where(same[..., None], member, xp.zeros_like(member)))
        return m.down(xp.concat(members, axis=-1), ctx) if self.down == "linear" else sum(members) / self.factor

    def read(self, m: Any, z: Any, slot: Any, after: Any, ctx: Any) -> Any:
        """What each token reads of the groups (B, S, D), ``slot`` (B, T) being a group's at its last token."""
        time = ctx.constant(np.arange(after.shape[1])) - after
        same = taken(ctx, ctx.documents, _least(ctx, time)) == ctx.documents
        here = same & (time >= 0) & (ctx.positions >= after) & (ctx.documents > 0)
        group = taken(ctx, slot, _least(ctx, time))
        last = ctx.xp.full_like(group, z.shape[1] - 1)
        return self.shares(m, z, ctx.xp.where(group > last, last, group), after, here, ctx)

    def shares(self, m: Any, z: Any, group: Any, after: Any, here: Any, ctx: Any) -> Any:
        """The share of each token (B, T) in its ``group`` among (B, S, D), 0 where there is none."""
        xp, k = ctx.xp, self.factor
        if self.up == "linear":
            z = xp.reshape(m.up(z, ctx), (z.shape[0], z.shape[1] * k, z.shape[2]))
            group = group * k + after
        found = taken(ctx, z, group)
        return xp.where(here[..., None], found, xp.zeros_like(found))

    def resumed(self, m: Any, x: Any, z: Any, after: Any, ctx: Any, state: Any, recent: Any, owners: Any) -> Any:
        """Outputs (B, T, D) and the state, from what the layer gave at each token of a piece."""
        xp, length, segments = ctx.xp, x.shape[1], ctx.documents
        z = xp.concat([xp.astype(state["latest"], z.dtype), z], axis=1)
        time = ctx.constant(np.arange(length)) + 1 - after
        group = _least(ctx, time)
        of = xp.concat([xp.astype(state["of"], segments.dtype), segments], axis=1)
        here = (taken(ctx, of, group) == segments) & (ctx.positions >= after) & (segments > 0)
        y = self.shares(m, z, group, after, here, ctx)
        last = group[:, -1:]
        keep = xp.where(here[:, -1:], taken(ctx, of, last), xp.zeros_like(last))
        return x + y, updated(
            state, latest=taken(ctx, z, last), of=keep, recent=recent[:, length:], segments=owners[:, length:],
            index=state["index"] + length,
        )  # fmt: skip

    def cost(self, width: int, length: int) -> Cost:
        return Cost()

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.block import residual_example
        from archlab.residuals import PreNorm

        layer: Any = residual_example(PreNorm).spec
        return [
            Example(spec=cls(layer=layer, factor=3), length=13),
            Example(spec=cls(layer=layer, factor=2, down="mean", up="repeat")),
        ]


def _least(ctx: Any, index: Any) -> Any:
    """``index``, 0 where it is below."""
    return ctx.xp.where(index < 0, ctx.xp.zeros_like(index), index)
