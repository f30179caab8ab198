"""What routers are: which experts a token goes to, and with what weight."""

from typing import Any, Literal

import numpy as np

from archlab.inits import FanInNormal, Init
from archlab.ops import masked_softmax, sigmoid, upcast
from archlab.spec import Map, Param

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
    bias
        The law of a bias of the logits (gpt-oss); None for none.
    """

    abstract = True

    experts: int
    scores: Scores
    dtype: Literal["float32", "compute"] = "float32"
    bias: Init | None = None
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
        kernel = Param(shape=(width, self.experts), axes="D E", init=self.init, fan_in=width)
        if self.bias is None:
            return {"kernel": kernel}
        return {"kernel": kernel, "bias": Param(shape=(self.experts,), axes="E", init=self.bias)}

    def logits(self, m: Any, x: Any, ctx: Any) -> Any:
        """x W (+ b) (B, T, E), in float32 at least."""
        x = upcast(ctx.xp, x) if self.dtype == "float32" else x
        y = upcast(ctx.xp, ctx.xp.astype(x @ ctx.xp.astype(m.kernel, x.dtype), x.dtype))
        return y if self.bias is None else y + ctx.xp.astype(m.bias, y.dtype)

    def scored(self, logits: Any, ctx: Any) -> Any:
        """Scores (B, T, E) of the experts."""
        if self.scores == "sigmoid":
            return sigmoid(ctx.xp, logits)
        return masked_softmax(ctx.xp, logits, ctx.xp.ones_like(logits) > 0)

    def saved(self, width: int, length: int) -> float:
        return 3.0 * self.experts


def same_document(ctx: Any) -> Any:
    """(B, T, T): whether two tokens are of one document."""
    return ctx.documents[:, :, None] == ctx.documents[:, None, :]


def room_in(same: Any, share: float, ctx: Any, rounded: Any = np.ceil) -> Any:
    """⌈share · n⌉ (B, T), n the length of a token's document, worked out on the host: the same bits everywhere."""
    xp, length = ctx.xp, same.shape[-1]
    table = ctx.constant(rounded(share * np.arange(length + 1, dtype=np.float64)).astype(np.int64))
    return table[xp.sum(xp.astype(same, xp.int32), axis=-1)]


def place_in_document(scores: Any, ctx: Any) -> Any:
    """(B, T, E): how many tokens of a token's document come before it in the order of (B, T, E) scores, highest first.

    Where scores are equal, the earlier token comes first.
    """
    xp, segments = ctx.xp, ctx.documents
    by_expert = xp.permute_dims(scores, (0, 2, 1))
    order = xp.argsort(-by_expert, axis=-1, stable=True)
    document = xp.take_along_axis(xp.broadcast_to(segments[:, None, :], order.shape), order, axis=-1)
    order = xp.take_along_axis(order, xp.argsort(document, axis=-1, stable=True), axis=-1)
    others = xp.sum(xp.astype(segments[:, None, :] < segments[:, :, None], order.dtype), axis=-1)
    return xp.permute_dims(xp.argsort(order, axis=-1, stable=True), (0, 2, 1)) - others[..., None]
