"""A linear map through a narrow middle."""

from typing import Any

from archlab.activations import Activation, Tanh
from archlab.inits import FanInNormal, Init
from archlab.layers import Linear
from archlab.spec import Example, Map, Parts


class LowRank(Map):
    """y = f(x A) B (+ b), with ``rank`` columns in A; f is the identity where there is no ``activation``."""

    rank: int
    features: int
    axes: str
    bias: bool
    activation: Activation | None = None
    init: Init = FanInNormal()
    up_init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.rank > 0, "rank", "must be > 0")

    def parts(self, width: int) -> Parts:
        enter, leave = self.axes.split()
        down = Linear(features=self.rank, axes=f"{enter} R", bias=False, init=self.init)
        up = Linear(features=self.features, axes=f"R {leave}", bias=self.bias, init=self.up_init)
        return {
            "down": down.at(width),
            "activation": self.activation and self.activation.at(self.rank),
            "up": up.at(self.rank),
        }

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        x = m.down(x, ctx)
        return m.up(m.activation(x, ctx) if self.activation else x, ctx)

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=cls(rank=3, features=10, axes="D F", bias=True, activation=Tanh()))]
