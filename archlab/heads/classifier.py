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
        them; "last", the last one (classifiers from language models); "token", the first whose id is ``token``, or the
        first of all where there is none, and "largest", the first of those with the largest id, which in CLIP ends a
        text (https://arxiv.org/abs/2103.00020); None, the token itself (tagging).
        A pooled y is the same at every token of a document: read it at any.

    Sequence classification is ``pooling="first"`` with a transform, token classification ``pooling=None``; for question
    answering there is :class:`archlab.heads.span.SpanHead`.
    """

    classes: int | None
    pooling: Literal["first", "mean", "last", "token", "largest"] | None
    token: int | None = None
    transform: Transform | None = None
    dropout: float = 0.0
    bias: bool = True
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.classes is None or self.classes > 0, "classes", "must be > 0, or null for the pooled state")
        self.require(0 <= self.dropout < 1, "dropout", "must lie in [0, 1)")
        self.require((self.token is None) == (self.pooling != "token"), "token", "goes with the pooling 'token'")

    def sees_later(self) -> str | None:
        return None if self.pooling in ("first", None) else f"a Classifier pools over a document, {SEES}"

    @property
    def reads_tokens(self) -> bool:
        """Whether it must know the ids of its tokens, published as "tokens"."""
        return self.pooling in ("token", "largest")

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
        x = self.pooled(m, x, ctx) if self.pooling else x
        x = m.transform(x, ctx) if self.transform else x
        x = m.dropout(x, ctx) if self.dropout else x
        return x if self.classes is None else m.out(x, ctx)

    def pooled(self, m: Any, x: Any, ctx: Any) -> Any:
        """(B, T, D), the same at all tokens of a document."""
        xp, same = ctx.xp, same_document(ctx)
        if self.pooling == "mean":
            share = xp.astype(same, x.dtype)
            return (share @ x) / xp.sum(share, axis=-1, keepdims=True)
        time = ctx.constant(range(x.shape[1]))
        if self.pooling == "last":
            index = xp.max(xp.where(same, time, -1), axis=-1)
        else:
            chosen = self.among(m, same, ctx)
            index = xp.min(xp.where(chosen, time, xp.full_like(time, x.shape[1])), axis=-1)
        return xp.take_along_axis(x, xp.broadcast_to(index[..., None], x.shape), axis=1)

    def among(self, m: Any, same: Any, ctx: Any) -> Any:
        """(B, T, S): the tokens of whose states the first is taken, all of a token's document ``same`` or some."""
        if not self.reads_tokens:
            return same
        xp, tokens = ctx.xp, ctx.read("tokens", m.path)[:, None, :]
        if self.pooling == "largest":
            ids = xp.where(same, tokens, -1)
            return same & (ids == xp.max(ids, axis=-1, keepdims=True))
        found = same & (tokens == self.token)
        return xp.where(xp.any(found, axis=-1, keepdims=True), found, same)

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
            *Patches.examples(),
            encoder_example(head=cls(classes=2, pooling="last", bias=False)),
            encoder_example(head=cls(classes=3, pooling="token", token=4)),
            encoder_example(head=cls(classes=None, pooling="largest")),
        ]
