"""What token stands where: the head of masked language models."""

from typing import Any

from archlab.heads.transform import Transform
from archlab.inits import Zeros
from archlab.model import Head
from archlab.ops import tied
from archlab.spec import Cost, Example, OutputHead, Param, Parts


class MaskedTokenHead(OutputHead):
    """logits = transform(x) Eᵀ (+ b), E the embedding (BERT); with an ``out`` of its own transform(x) W (+ b).

    Without ``transform`` x itself is multiplied. ``bias`` says whether the tied logits have b (ModernBERT may leave it
    out); an ``out`` says so itself.
    """

    vocab: int
    transform: Transform | None
    out: Head | None = None
    bias: bool = True

    def check(self) -> None:
        self.require(self.vocab > 1, "vocab", "must be > 1")
        self.require(self.bias or not self.out, "bias", "is that of tied logits: an out has its own; leave it true")

    @property
    def classes(self) -> int:
        return self.vocab

    def params(self, width: int) -> dict[str, Param]:
        return {"bias": Param(shape=(self.vocab,), axes="V", init=Zeros())} if self.bias and not self.out else {}

    def parts(self, width: int) -> Parts:
        inner = self.transform.out(width) if self.transform else width
        if inner != width and not self.out:
            self.fail("transform", f"makes states of {inner}, which the embedding is not tied to; give an out")
        return {
            "transform": self.transform and self.transform.at(width),
            "out": self.out and self.out.linear(self.vocab).at(inner),
        }

    def forward(self, m: Any, x: Any, ctx: Any, table: Any) -> Any:
        x = m.transform(x, ctx) if self.transform else x
        return ctx.answer(lambda x: self.logits(m, x, ctx, table), x)

    def logits(self, m: Any, x: Any, ctx: Any, table: Any) -> Any:
        """(B, T, D) → (B, T, V)."""
        if self.out:
            return m.out(x, ctx)
        logits = tied(ctx, x, table)
        return logits + ctx.xp.astype(m.bias, x.dtype) if self.bias else logits

    def cost(self, width: int, length: int) -> Cost:
        return Cost() if self.out else Cost(weights=2.0 * width * self.vocab)

    def saved(self, width: int, length: int) -> float:
        return float(self.vocab + (0 if self.out else width))

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.models.encoder import Encoder

        return Encoder.examples()
