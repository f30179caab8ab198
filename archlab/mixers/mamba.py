"""Mamba."""

from collections.abc import Callable
from typing import Any

from archlab.activations import Activation, GELUTanh, SiLU
from archlab.inits import FanInNormal, Init, InverseSoftplus, LogRange, Ones
from archlab.layers import Linear
from archlab.mixers.short_conv import ShortConv
from archlab.norms import RMSNorm
from archlab.ops import softplus, upcast
from archlab.recurrence import continued, linear_scan
from archlab.spec import Cost, Example, Mixer, Norm, Param, Parts, State, substate, updated


class Mamba(Mixer):
    """A state of N numbers for each channel, all fading at rates of their own (S6, https://arxiv.org/abs/2312.00752).

    S_t = exp(−A Δ_t) ⊙ S_{t−1} + (Δ_t u_t) b_tᵀ;  o_t = S_t c_t + d ⊙ u_t;  Δ_t = softplus(s_t W_Δ + β)
    y_t = (o_t ⊙ f(x_t W_gate)) W_out

    u is x W_in through a short convolution and f; s (``step_rank`` numbers), b and c (N) are matrices times u. The
    state starts at 0 in every document. Official code → here: ``in_proj`` → ``value`` beside ``gate``, ``x_proj`` →
    ``step_down``, ``key`` and ``query``, ``dt_proj`` → ``step`` and ``step_bias``, ``A_log`` → ``log_rate``, ``D`` →
    ``skip``.

    hidden
        Channels; the paper has twice the width.
    gate
        The second f, where it is another one than the first; None for the same.
    state_norm
        Of s, b and c; None for none (Jamba and Falcon Mamba have one).
    rate, step_bias
        The laws of log A and of β.
    """

    hidden: int
    state_size: int
    step_rank: int
    conv: ShortConv | None = ShortConv(taps=4, bias=True)
    activation: Activation = SiLU()
    gate: Activation | None = None
    state_norm: Norm | None = None
    bias: bool = False
    rate: Init = LogRange()
    step_bias: Init = InverseSoftplus(low=1e-3, high=0.1)
    init: Init = FanInNormal()

    def check(self) -> None:
        for name in ("hidden", "state_size", "step_rank"):
            self.require(getattr(self, name) > 0, name, "must be > 0")

    def params(self, width: int) -> dict[str, Param]:
        shape = (self.hidden, self.state_size)
        return {
            "log_rate": Param(shape=shape, axes="F N", init=self.rate),
            "step_bias": Param(shape=(self.hidden,), axes="F", init=self.step_bias),
            "skip": Param(shape=(self.hidden,), axes="F", init=Ones()),
        }

    def parts(self, width: int) -> Parts:
        def linear(features: int, axes: str, bias: bool = False) -> Linear:
            return Linear(features=features, axes=axes, bias=bias, init=self.init)

        def norm(size: int) -> Any:
            return self.state_norm and self.state_norm.at(size)

        enter, state = linear(self.hidden, "D F", self.bias).at(width), linear(self.state_size, "F N").at(self.hidden)
        return {
            "value": enter,
            "gate": enter,
            "conv": self.conv and self.conv.at(self.hidden),
            "activation": self.activation.at(self.hidden),
            "gate_activation": self.gate and self.gate.at(self.hidden),
            "step_down": linear(self.step_rank, "F R").at(self.hidden),
            "key": state,
            "query": state,
            "step_norm": norm(self.step_rank),
            "key_norm": norm(self.state_size),
            "query_norm": norm(self.state_size),
            "step": linear(self.hidden, "R F").at(self.step_rank),
            "out": linear(width, "F D", self.bias).at(self.hidden),
        }

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        return {
            "memory": State(shape=(batch, self.hidden, self.state_size), axes="B F N"),
            "segment": State(shape=(batch,), axes="B", dtype="int"),
        }

    def forward(
        self, m: Any, x: Any, ctx: Any, state: Any, selective: Callable[..., Any] | None = None
    ) -> tuple[Any, Any]:
        """The definition; a native form passes its own :func:`selective_scan`."""
        xp = ctx.xp
        step, u, b, c, same, state = self.project(m, x, ctx, state)
        rate = xp.exp(xp.astype(m.log_rate, step.dtype))
        empty = xp.zeros_like(step[:, 0, :, None] * rate)
        memory = empty if state is None else xp.astype(state["memory"], step.dtype)
        o, memory = (selective or selective_scan)(ctx, step, u, rate, b, c, same, memory)
        return self.read(m, o, u, x, ctx), updated(state, memory=memory)

    def project(self, m: Any, x: Any, ctx: Any, state: Any) -> Any:
        """Δ and u (B, T, F), b and c (B, T, N), whether a token's document is that of the one before (B, T), state."""
        xp, u = ctx.xp, m.value(x, ctx)
        if self.conv:
            u, inner = m.conv(u, ctx, substate(state, "conv"))
            state = updated(state, conv=inner)
        u = m.activation(u, ctx)
        low = {name: getattr(m, name)(u, ctx) for name in ("step_down", "key", "query")}
        if self.state_norm:
            norms = {"step_down": m.step_norm, "key": m.key_norm, "query": m.query_norm}
            low = {name: norms[name](a, ctx) for name, a in low.items()}
        step = upcast(xp, m.step(low["step_down"], ctx))
        step = softplus(xp, step + xp.astype(m.step_bias, step.dtype))
        segments, same = continued(ctx, state)
        u, b, c = (upcast(xp, a) for a in (u, low["key"], low["query"]))
        return step, u, b, c, same, updated(state, segment=segments[:, -1])

    def read(self, m: Any, o: Any, u: Any, x: Any, ctx: Any) -> Any:
        """(B, T, D) from S_t c_t (B, T, F)."""
        xp = ctx.xp
        o = o + xp.astype(m.skip, u.dtype) * u
        gate = m.gate_activation if self.gate else m.activation
        return m.out(xp.astype(o, x.dtype) * gate(m.gate(x, ctx), ctx), ctx)

    def cost(self, width: int, length: int) -> Cost:
        each = 6.0 * self.hidden * self.state_size  # the decay, the write, the read
        return Cost(visible=each, executed=each)

    def saved(self, width: int, length: int) -> float:
        return self.hidden * (3.0 * self.state_size + 5.0)

    @classmethod
    def examples(cls) -> list[Example]:
        base = cls(hidden=6, state_size=3, step_rank=2)
        normed = base.replace(state_norm=RMSNorm(epsilon=1e-2), conv=None, bias=True, gate=GELUTanh())
        return [Example(spec=base, width=8, length=20), Example(spec=normed, width=8)]


def selective_scan(
    ctx: Any, step: Any, u: Any, rate: Any, b: Any, c: Any, same: Any, memory: Any,
    scan: Callable[..., Any] | None = None,
) -> tuple[Any, Any]:  # fmt: skip
    """S_t c_t (B, T, F) and the last S, with every S_t (B, T, F, N) in memory; ``scan`` is the recurrence.

    Δ and u (B, T, F), A (F, N), b and c (B, T, N), ``same`` (B, T), S (B, F, N).
    """
    xp = ctx.xp
    keep = xp.exp(-step[..., None] * rate)
    keep = xp.where(same[..., None, None], keep, xp.zeros_like(keep))
    add = (step * u)[..., None] * b[:, :, None, :]
    memories = scan(keep, add, memory) if scan else linear_scan(ctx, keep, add, memory)
    return xp.sum(memories * c[:, :, None, :], axis=-1), memories[:, -1]
