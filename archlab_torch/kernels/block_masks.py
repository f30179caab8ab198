"""Masks as FlexAttention takes them: a rule of single places, and which blocks of places it leaves out."""

import functools
from collections.abc import Callable
from typing import Any

import torch

from archlab.masks import Seen, Sight
from archlab_torch.runtime import once

Rule = Callable[[Any, Any, Any, Any], Any]
"""Whether the query at t of row b, under head h, sees the key at s: (b, h, t, s) → boolean."""


def rule(sight: Sight, ctx: Any) -> Rule | None:
    """The rule of what the tokens of ``ctx`` see of each other; None where they see everything."""
    if ctx.plain:  # places are positions, and nothing is read from memory
        return None if sight.whole and sight.visibility == "bidirectional" else _by_place(sight)
    prefix = ctx.prefix if sight.visibility == "prefix" else None
    return _by_position(sight, ctx.positions, ctx.documents, prefix)


def _by_place(sight: Sight) -> Rule:
    return lambda b, h, t, s: sight.allows(t, s)


def _by_position(sight: Sight, positions: Any, documents: Any, prefix: Any) -> Rule:
    def sees(b: Any, h: Any, t: Any, s: Any) -> Any:
        one = (documents[b, t] == documents[b, s]) & (documents[b, s] > 0)
        return one & sight.allows(positions[b, t], positions[b, s], None if prefix is None else prefix[b, t])

    return sees


def of_call(seen: Seen) -> Any:
    """The blocks of what is seen, or None for everything; made once a call for all layers with the same rule.

    Without a rule for them
    (:class:`archlab.masks.Seen`) they are those of the mask.
    """
    if seen.sight is None:
        return of_mask(seen.dense())
    return once(seen.ctx, ("blocks", seen.sight), functools.partial(_of_context, seen.sight, seen.ctx))


def _of_context(sight: Sight, ctx: Any) -> Any:
    sees = rule(sight, ctx)
    rows, length = ctx.positions.shape
    return None if sees is None else _blocks(sees, None if ctx.plain else rows, length, length, ctx.positions.device)


def of_mask(mask: Any) -> Any:
    """The blocks of a mask (B, T, S); None for None."""
    if mask is None:
        return None
    rows, queries, keys = mask.shape
    return _blocks(lambda b, h, t, s: mask[b, t, s], rows, queries, keys, mask.device)


def _blocks(sees: Rule, rows: int | None, queries: int, keys: int, device: torch.device) -> Any:
    from torch.nn.attention.flex_attention import create_block_mask

    return compiled(create_block_mask, device)(sees, rows, None, queries, keys, device=device)


def compiled(function: Callable[..., Any], device: torch.device) -> Callable[..., Any]:
    """``function`` compiled on GPUs, where FlexAttention writes down all pairs unless it is; once a process.

    Inside of what is being compiled it is compiled already.
    """
    if device.type != "cuda" or torch.compiler.is_compiling():
        return function
    return _compiled(function)


_compiled = functools.cache(torch.compile)
