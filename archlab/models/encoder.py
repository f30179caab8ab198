"""Models that read a whole sequence at once: BERT, ModernBERT, ViT."""

from typing import Any

from archlab.model import Model, positions_in
from archlab.spec import Example, Front, Input, OutputHead, Parts, shared_parts
from archlab.tower import Tower


class Encoder(Model):
    """y = head(tower(front(inputs))), (B, T, C); without a head the last hidden states (B, T, D).

    front
        What makes a sequence of the inputs: :class:`archlab.fronts.tokens.Tokens`, or patches of an image.
    tower
        Its layers. They have no decoding state: what is read is whole.
    head
        What is read from it, see :mod:`archlab.heads`. One that is tied multiplies with the front's token table.
    """

    front: Front
    tower: Tower
    head: OutputHead | None = None

    def check(self) -> None:
        super().check()
        vocab = getattr(self.head, "vocab", None)
        if vocab is not None and vocab != self.vocabulary():
            self.fail("head", f"has the vocabulary {vocab}, the front {self.vocabulary()}; they must be equal")
        if self._reads_tokens and self.vocabulary() is None:
            self.fail("head", "pools at a token, but the front reads none")

    @property
    def _reads_tokens(self) -> bool:
        return getattr(self.head, "reads_tokens", False)

    def inputs(self) -> dict[str, Input]:
        return self.front.inputs()

    def span(self, shapes: dict[str, tuple[int, ...]]) -> tuple[int, int]:
        return self.front.span(shapes)

    def limit(self, sequence: str = "T") -> int | None:
        return positions_in(self.tower.at(self.width))

    def classes(self) -> int:
        transform = getattr(self.head, "transform", None)
        return getattr(self.head, "classes", None) or (transform.out(self.width) if transform else self.width)

    def stateless(self) -> tuple[str, ...]:
        return ("tower",)

    def sees_later(self) -> str | None:
        return "an Encoder reads a sequence at once, the token that is to be predicted too; use a LanguageModel"

    def parts(self, width: int) -> Parts:
        parts: Parts = {
            "front": self.front.at(width),
            "tower": self.tower.at(width),
            "head": self.head and self.head.at(width),
        }
        return parts | {"shared": shared_parts(self.tower.at(width), "tower")}

    def forward(self, m: Any, inputs: dict[str, Any], ctx: Any, state: Any) -> tuple[Any, Any]:
        x, ctx = m.front(inputs, ctx)
        x, _ = m.tower(x, ctx, None)
        if self.head:
            if self._reads_tokens:
                ctx = ctx.scoped()
                ctx.publish("tokens", inputs["tokens"])
            embedding = getattr(m.front, "embedding", None)
            x = m.head(x, ctx, None if embedding is None else embedding.table)
        return x, state

    def saved(self, width: int, length: int) -> float:
        return 0.0

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.activations import GELUErf
        from archlab.fronts.tokens import Tokens
        from archlab.heads.masked_token import MaskedTokenHead
        from archlab.heads.transform import Transform
        from archlab.inits import Normal
        from archlab.model import Head
        from archlab.norms import LayerNorm

        init = Normal(std=1.0)
        transform = Transform(activation=GELUErf(), bias=True, norm=LayerNorm(epsilon=1e-5, bias=True))
        return [
            encoder_example(Tokens(vocab=11, init=init, types=3), MaskedTokenHead(vocab=11, transform=transform)),
            encoder_example(
                Tokens(vocab=7, init=init, scale=4.0), MaskedTokenHead(vocab=7, transform=None, out=Head(bias=True))
            ),
            encoder_example(head=MaskedTokenHead(vocab=11, transform=transform, bias=False)),
        ]


def encoder_example(front: Front | None = None, head: OutputHead | None = None, **waive: str) -> Example:
    """A small bidirectional encoder of one layer with norms after it, for the battery."""
    from archlab.block import Block, residual_example
    from archlab.fronts.tokens import Tokens
    from archlab.inits import Normal
    from archlab.mixers.attention import attention_example
    from archlab.norms import LayerNorm
    from archlab.residuals import PostNorm
    from archlab.stack import Stack

    both = attention_example(visibility="bidirectional").spec
    block: Any = residual_example(PostNorm).spec.replace(mixer=both)
    assert isinstance(block, Block)
    tower = Tower(embedding_norm=LayerNorm(epsilon=1e-5, bias=True), stack=Stack(pattern=(block,), repeat=1), norm=None)
    front = front or Tokens(vocab=11, init=Normal(std=1.0))
    reasons = {"causal": "sees both directions", "decode": "a token sees later ones"} | waive
    return Example(spec=Encoder(width=16, front=front, tower=tower, head=head), waive=tuple(reasons.items()))
