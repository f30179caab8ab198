"""Where in a text an answer begins and where it ends."""

from typing import Any

from archlab.heads.transform import Transform
from archlab.inits import FanInNormal, Init
from archlab.layers import Dropout, Linear
from archlab.spec import Example, OutputHead, Parts


class SpanHead(OutputHead):
    """(b_t, e_t) = drop(transform(x_t)) W + b: the logits of an answer's first token and of its last one being token t.

    Each is a softmax over the tokens of a document (BERT on SQuAD, https://arxiv.org/abs/1810.04805, section 4.2).
    """

    transform: Transform | None = None
    dropout: float = 0.0
    bias: bool = True
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(0 <= self.dropout < 1, "dropout", "must lie in [0, 1)")

    @property
    def classes(self) -> int:
        return 2

    def parts(self, width: int) -> Parts:
        inner = self.transform.out(width) if self.transform else width
        return {
            "transform": self.transform and self.transform.at(width),
            "dropout": Dropout(rate=self.dropout).at(inner) if self.dropout else None,
            "out": Linear(features=2, axes="D V", bias=self.bias, init=self.init).at(inner),
        }

    def forward(self, m: Any, x: Any, ctx: Any, table: Any) -> Any:
        x = m.transform(x, ctx) if self.transform else x
        x = m.dropout(x, ctx) if self.dropout else x
        return m.out(x, ctx)

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.activations import GELUErf
        from archlab.models.encoder import encoder_example

        transform = Transform(activation=GELUErf(), bias=False)
        return [
            encoder_example(head=cls()),
            encoder_example(head=cls(transform=transform, dropout=0.2, bias=False)),
        ]
