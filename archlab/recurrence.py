"""What mixers with a recurrent state share: where documents begin, and how a state fades."""

from collections.abc import Callable
from typing import Any

from archlab.config import Config
from archlab.inits import Init, InverseSoftplus, LogUniform
from archlab.ops import softplus, upcast
from archlab.spec import Param, State, updated


def continued(ctx: Any, state: Any) -> tuple[Any, Any]:
    """(B, T) documents, and whether each token goes on with that of the token before it.

    The state of a mixer remembers the last token's document as "segment"; before the first there is none.
    """
    xp, segments = ctx.xp, ctx.documents
    last = xp.zeros_like(segments[:, 0]) if state is None else xp.astype(state["segment"], segments.dtype)
    return segments, segments == xp.concat([last[:, None], segments[:, :-1]], axis=1)


Recurrence = Callable[..., tuple[Any, Any]]
"""(outputs, last memory) of a mixer's inputs and its first memory: a parallel form of what it does token by token."""


def first_memory(ctx: Any, state: Any, v: Any, k: Any) -> Any:
    """The memory (B, H, V, K) before the first token, for values (B, T, H, V) and keys (B, T, H, K)."""
    if state is None:
        return ctx.xp.zeros_like(v[:, 0, :, :, None] * k[:, 0, :, None, :])
    return ctx.xp.astype(state["memory"], v.dtype)


def linear_scan(ctx: Any, keep: Any, add: Any, start: Any) -> Any:
    """h_t = keep_t ⊙ h_{t−1} + add_t along axis 1 of (B, T, …), from ``start`` (B, …), token by token."""

    def step(h: Any, inputs: Any) -> tuple[Any, Any]:
        keep, add = inputs
        h = keep * h + add
        return h, h

    return ctx.scan(step, start, (keep, add))[1]


def shifted(ctx: Any, x: Any, state: Any) -> tuple[Any, Any, Any]:
    """Token shift: x_{t−1} (B, T, D), 0 where a document begins; whether it goes on (B, T); and the state.

    Its "last" is x of the last token.
    """
    xp = ctx.xp
    segments, same = continued(ctx, state)
    last = xp.zeros_like(x[:, :1]) if state is None else xp.astype(state["last"], x.dtype)[:, None]
    before = xp.concat([last, x[:, :-1]], axis=1)
    before = xp.where(same[..., None], before, xp.zeros_like(before))
    return before, same, updated(state, last=x[:, -1], segment=segments[:, -1])


def mixed(ctx: Any, x: Any, before: Any, share: Any) -> Any:
    """x + μ ⊙ (x_{t−1} − x), μ (D), computed in float32 at least and rounded once."""
    xp, wide = ctx.xp, upcast(ctx.xp, x)
    return xp.astype(wide + (upcast(xp, before) - wide) * xp.astype(share, wide.dtype), x.dtype)


def shift_state(width: int, batch: int) -> dict[str, State]:
    """What :func:`shifted` and :func:`continued` remember."""
    return {
        "last": State(shape=(batch, width), axes="B D"),
        "segment": State(shape=(batch,), axes="B", dtype="int"),
    }


class Decay(Config):
    """α_t = exp(−A Δ_t), Δ_t = softplus(s_t + b), for each head: how much of its state is kept (Mamba-2's form).

    rate
        The law of log A, which is what is stored.
    step
        The law of b.
    lowest, highest
        What Δ is clipped to; None for no highest.
    """

    rate: Init = LogUniform(low=1.0, high=16.0)
    step: Init = InverseSoftplus(low=1e-3, high=0.1)
    lowest: float = 0.0
    highest: float | None = None

    def check(self) -> None:
        self.require(self.lowest >= 0, "lowest", "must be ≥ 0")
        self.require(self.highest is None or self.highest > self.lowest, "highest", f"must exceed {self.lowest}")

    def params(self, heads: int) -> dict[str, Param]:
        """The parameters of the mixer that has this decay: log A and b."""
        return {
            "log_rate": Param(shape=(heads,), axes="H", init=self.rate),
            "step_bias": Param(shape=(heads,), axes="H", init=self.step),
        }

    def log(self, m: Any, step: Any, ctx: Any) -> tuple[Any, Any]:
        """log α and Δ (B, T, H) from s (B, T, H), in float32 at least."""
        xp, step = ctx.xp, upcast(ctx.xp, step)
        step = step + xp.astype(m.step_bias, step.dtype)
        step = self.clipped(xp, softplus(xp, step))
        return -xp.exp(xp.astype(m.log_rate, step.dtype)) * step, step

    def clipped(self, xp: Any, step: Any) -> Any:
        """Δ between its bounds."""
        step = xp.where(step < self.lowest, xp.full_like(step, self.lowest), step) if self.lowest else step
        return step if self.highest is None else xp.where(step > self.highest, xp.full_like(step, self.highest), step)
