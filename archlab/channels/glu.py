"""The gated linear unit."""

from typing import Any

from archlab.activations import Activation, GELUErf, SiLU
from archlab.inits import FanInNormal, Init
from archlab.layers import Linear
from archlab.spec import Channel, Example, Parts


class GLU(Channel):
    """y = (f(x W_gate) ⊙ x W_up) W_down  (https://arxiv.org/abs/2002.05202); f = SiLU gives SwiGLU."""

    hidden: int
    activation: Activation
    bias: bool
    init: Init = FanInNormal()
    out_init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.hidden > 0, "hidden", "must be > 0")

    def parts(self, width: int) -> Parts:
        return {
            "gate": Linear(features=self.hidden, axes="D F", bias=self.bias, init=self.init).at(width),
            "up": Linear(features=self.hidden, axes="D F", bias=self.bias, init=self.init).at(width),
            "activation": self.activation.at(self.hidden),
            "down": Linear(features=width, axes="F D", bias=self.bias, init=self.out_init).at(self.hidden),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return m.down(m.activation(m.gate(x, ctx), ctx) * m.up(x, ctx), ctx), state

    def saved(self, width: int, length: int) -> float:
        return 2.0 * self.hidden - width  # both factors; gate and up share one input

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(spec=cls(hidden=24, activation=SiLU(), bias=False)),
            Example(spec=cls(hidden=20, activation=GELUErf(), bias=True)),
        ]
