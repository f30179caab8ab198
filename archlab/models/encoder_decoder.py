"""Models that read one sequence and write another: T5, BART."""

from typing import Any

from archlab.errors import InputError
from archlab.inits import Init, Normal
from archlab.model import Head, TokenModel, positions_in
from archlab.ops import scaled
from archlab.optim.frozen import Frozen
from archlab.spec import Example, Front, Input, Layer, Param, Parts, State, shared_parts, substate, updated
from archlab.tower import Tower

SOURCE = "source_"


class EncoderDecoder(TokenModel):
    """logits = decoder(tokens | encoder(source)): p(token_t+1 | tokens up to t, source)  (the first Transformer).

    start
        The token that what is written begins with (T5: its padding token).
    source
        What makes a sequence of the source; None for tokens by the decoder's own table. Its inputs are the front's,
        with "source_" before their names, and "source_segments" (B, S): a token sees the source of its own document.
        Without segments a row is one document. "source_positions" (B, S) count up inside each document unless given.
    encoder, decoder
        The layers of both. The encoder's output is published as ``memory``.
    logit_scale
        What the decoder's output is multiplied with before the logits (T5 with a tied head: 1/√D).
    logit_bias
        The law of a number for each token that is added to its logits and that no training moves (BART's code:
        :class:`archlab.inits.Zeros`); None for none.
    """

    start: int
    source: Front | None = None
    encoder: Tower
    decoder: Tower
    memory: str = "memory"
    logit_scale: float | None = None
    logit_bias: Init | None = None

    def check(self) -> None:
        super().check()
        self.require(0 <= self.start < self.vocab, "start", f"is no token: they are 0 … {self.vocab - 1}")
        self.require(self.logit_scale is None or self.logit_scale > 0, "logit_scale", "must be > 0 or null")

    def inputs(self) -> dict[str, Input]:
        fed = super().inputs()
        read = self.source.inputs() if self.source else fed
        table = {f"{SOURCE}{name}": _source(item) for name, item in read.items()}
        where = Input(kind="where", shape=("S",), optional=True, once=True, unit=max(i.unit for i in read.values()))
        return fed | table | {f"{SOURCE}segments": where, f"{SOURCE}positions": where}

    def limit(self, sequence: str = "T") -> int | None:
        return positions_in((self.decoder if sequence == "T" else self.encoder).at(self.width))

    def parts(self, width: int) -> Parts:
        parts: Parts = {
            "embedding": self.embedding(width),
            "source": self.source and self.source.at(width),
            "encoder": self.encoder.at(width),
            "decoder": self.decoder.at(width),
            "head": self.output(width),
        }
        towers = [shared_parts(getattr(self, name).at(width), name) for name in ("encoder", "decoder")]
        return parts | {"shared": towers[0] | towers[1]}

    def params(self, width: int) -> dict[str, Param]:
        if self.logit_bias is None:
            return {}
        return {"logit_bias": Param(shape=(self.vocab,), axes="V", init=self.logit_bias, rule=Frozen())}

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        return {"index": State(shape=(batch,), axes="B", dtype="int")}

    def stateless(self) -> tuple[str, ...]:
        return ("encoder",)

    def forward(self, m: Any, inputs: dict[str, Any], ctx: Any, state: Any) -> tuple[Any, Any]:
        ctx = ctx.scoped()
        read = {name.removeprefix(SOURCE): array for name, array in inputs.items() if name.startswith(SOURCE)}
        if read or state is None:
            ctx.publish(self.memory, self.encode(m, read, ctx))
        logits, new = self.decode(m, inputs["tokens"], ctx, state)
        return logits, None if state is None else updated(new, index=state["index"] + logits.shape[1])

    def encode(self, m: Any, inputs: dict[str, Any], ctx: Any) -> dict[str, Any]:
        """The memory of a source, whose inputs have no prefix here: "x" (B, S, D) and "segments" (B, S)."""
        front = self.source
        own = {name: array for name, array in inputs.items() if name not in ("segments", "positions")}
        if not own:
            raise InputError("the source is missing: give source_tokens, or what its front reads")
        shapes = {name: tuple(array.shape) for name, array in own.items()}
        span = front.span(shapes) if front else shapes["tokens"][:2]
        there = ctx.elsewhere(span, inputs.get("positions"), inputs.get("segments")).scoped()
        x, there = m.source(own, there) if front else (self.look_up(m, own["tokens"], there), there)
        x, _ = m.encoder(x, there, None)
        return {"x": x, "segments": there.documents}

    def decode(self, m: Any, tokens: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        """Logits (B, T, V) of tokens (B, T) and the state, the memory being published or in the state."""
        x, new = m.decoder(self.look_up(m, tokens, ctx), ctx, substate(state, "decoder"))
        return self.answer(m, scaled(ctx, x, self.logit_scale), ctx), updated(state, decoder=new)

    def logits(self, m: Any, x: Any, ctx: Any) -> Any:
        """(B, T, D) → (B, T, V)."""
        logits = super().logits(m, x, ctx)
        return logits + ctx.xp.astype(m.logit_bias, x.dtype) if self.logit_bias else logits

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.fronts.tokens import Tokens
        from archlab.mixers.cross_attention import CrossAttention

        first = CrossAttention(heads=4, kv_heads=2, bias=True, out_bias=True, dropout=0.2)
        second = CrossAttention(heads=2, kv_heads=2, head_size=5, scale=1.0, bias=False, out_bias=False)
        other = Tokens(vocab=7, init=Normal(std=1.0), types=2)
        return [
            seq2seq_example(first, logit_bias=Normal(std=1.0)),
            seq2seq_example(second, source=other, head=Head(bias=True), embedding_scale=2.0, logit_scale=0.5),
        ]


def _source(item: Input) -> Input:
    """An input of a front, as one of the source."""
    shape = tuple("S" if size == "T" else size for size in item.shape)
    return Input(kind=item.kind, shape=shape, below=item.below, optional=item.optional, once=True, unit=item.unit)


def seq2seq_example(cross: Any = None, **fields: Any) -> Example:
    """A small encoder-decoder of one layer each, for the battery."""
    from archlab.activations import GELUTanh
    from archlab.block import Block
    from archlab.channels.mlp import MLP
    from archlab.mixers.attention import attention_example
    from archlab.mixers.cross_attention import CrossAttention
    from archlab.norms import RMSNorm
    from archlab.residuals import PreNorm
    from archlab.stack import Stack
    from archlab.wiring.decoder_block import DecoderBlock

    both, past = (attention_example(visibility=seen).spec for seen in ("bidirectional", "causal"))
    residual, norm = PreNorm(norm=RMSNorm(epsilon=1e-5)), RMSNorm(epsilon=1e-5)
    channel: Any = MLP(hidden=12, activation=GELUTanh(), bias=False)
    cross = cross or CrossAttention(heads=4, kv_heads=4, bias=False, out_bias=False)

    def tower(layer: Layer) -> Tower:
        return Tower(stack=Stack(pattern=(layer,), repeat=1), norm=norm)

    defaults: dict[str, Any] = {"embedding_init": Normal(std=1.0), "head": None}
    encoder = tower(Block(mixer=both, channel=channel, residual=residual))  # type: ignore[arg-type]
    decoder = tower(DecoderBlock(mixer=past, cross=cross, channel=channel, residual=residual))  # type: ignore[arg-type]
    spec = EncoderDecoder(vocab=11, width=16, start=0, encoder=encoder, decoder=decoder, **(defaults | fields))
    return Example(spec=spec)
