"""Recurrences in chunks of the sequence: how a state fades inside a chunk, and from one chunk to the next."""

from typing import Any

import torch
import torch.nn.functional as F

from archlab.chunks import ChannelFades, Fades


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
