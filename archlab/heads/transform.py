"""The layer between a model's last hidden state and what is read from it."""

from typing import Any

from archlab.activations import Activation
from archlab.inits import FanInNormal, Init
from archlab.layers import Linear
from archlab.spec import Example, Map, Norm, Parts


class Transform(Map):
    """y = norm(f(x W (+ b))), W of shape (D, F); without ``norm`` f(…)  (BERT's pooler and its masked-token head).

    features
        F; None for D.
    """

    activation: Activation
    bias: bool
    norm: Norm | None = None
    features: int | None = None
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.features is None or self.features > 0, "features", "must be > 0, or null for the width")

    def out(self, width: int) -> int:
        """F in a model of ``width``."""
        return self.features or width

    def parts(self, width: int) -> Parts:
        return {
            "linear": Linear(features=self.out(width), axes="D F", bias=self.bias, init=self.init).at(width),
            "activation": self.activation.at(self.out(width)),
            "norm": self.norm and self.norm.at(self.out(width)),
        }

    def forward(self, m: Any, x: Any, ctx: Any) -> Any:
        y = m.activation(m.linear(x, ctx), ctx)
        return m.norm(y, ctx) if self.norm else y

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.activations import GELUErf, Tanh
        from archlab.norms import LayerNorm

        norm = LayerNorm(epsilon=1e-5, bias=True)
        return [
            Example(spec=cls(activation=Tanh(), bias=True)),
            Example(spec=cls(activation=GELUErf(), bias=False, norm=norm)),
            Example(spec=cls(activation=Tanh(), bias=True, features=10)),
        ]
