"""Which keys a query may see: one function of positions and documents."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

Visibility = Literal["causal", "bidirectional", "prefix"]


@dataclass(frozen=True, kw_only=True)
class Sight:
    """What a query sees of its own document by where it and the key stand.

    visibility
        "causal": s ≤ t. "prefix": s ≤ t or s in the document's prefix. "bidirectional": everything.
    window
        w: |t − s| < w, so a token sees w positions with its own.
    chunk
        c: query and key stand in the same c positions of their document.
    """

    visibility: Visibility
    window: int | None = None
    chunk: int | None = None

    @property
    def whole(self) -> bool:
        """Whether a row of one document needs no mask but, at most, the causal one."""
        return self.window is None and self.chunk is None and self.visibility != "prefix"

    def allows(self, queries: Any, keys: Any, prefix: Any = None) -> Any:
        """Whether queries at positions see keys at positions, arrays whose shapes fit; True where they always do."""
        seen: Any = True
        if self.visibility != "bidirectional":
            seen = keys <= queries
            if self.visibility == "prefix" and prefix is not None:
                seen = seen | (keys < prefix)
        if self.window is not None:
            seen = seen & (abs(queries - keys) < self.window)
        if self.chunk is not None:
            seen = seen & (queries // self.chunk == keys // self.chunk)
        return seen


@dataclass(frozen=True, kw_only=True)
class Seen:
    """Which keys the queries of one call see, in the forms that kernels take.

    mask
        Makes (B, T, S) booleans; None where ``causal`` says it all (T = S) or everything is seen.
    sight, ctx
        The rule behind it where queries and keys are the tokens of ``ctx``; None where keys are others, as of a cache.
    """

    mask: Callable[[], Any] | None = None
    causal: bool = False
    sight: Sight | None = None
    ctx: Any = None

    @classmethod
    def own(cls, ctx: Any, sight: Sight, mask: Callable[[], Any]) -> "Seen":
        """What the tokens of ``ctx`` see of each other."""
        whole = ctx.plain and sight.whole
        return cls(mask=None if whole else mask, causal=whole and sight.visibility == "causal", sight=sight, ctx=ctx)

    def dense(self) -> Any:
        """(B, T, S), or None."""
        return None if self.mask is None else self.mask()


def visible(ctx: Any, sight: Sight, key_positions: Any, key_segments: Any) -> Any:
    """(B, T, S) booleans: true where query t may see key s: within one document, never padding (segment 0)."""
    prefix = None if ctx.prefix is None else ctx.prefix[:, :, None]
    allowed = sight.allows(ctx.positions[:, :, None], key_positions[:, None, :], prefix)
    return same_document(ctx, key_segments) & allowed


def same_document(ctx: Any, key_segments: Any) -> Any:
    """(B, T, S) booleans: true where query and key are of one document, and of one at all."""
    keys = key_segments[:, None, :]
    return (ctx.documents[:, :, None] == keys) & (keys > 0)


def sees_later(visibility: Visibility) -> str | None:
    """See :meth:`archlab.spec.Spec.sees_later`."""
    if visibility != "bidirectional":
        return None
    return (
        "visibility 'bidirectional' sees the token that is to be predicted; "
        "set it to 'causal' to train on next tokens and to generate"
    )


def visible_pairs(visibility: Visibility, window: int | None, length: int, chunk: int | None = None) -> float:
    """How many keys a query sees on average in one full document of ``length``."""
    if chunk is not None and chunk < length:
        whole, rest = length // chunk, length % chunk
        pairs = whole * chunk * visible_pairs(visibility, window, chunk)
        return (pairs + rest * visible_pairs(visibility, window, rest)) / length if rest else pairs / length
    reach = min(window or length, length)
    back = (reach * (reach + 1) / 2 + (length - reach) * reach) / length  # Σ min(t, reach) / length
    return back if visibility != "bidirectional" else min(2 * back - 1, length)
