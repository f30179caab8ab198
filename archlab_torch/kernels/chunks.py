"""Recurrences in chunks of the sequence: how a state fades inside a chunk, and from one chunk to the next."""

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F

SIZE = 64


class Fades(NamedTuple):
    """How much is left of what was written: (N, B, H, C, C), (N, B, H, C, 1), (N, B, H, C, 1), (N, B, H, 1, 1).

    within
        From token j of a chunk to token i; 0 where i is earlier, or in another document.
    before, after, across
        From the chunk's start to token i; from token j to its end; from start to end.
    """

    within: Any
    before: Any
    after: Any
    across: Any


def split(a: Any, size: int) -> Any:
    """(B, T, H, …) → (N, B, H, C, …), the last chunk filled up with zeros."""
    a = F.pad(a, (0, 0, 0, 0, 0, -a.shape[1] % size))
    return a.unflatten(1, (-1, size)).permute(1, 0, 3, 2, 4)


def join(a: Any, length: int) -> Any:
    """(N, B, H, C, …) → (B, T, H, …)."""
    return a.permute(1, 0, 3, 2, 4).flatten(1, 2)[:, :length]


def fades(decay: Any, same: Any, size: int) -> Fades:
    """From log α (B, T, H) and whether a token goes on with the one before (B, T).

    Each entry is summed by itself: differences of one running sum would cancel, and carry other documents' rounding.
    """
    new = (~same).to(decay.dtype)[..., None].expand_as(decay)
    decay, new = split(decay[..., None], size), split(new[..., None], size)
    document = new.cumsum(-2)  # counted from 0 in each chunk
    seen = (document == document.mT).tril()
    within = torch.where(seen, torch.where(seen.tril(-1), decay, 0).cumsum(-2).exp(), 0)
    first = document == 0
    before = torch.where(first, torch.where(first, decay, 0).cumsum(-2).exp(), 0)
    return Fades(within, before, within[..., -1:, :].mT, before[..., -1:, :])


class ChannelFades(NamedTuple):
    """How much is left in each key channel, as factors: what j wrote has faded by since_i · back_j when i reads it.

    since, until, back, after
        (N, B, H, C, K): from the first token of i's document in this chunk to i, i's own fading included; the same
        without it; the inverse of ``since``; from j to the chunk's end, 0 where another document has begun.
    seen, earlier
        (N, B, 1, C, C): whether j is in i's document and not later; and not i itself.
    first
        (N, B, 1, C, 1): 1 where i's document is the one that the chunk began in, else 0.
    across
        (N, B, H, 1, K): from the chunk's start to its end.
    """

    since: Any
    until: Any
    back: Any
    after: Any
    seen: Any
    earlier: Any
    first: Any
    across: Any


def channel_fades(decay: Any, same: Any, size: int) -> ChannelFades:
    """From log w (B, T, H, K), whose sum over ``size`` tokens has an inverse, and ``same`` (B, T)."""
    decay, new = split(decay, size), split((~same).to(decay.dtype)[..., None, None], size)
    document = new.cumsum(-2)  # counted from 0 in each chunk
    seen = (document == document.mT).tril()
    earlier = seen.tril(-1)
    until = earlier.to(decay.dtype) @ decay
    total = seen.to(decay.dtype) @ decay
    first = (document == 0).to(decay.dtype)
    after = torch.where(document == document[..., -1:, :], (total[..., -1:, :] - total).exp(), 0)
    across = first[..., -1:, :] * total[..., -1:, :].exp()
    return ChannelFades(total.exp(), until.exp(), (-total).exp(), after, seen, earlier, first, across)
