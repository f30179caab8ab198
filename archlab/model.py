"""Whole models."""

from typing import Any, NamedTuple

from archlab.activations import GELUTanh
from archlab.channels.mlp import MLP
from archlab.config import Config
from archlab.errors import InputError
from archlab.inits import FanInNormal, Init, Normal
from archlab.layers import Embedding, Linear
from archlab.norms import RMSNorm
from archlab.ops import scaled, tied, upcast
from archlab.positions import PositionTable
from archlab.spec import (
    Cost,
    Example,
    Input,
    Norm,
    Part,
    Parts,
    Shared,
    Spec,
    children,
    join,
    own_span,
    shared_parts,
    substate,
    updated,
    walk,
)
from archlab.stack import Stack
from archlab.tower import around, entered


class Head(Config):
    """An output matrix of its own, logits = x W (+ b). A model without one ties it to the embedding."""

    bias: bool
    init: Init = FanInNormal()

    def linear(self, vocab: int) -> Linear:
        return Linear(features=vocab, axes="D V", bias=self.bias, init=self.init)


class Factors(Config):
    """A table (V, E) narrower than the model: x = E[token] W_in, logits = (x W_out) Eᵀ  (OPT-350m).

    ``width`` is E. See https://arxiv.org/abs/2205.01068 and, for tables in two factors, https://arxiv.org/abs/1909.11942.
    """

    width: int
    init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.width > 0, "width", "must be > 0")

    def projections(self, width: int) -> tuple[Part, Part]:
        """W_in and W_out of a model of ``width``."""
        enter = Linear(features=width, axes="R D", bias=False, init=self.init)
        leave = Linear(features=self.width, axes="D R", bias=False, init=self.init)
        return enter.at(self.width), leave.at(width)


class Answer(NamedTuple):
    """A further prediction of the same targets, for training.

    Its mean loss times ``weight`` is added, and is reported as ``name``. The first ``skip`` tokens of a document do not
    count.
    """

    name: str
    weight: float
    skip: int = 0


class Model(Spec):
    """A whole model: maps (inputs, ctx, state) to (output, state), for a model of tokens (logits, state)."""

    abstract = True

    width: int

    def check(self) -> None:
        self.require(self.width > 0, "width", "must be > 0")
        list(walk(self.root()))  # widths meet here: impossible ones are found, with their path

    def inputs(self) -> dict[str, Input]:
        """What it is fed, by name, beside where its tokens stand."""
        raise NotImplementedError

    def span(self, shapes: dict[str, tuple[int, ...]]) -> tuple[int, int]:
        """(B, T) of its own sequence, from the shapes of its inputs."""
        return own_span(self.inputs(), shapes)

    def classes(self) -> int | None:
        """C, how many numbers it gives at each place: for a language model its vocabulary; None where a batch says."""
        raise NotImplementedError

    def answers(self) -> tuple[Answer, ...]:
        """Further answers that it is trained with; its output is then (B, T, answers, C), the main one first."""
        return ()

    def main(self, output: Any) -> Any:
        """The main answer (B, T, C) of an output."""
        return output[:, :, 0] if self.answers() else output

    def for_generation(self) -> "Model":
        """What is needed of it to generate: a model whose parameters are some of its own, under the same names."""
        return self

    def vocabulary(self) -> int | None:
        """How many tokens it knows; None where it reads none."""
        item = self.inputs().get("tokens")
        return None if item is None else item.below

    def root(self) -> Part:
        """The model as the root of its tree."""
        return self.at(self.width)

    def limit(self, sequence: str = "T") -> int | None:
        """The longest ``sequence`` (see :class:`archlab.spec.Input`) it knows positions for; None for any length."""
        return positions_in(self.root())


def positions_in(part: Part) -> int | None:
    """How many positions all tables in a tree know; None for any number."""
    limits = [p.spec.limit() for _, p in walk(part) if isinstance(p.spec, PositionTable)]
    return min((n for n in limits if n is not None), default=None)


class TokenModel(Model):
    """A model that reads tokens by a table and answers with the probabilities of tokens.

    embedding_init, embedding_scale
        The law of the table, and what embeddings are multiplied with, rounded to the activations' dtype first
        (Gemma: √D).
    head
        The output matrix; None ties it to the embedding: one parameter, two users.
    """

    abstract = True

    vocab: int
    embedding_init: Init
    embedding_scale: float | None = None
    head: Head | None

    def check(self) -> None:
        self.require(self.vocab > 1, "vocab", "must be > 1")
        self.require(self.embedding_scale is None or self.embedding_scale > 0, "embedding_scale", "must be > 0 or null")
        super().check()

    def inputs(self) -> dict[str, Input]:
        return {"tokens": Input(kind="ids", shape=("T",), below=self.vocab)}

    def classes(self) -> int:
        return self.vocab

    def embedding(self, width: int) -> Part:
        """The table, as the part "embedding"."""
        return Embedding(vocab=self.vocab, init=self.embedding_init).at(width)

    def output(self, width: int) -> Part | None:
        """The output matrix, as the part "head"."""
        return self.head.linear(self.vocab).at(width) if self.head else None

    def look_up(self, m: Any, tokens: Any, ctx: Any) -> Any:
        """(B, T) token ids → (B, T, D)."""
        return scaled(ctx, m.embedding(tokens, ctx), self.embedding_scale)

    def logits(self, m: Any, x: Any, ctx: Any) -> Any:
        """(B, T, D) → (B, T, V)."""
        return m.head(x, ctx) if self.head else tied(ctx, x, m.embedding.table)

    def answer(self, m: Any, x: Any, ctx: Any) -> Any:
        """The logits of (B, T, D) as the model's answer, see :meth:`archlab.context.Context.answer`."""
        return ctx.answer(lambda x: self.logits(m, x, ctx), x)

    def cost(self, width: int, length: int) -> Cost:
        return Cost() if self.head else Cost(weights=2.0 * width * self.vocab)

    def saved(self, width: int, length: int) -> float:
        return float(self.vocab + (0 if self.head else width))


class LanguageModel(TokenModel):
    """Token by token probabilities: embedding, stack, norm, logits.

    factors
        How a table of another width than the model's is read and tied; None for one of the model's width.
    positions
        A table added to the embeddings; rotations and biases belong to attention.
    embedding_norm, dropout
        Applied to the embeddings, in this order.
    norm
        Before the logits; None after post-norm blocks.
    logit_scale
        Logits are multiplied with it (Falcon-H1: what muP asks for), before the softcap.
    softcap
        c: logits become c · tanh(logits / c).
    """

    factors: Factors | None = None
    positions: PositionTable | None = None
    embedding_norm: Norm | None = None
    dropout: float = 0.0
    stack: Stack
    norm: Norm | None
    logit_scale: float | None = None
    softcap: float | None = None

    def check(self) -> None:
        super().check()
        self.require(0 <= self.dropout < 1, "dropout", "must lie in [0, 1)")
        self.require(self.logit_scale is None or self.logit_scale > 0, "logit_scale", "must be > 0 or null")
        self.require(self.softcap is None or self.softcap > 0, "softcap", "must be > 0")

    def parts(self, width: int) -> Parts:
        enter, leave = self.factors.projections(width) if self.factors else (None, None)
        parts: Parts = {
            "embedding": self.embedding(self.table_width(width)),
            "enter": enter,
            **around(self, width),
            "leave": leave,
            "head": self.output(self.table_width(width)),
        }
        return parts | {"shared": shared_parts(self.stack.at(width), "stack")}

    def table_width(self, width: int) -> int:
        """How wide the table, or an output matrix in its place, is in a model of ``width``."""
        return self.factors.width if self.factors else width

    def forward(self, m: Any, inputs: dict[str, Any], ctx: Any, state: Any) -> tuple[Any, Any]:
        x, stacked = m.stack(self.embed(m, inputs["tokens"], ctx), ctx, substate(state, "stack"))
        if self.norm:
            x = m.norm(x, ctx)
        return self.answer(m, x, ctx), updated(state, stack=stacked)

    def embed(self, m: Any, tokens: Any, ctx: Any) -> Any:
        """(B, T) token ids → (B, T, D)."""
        x = self.look_up(m, tokens, ctx)
        return entered(self, m, m.enter(x, ctx) if self.factors else x, ctx)

    def logits(self, m: Any, x: Any, ctx: Any) -> Any:
        """(B, T, D) → (B, T, V)."""
        x = m.leave(x, ctx) if self.factors else x
        logits = scaled(ctx, super().logits(m, x, ctx), self.logit_scale)
        if self.softcap:
            logits = self.softcap * ctx.xp.tanh(upcast(ctx.xp, logits) / self.softcap)
        return logits

    def cost(self, width: int, length: int) -> Cost:
        return super().cost(self.table_width(width), length)

    def saved(self, width: int, length: int) -> float:
        return super().saved(self.table_width(width), length)

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.norms import LayerNorm
        from archlab.positions import LearnedPositions

        learned = LearnedPositions(length=5000, init=Normal(std=0.5))
        return [
            Example(spec=tiny_model(head=Head(bias=True))),
            Example(spec=tiny_model(softcap=3.0, logit_scale=0.5, embedding_scale=4.0, norm=None, repeat=1)),
            Example(spec=tiny_model(positions=learned, dropout=0.1, repeat=1, head=Head(bias=False)), length=516),
            Example(spec=tiny_model(embedding_norm=LayerNorm(epsilon=1e-5, bias=True), repeat=1)),
            Example(spec=tiny_model(factors=Factors(width=6), repeat=1)),
            Example(spec=tiny_model(factors=Factors(width=6), head=Head(bias=False), repeat=1)),
        ]


def check_causal(model: Model) -> None:
    """Raise :class:`InputError` where a part sees the token that training and generation are to predict.

    Parts that run at once (:meth:`archlab.spec.Spec.stateless`) read something else.
    """
    _check_causal(model.root(), "")


def _check_causal(part: Part, path: str) -> None:
    reason = part.spec.sees_later()
    if reason is not None:
        raise InputError(f"{path}: {reason}")
    for name, child in children(part):
        if name not in part.spec.stateless():
            _check_causal(child, join(path, name))


def tiny_model(*, vocab: int = 19, width: int = 16, repeat: int = 2, layer: Any = None, **fields: Any) -> LanguageModel:
    """A small causal model with some fields changed, for the battery."""
    from archlab.block import Block
    from archlab.mixers.attention import Attention
    from archlab.residuals import PreNorm

    layer = layer or Block(
        mixer=Attention(heads=4, kv_heads=2, visibility="causal", bias=False, out_bias=False),
        channel=MLP(hidden=24, activation=GELUTanh(), bias=False),
        residual=PreNorm(norm=RMSNorm(epsilon=1e-5)),
    )
    defaults: dict[str, Any] = {"embedding_init": Normal(std=1.0), "norm": RMSNorm(epsilon=1e-5), "head": None}
    stack = Stack(pattern=(layer,), repeat=repeat)
    return LanguageModel(vocab=vocab, width=width, stack=stack, **(defaults | fields))


def shared_example() -> Example:
    """A model whose three layers share one block, each with a cache of its own."""
    from archlab.block import residual_example
    from archlab.residuals import PreNorm

    block = Shared(name="block", part=residual_example(PreNorm).spec)
    return Example(spec=tiny_model(layer=block, repeat=3))
