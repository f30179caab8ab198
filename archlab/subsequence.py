"""A layer run on some of the tokens only, as if the others were not there."""

from typing import Any, NamedTuple

import numpy as np


class Chosen(NamedTuple):
    """Which tokens go through a layer: they are put side by side, in their order, in ``count`` slots of each row.

    source
        (B, S): the token in each slot.
    slot
        (B, T): the slot of each token that is chosen.
    mask, filled
        (B, T): whether a token is chosen; (B, S): whether a slot holds one.
    """

    source: Any
    slot: Any
    mask: Any
    filled: Any


def choose(ctx: Any, mask: Any, count: int) -> Chosen:
    """The tokens of ``mask`` (B, T), at most ``count`` in a row."""
    xp, length = ctx.xp, mask.shape[1]
    time = ctx.constant(np.arange(length))
    order = xp.argsort(xp.where(mask, time, time + length), axis=-1, stable=True)
    chosen = xp.sum(xp.astype(mask, order.dtype), axis=-1, keepdims=True)
    filled = ctx.constant(np.arange(count)) < chosen
    return Chosen(source=order[:, :count], slot=xp.argsort(order, axis=-1, stable=True), mask=mask, filled=filled)


def taken(ctx: Any, a: Any, index: Any) -> Any:
    """Entries (B, S, …) of ``a`` (B, T, …) at ``index`` (B, S)."""
    xp, rest = ctx.xp, a.shape[2:]
    wide = xp.reshape(index, (*index.shape, *(1 for _ in rest)))
    return xp.take_along_axis(a, xp.broadcast_to(wide, (*index.shape, *rest)), axis=1)


def context(ctx: Any, chosen: Chosen, positions: Any) -> Any:
    """The context of the slots; ``positions`` (B, T) are those that the tokens have in there."""
    xp = ctx.xp
    segments = taken(ctx, ctx.documents, chosen.source)
    return ctx.replace(
        positions=taken(ctx, positions, chosen.source),
        segments=xp.where(chosen.filled, segments, xp.zeros_like(segments)),
        prefix=None if ctx.prefix is None else taken(ctx, ctx.prefix, chosen.source),
        plain=False,
    )


def spread(ctx: Any, y: Any, chosen: Chosen) -> Any:
    """(B, T, …): what the slots (B, S, …) hold of each chosen token, 0 at the others."""
    xp, last = ctx.xp, y.shape[1] - 1
    found = taken(ctx, y, xp.where(chosen.slot > last, xp.full_like(chosen.slot, last), chosen.slot))
    return xp.where(
        xp.reshape(chosen.mask, (*chosen.mask.shape, *(1 for _ in y.shape[2:]))), found, xp.zeros_like(found)
    )


def stepwise(layer: Any, x: Any, ctx: Any, state: Any, mask: Any, positions: Any) -> tuple[Any, Any]:
    """(B, T, D) of ``layer`` with its ``state``, token by token: a row whose token is not of ``mask`` keeps its state.

    What comes out at tokens that are not of the mask means nothing.
    """
    xp, outer = ctx.xp, ctx

    def step(state: Any, inputs: Any) -> tuple[Any, Any]:
        x, segment, position, on = inputs
        segments = xp.where(on, segment, xp.zeros_like(segment))[:, None]
        inner = outer.apart().replace(positions=position[:, None], segments=segments, prefix=None, plain=False)
        y, new = layer(x[:, None], inner, state)
        return _merged(xp, on, new, state), y[:, 0]

    state, y = ctx.scan(step, state, (x, ctx.documents, positions, mask))
    return y, state


def _merged(xp: Any, on: Any, new: Any, old: Any) -> Any:
    """The new state where ``on`` (B), else the old one. Every array of a state has the batch first."""
    if isinstance(new, dict):
        return {name: _merged(xp, on, new[name], old[name]) for name in new}
    if isinstance(new, list):
        return [_merged(xp, on, a, b) for a, b in zip(new, old, strict=True)]
    return xp.where(xp.reshape(on, (on.shape[0], *(1 for _ in new.shape[1:]))), xp.astype(new, old.dtype), old)
