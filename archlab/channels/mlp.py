"""The two-layer perceptron."""

from typing import Any

from archlab.activations import Activation, GELUTanh, ReLU
from archlab.inits import FanInNormal, Init
from archlab.layers import Linear
from archlab.spec import Channel, Example, Parts


class MLP(Channel):
    """y = f(x W_up + b) W_down + b', with ``hidden`` = F units and f the activation."""

    hidden: int
    activation: Activation
    bias: bool
    init: Init = FanInNormal()
    out_init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.hidden > 0, "hidden", "must be > 0")

    def parts(self, width: int) -> Parts:
        return {
            "up": Linear(features=self.hidden, axes="D F", bias=self.bias, init=self.init).at(width),
            "activation": self.activation.at(self.hidden),
            "down": Linear(features=width, axes="F D", bias=self.bias, init=self.out_init).at(self.hidden),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        return m.down(m.activation(m.up(x, ctx), ctx), ctx), state

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        return [
            Example(spec=cls(hidden=24, activation=GELUTanh(), bias=True)),
            Example(spec=cls(hidden=40, activation=ReLU(), bias=False)),
        ]
