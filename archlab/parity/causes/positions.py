"""Positions and documents taken another way."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from archlab import rotary
from archlab.mixers.attention import Attention
from archlab.ops import angles
from archlab.parity.causes import cause
from archlab.parity.trials import ForwardTrial, places, respecified, rounded, with_fields
from archlab.positions import SinusoidalPositions
from archlab.rotary import RoPE
from archlab.score_bias import ALiBi

OTHER = {"half": "interleaved", "interleaved": "half"}


@cause(ForwardTrial)
def another_layout(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Entries paired as neighbours in place of halves, or the other way round."""

    def swap(old: Any) -> tuple[str, Any]:
        new = OTHER[old.layout]
        return f"positions pair entries {new!r} in place of {old.layout!r}", old.replace(layout=new)

    yield from respecified(trial, (RoPE, SinusoidalPositions), swap)


@cause(ForwardTrial)
def another_rotation(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Another base, another share of the head, no scaling, no rotation, the other direction."""
    for theta in (1e4, 5e5, 1e6, 1e7):

        def base(old: Any, theta: float = theta) -> tuple[str, Any]:
            return f"theta is {theta:g} in place of {old.theta:g}", old.replace(theta=theta)

        yield from respecified(trial, RoPE, base)
    for share in (1.0, 0.5, 0.25):

        def part(old: Any, share: float = share) -> tuple[str, Any]:
            return f"{share:.0%} of each head is rotated in place of {old.fraction:.0%}", old.replace(fraction=share)

        yield from respecified(trial, RoPE, part)
    yield from with_fields(trial, RoPE, "the scaling of rotary positions is missing", scaling=None)
    yield from with_fields(trial, Attention, "rotary positions are missing", rotary=None)
    if any(places(trial.spec, RoPE)):
        yield trial.patched("rotary positions turn the other way", rotary, "angles", lambda *args: -angles(*args))


@cause(ForwardTrial)
def one_rotated(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Queries and keys not treated alike, or values too."""
    arrange = Attention.arrange

    def with_rotated(names: str) -> Any:
        def wrong(self: Attention, m: Any, q: Any, k: Any, v: Any, ctx: Any) -> Any:
            plain = arrange(self.replace(rotary=None), m, q, k, v, ctx)
            turned = [m.rotary(a, ctx) for a in plain] if self.rotary else plain
            return tuple(t if name in names else p for name, p, t in zip("qkv", plain, turned, strict=True))

        return wrong

    if any(places(trial.spec, RoPE)):
        ways = {"queries alone are": "q", "keys alone are": "k", "queries, keys and values are": "qkv"}
        for words, names in ways.items():
            yield trial.patched(f"{words} rotated", Attention, "arrange", with_rotated(names))


@cause(ForwardTrial)
def another_slope(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """ALiBi's slopes over another range, or with the other sign."""
    for span in (4.0, 8.0, 16.0):

        def swap(old: Any, span: float = span) -> tuple[str, Any]:
            words = f"ALiBi's slopes go down to 2^-{span:g} in place of 2^-{old.slope_range:g}"
            return words, old.replace(slope_range=span)

        yield from respecified(trial, ALiBi, swap)
    if any(places(trial.spec, ALiBi)):
        slopes = ALiBi.slopes
        words = "ALiBi's slopes have the other sign: far tokens count more"
        yield trial.patched(words, ALiBi, "slopes", lambda self, heads: -slopes(self, heads))


@cause(ForwardTrial)
def phases_in_low_precision(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Positions or phases in bfloat16, which cannot hold integers above 256."""

    def of_positions(ctx: Any, positions: Any, rates: Any, like: Any) -> Any:
        return angles(ctx, rounded(positions), rates, like)

    def of_all(ctx: Any, positions: Any, rates: Any, like: Any) -> Any:
        return rounded(rounded(positions)[..., None] * rounded(rates))

    if any(places(trial.spec, RoPE)):
        yield trial.patched("positions are rounded to bfloat16", rotary, "angles", of_positions)
        yield trial.patched("rotary phases are computed in bfloat16", rotary, "angles", of_all)


@cause(ForwardTrial)
def another_count(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Positions off by one, or not starting over in each document."""
    shape = np.shape(trial.inputs["tokens"]) if "tokens" in trial.inputs else np.shape(trial.inputs["x"])[:2]
    along = np.broadcast_to(np.arange(shape[1]), shape)
    given = trial.inputs.get("positions")
    now = along if given is None else given
    yield trial.but("positions are one too high", inputs=trial.inputs | {"positions": now + 1})
    if given is not None:
        yield trial.but("positions do not start over in each document", inputs=trial.inputs | {"positions": along})


@cause(ForwardTrial)
def documents_leak(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Documents of a row see each other; the prefix is forgotten."""
    forgotten = {
        "segments": "tokens see other documents of their row",
        "prefix": "the prefix is not seen from before it ends",
    }
    for name, words in forgotten.items():
        if trial.inputs.get(name) is not None:
            yield trial.but(words, inputs={k: v for k, v in trial.inputs.items() if k != name})
