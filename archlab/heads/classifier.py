"""What a document, or each of its tokens, is."""

from typing import Any, Literal

from archlab.channels.routing import same_document
from archlab.heads.transform import Transform
from archlab.inits import FanInNormal, Init
from archlab.layers import Dropout, Linear
from archlab.spec import SEES, Cost, Example, OutputHead, Parts


class Classifier(OutputHead):
    """y = drop(transform(pool(x))) W + b.

    classes
        C, the entries of y; None for the transformed state itself: the "pooled output".
    pooling
        What of its document a token's y is made of: "first", its first token (BERT); "mean", the mean over all of
        them; "last", the last one (classifiers from language models); None, the token itself (tagging).
        A pooled y is the same at every token of a document: read it at any.

    Sequence classification is ``pooling="first"`` with a transform, token classification ``pooling=None``; for question
    answering there is :class:`archlab.heads.span.SpanHead`.
    """

    classes: int | None
    pooling: Literal["first", "mean", "last"] | None
    transform: Transform | None = None
    dropout: float = 0.0
    bias: bool = True
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.classes is None or self.classes > 0, "classes", "must be > 0, or null for the pooled state")
        self.require(0 <= self.dropout < 1, "dropout", "must lie in [0, 1)")

    def sees_later(self) -> str | None:
        return f"a Classifier pools over a document, {SEES}" if self.pooling in ("mean", "last") else None

    def parts(self, width: int) -> Parts:
        linear = (
            None if self.classes is None else Linear(features=self.classes, axes="D V", bias=self.bias, init=self.init)
        )
        inner = self.transform.out(width) if self.transform else width
        return {
            "transform": self.transform and self.transform.at(width),
            "dropout": Dropout(rate=self.dropout).at(inner) if self.dropout else None,
            "out": linear and linear.at(inner),
        }

    def forward(self, m: Any, x: Any, ctx: Any, table: Any) -> Any:
        x = self.pooled(x, ctx) if self.pooling else x
        x = m.transform(x, ctx) if self.transform else x
        x = m.dropout(x, ctx) if self.dropout else x
        return x if self.classes is None else m.out(x, ctx)

    def pooled(self, x: Any, ctx: Any) -> Any:
        """(B, T, D), the same at all tokens of a document."""
        xp, same = ctx.xp, same_document(ctx)
        if self.pooling == "mean":
            share = xp.astype(same, x.dtype)
            return (share @ x) / xp.sum(share, axis=-1, keepdims=True)
        length = x.shape[1]
        time = ctx.constant(range(length))
        where = (
            xp.where(same, time, xp.full_like(time, length)) if self.pooling == "first" else xp.where(same, time, -1)
        )
        index = xp.min(where, axis=-1) if self.pooling == "first" else xp.max(where, axis=-1)
        return xp.take_along_axis(x, xp.broadcast_to(index[..., None], x.shape), axis=1)

    def cost(self, width: int, length: int) -> Cost:
        pairs = 2.0 * width * length if self.pooling == "mean" else 0.0
        return Cost(visible=pairs, executed=pairs)

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.activations import Tanh
        from archlab.fronts.patches import Patches
        from archlab.models.encoder import encoder_example

        transform = Transform(activation=Tanh(), bias=True)
        return [
            encoder_example(head=cls(classes=3, pooling="first", transform=transform, dropout=0.2)),
            encoder_example(head=cls(classes=None, pooling="mean", transform=transform)),
            encoder_example(head=cls(classes=2, pooling="last", bias=False)),
            Patches.examples()[1],
        ]
