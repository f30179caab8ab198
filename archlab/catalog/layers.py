"""How a pattern of layers comes to a number of them."""

from archlab.spec import Layer
from archlab.stack import Stack


def stacked(count: int, *pattern: Layer, first: tuple[Layer, ...] = ()) -> Stack:
    """``count`` layers: those of ``first``, then the pattern over and over, cut off where the number is reached."""
    repeat, rest = divmod(count - len(first), len(pattern))
    if repeat < 1:  # one turn is not filled
        return Stack(first=first, pattern=pattern[: max(rest, 1)], repeat=1)
    return Stack(first=first, pattern=pattern, repeat=repeat, tail=pattern[:rest])
