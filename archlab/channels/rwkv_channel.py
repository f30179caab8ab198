"""RWKV's channel mixing."""

from typing import Any

from archlab.activations import Activation, SquaredReLU
from archlab.inits import FanInNormal, Init, Uniform
from archlab.layers import Linear
from archlab.recurrence import mixed, shift_state, shifted
from archlab.spec import Channel, Example, Param, Parts, State


class RWKVChannel(Channel):
    """y_t = f((x_t + μ ⊙ (x_{t−1} − x_t)) W_in) W_out  (RWKV-7, https://arxiv.org/abs/2503.14456; ``x_k`` is μ)."""

    hidden: int
    activation: Activation = SquaredReLU()
    mix: Init = Uniform(low=0.0, high=1.0)
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.hidden > 0, "hidden", "must be > 0")

    def params(self, width: int) -> dict[str, Param]:
        return {"mix": Param(shape=(width,), axes="D", init=self.mix)}

    def parts(self, width: int) -> Parts:
        return {
            "up": Linear(features=self.hidden, axes="D F", bias=False, init=self.init).at(width),
            "activation": self.activation.at(self.hidden),
            "down": Linear(features=width, axes="F D", bias=False, init=self.init).at(self.hidden),
        }

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        return shift_state(width, batch)

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        before, _, state = shifted(ctx, x, state)
        x = mixed(ctx, x, before, m.mix)
        return m.down(m.activation(m.up(x, ctx), ctx), ctx), state

    @classmethod
    def examples(cls) -> list[Example]:
        return [Example(spec=cls(hidden=12), width=8)]
