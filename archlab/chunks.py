"""Recurrences in chunks of the sequence: how long a chunk is, and how a state fades within one."""

from typing import Any, NamedTuple

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
