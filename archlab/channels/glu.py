"""The gated linear unit."""

from typing import Any

from archlab.activations import Activation, GELUErf, SiLU
from archlab.inits import FanInNormal, Init
from archlab.layers import Linear
from archlab.spec import Channel, Example, Parts


class GLU(Channel):
    """y = (f(s x W_gate) ⊙ (x W_up + c)) W_down · s'  (https://arxiv.org/abs/2002.05202); f = SiLU gives SwiGLU.

    limit
        f sees min(x W_gate, limit), and x W_up is clipped to ±limit (gpt-oss, https://arxiv.org/abs/2508.10925: 7).
    up_offset
        c (gpt-oss: 1).
    gate_scale, out_scale
        s and s' (Falcon-H1, https://arxiv.org/abs/2507.22448: what muP asks for); biases are multiplied too.
    """

    hidden: int
    activation: Activation
    bias: bool
    limit: float | None = None
    up_offset: float = 0.0
    gate_scale: float = 1.0
    out_scale: float = 1.0
    init: Init = FanInNormal()
    out_init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.hidden > 0, "hidden", "must be > 0")
        self.require(self.limit is None or self.limit > 0, "limit", "must be > 0 or null")

    def parts(self, width: int) -> Parts:
        return {
            "gate": Linear(features=self.hidden, axes="D F", bias=self.bias, init=self.init).at(width),
            "up": Linear(features=self.hidden, axes="D F", bias=self.bias, init=self.init).at(width),
            "activation": self.activation.at(self.hidden),
            "down": Linear(features=width, axes="F D", bias=self.bias, init=self.out_init).at(self.hidden),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return self.join(m, m.gate(x, ctx), m.up(x, ctx), ctx), state

    def join(self, m: Any, gate: Any, up: Any, ctx: Any) -> Any:
        """y from x W_gate and x W_up."""
        gate = gate if self.gate_scale == 1.0 else gate * self.gate_scale
        if self.limit is not None:
            gate = below(ctx.xp, gate, self.limit)
            up = -below(ctx.xp, -below(ctx.xp, up, self.limit), self.limit)
        up = up + self.up_offset if self.up_offset else up
        return self.leave(m, m.activation(gate, ctx) * up, ctx)

    def leave(self, m: Any, hidden: Any, ctx: Any) -> Any:
        """y from the gated values (..., F)."""
        y = m.down(hidden, ctx)
        return y if self.out_scale == 1.0 else y * self.out_scale

    @property
    def is_swiglu(self) -> bool:
        """Whether the gated values are silu(x W_gate) ⊙ (x W_up) and nothing else."""
        bare = self.gate_scale == 1.0 and self.limit is None and not self.up_offset
        return bare and type(self.activation) is SiLU

    def saved(self, width: int, length: int) -> float:
        return 2.0 * self.hidden - width  # both factors; gate and up share one input

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(spec=cls(hidden=24, activation=SiLU(), bias=False)),
            Example(spec=cls(hidden=20, activation=GELUErf(), bias=True)),
            Example(spec=cls(hidden=12, activation=SiLU(), bias=True, limit=0.7, up_offset=1.0)),
            Example(spec=cls(hidden=12, activation=SiLU(), bias=True, gate_scale=0.6, out_scale=1.7), width=8),
        ]


def below(xp: Any, x: Any, limit: float) -> Any:
    """min(x, limit), with a slope of 1 up to the limit and 0 beyond it in every framework."""
    return xp.where(x > limit, xp.full_like(x, limit), x)
