"""The real-gated linear recurrent unit, in Griffin's recurrent block."""

from collections.abc import Callable
from typing import Any, Literal

from archlab.activations import Activation, GELUTanh, Identity
from archlab.block_linear import BlockLinear
from archlab.inits import Constant, FanInNormal, Init, Uniform
from archlab.layers import Linear
from archlab.mixers.short_conv import ShortConv
from archlab.ops import sigmoid, softplus, upcast
from archlab.recurrence import continued, linear_scan
from archlab.spec import Cost, Example, Mixer, Param, Parts, State, substate, updated


class RGLRU(Mixer):
    """A gated diagonal recurrence beside a gate (https://arxiv.org/abs/2402.19427).

    u = conv(x W_in);  r_t = σ(R u_t);  i_t = σ(I u_t);  log a_t = −c · softplus(Λ) ⊙ r_t
    h_t = a_t ⊙ h_{t−1} + √(1 − a_t²) ⊙ i_t ⊙ u_t;  y = (h ⊙ f(x W_gate)) W_out

    R and I are block-diagonal. h starts at 0 in every document. Paper → here: Λ has the sign of RecurrentGemma's
    ``a_param``, a = σ(−Λ); its block widths are ``heads``.

    power
        c.
    first
        What the first token of a document is multiplied with: "whole" is 1 (RecurrentGemma), "scaled" √(1 − a²).
    decay
        The law of Λ.
    init, out_init
        The laws of the matrices, and of W_out where it has one of its own.
    """

    hidden: int
    heads: int
    bias: bool
    power: float = 8.0
    first: Literal["whole", "scaled"] = "whole"
    conv: ShortConv | None = ShortConv(taps=4, bias=True)
    gate: Activation | None = GELUTanh()
    decay: Init = Uniform(low=-9.0, high=-4.3)
    init: Init = FanInNormal()
    out_init: Init | None = None

    def check(self) -> None:
        self.require(self.hidden > 0, "hidden", "must be > 0")
        divides = self.heads > 0 and self.hidden % self.heads == 0
        self.require(divides, "heads", f"must divide hidden = {self.hidden}")
        self.require(self.power > 0, "power", "must be > 0")

    def params(self, width: int) -> dict[str, Param]:
        return {"decay": Param(shape=(self.hidden,), axes="HK", init=self.decay)}

    def parts(self, width: int) -> Parts:
        enter = Linear(features=self.hidden, axes="D HK", bias=self.bias, init=self.init).at(width)
        block = BlockLinear(blocks=self.heads, bias=True, init=self.init).at(self.hidden)
        return {
            "value": enter,
            "gate": enter if self.gate else None,
            "conv": self.conv and self.conv.at(self.hidden),
            "keep": block,
            "input": block,
            "activation": self.gate and self.gate.at(self.hidden),
            "out": Linear(features=width, axes="HK D", bias=self.bias, init=self.out_init or self.init).at(self.hidden),
        }

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        return {
            "hidden": State(shape=(batch, self.hidden), axes="B HK"),
            "segment": State(shape=(batch,), axes="B", dtype="int"),
        }

    def forward(
        self, m: Any, x: Any, ctx: Any, state: Any, parallel: Callable[..., Any] | None = None
    ) -> tuple[Any, Any]:
        """The definition; a native form passes a ``parallel`` form of the scan."""
        keep, add, hidden, segments, state = self.project(m, x, ctx, state)
        h = parallel(keep, add, hidden) if parallel else linear_scan(ctx, keep, add, hidden)
        return self.read(m, h, x, ctx), updated(state, hidden=h[:, -1], segment=segments[:, -1])

    def project(self, m: Any, x: Any, ctx: Any, state: Any) -> Any:
        """a_t, which is 0 where a document begins, and what is added to it (B, T, HK); h before; documents; state."""
        xp = ctx.xp
        u = m.value(x, ctx)
        if self.conv:
            u, inner = m.conv(u, ctx, substate(state, "conv"))
            state = updated(state, conv=inner)
        keep, enter = (sigmoid(xp, upcast(xp, part(u, ctx))) for part in (m.keep, m.input))
        decay = xp.astype(m.decay, keep.dtype)
        log_keep = -self.power * keep * softplus(xp, decay)
        segments, same = continued(ctx, state)
        goes_on = same[..., None]
        share = xp.sqrt(-xp.expm1(2.0 * log_keep))
        share = xp.where(goes_on, share, xp.ones_like(share)) if self.first == "whole" else share
        keep = xp.where(goes_on, xp.exp(log_keep), xp.zeros_like(log_keep))
        add = share * enter * upcast(xp, u)
        before = xp.zeros_like(add[:, 0]) if state is None else xp.astype(state["hidden"], add.dtype)
        return keep, add, before, segments, state

    def read(self, m: Any, h: Any, x: Any, ctx: Any) -> Any:
        """(B, T, D) from h (B, T, HK)."""
        y = ctx.xp.astype(h, x.dtype)
        return m.out(y * m.activation(m.gate(x, ctx), ctx) if self.gate else y, ctx)

    def cost(self, width: int, length: int) -> Cost:
        return Cost(visible=2.0 * self.hidden, executed=2.0 * self.hidden)

    def saved(self, width: int, length: int) -> float:
        return 4.0 * self.hidden

    @classmethod
    def examples(cls) -> list[Example]:
        base = cls(hidden=12, heads=3, bias=True)
        bare = base.replace(conv=None, gate=None, bias=False, first="scaled", decay=Constant(value=-2.0))
        return [Example(spec=base, length=20), Example(spec=bare), Example(spec=base.replace(gate=Identity()))]
