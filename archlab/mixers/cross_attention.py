"""Attention to another sequence."""

import math
from typing import Any

from archlab.errors import InputError
from archlab.inits import FanInNormal, Init
from archlab.layers import Dropout, Linear
from archlab.ops import einsum, masked_softmax, rearrange, upcast
from archlab.spec import Cost, Example, Mixer, Parts, State, updated


class CrossAttention(Mixer):
    """softmax(q kᵀ · scale) v over a memory, which an encoder has published  (https://arxiv.org/abs/1706.03762).

    q = x W_Q, (k, v) = (z W_K, z W_V) by head, z (B, S, M) the memory. A token sees all of the memory that is of its
    own document. In decoding the keys and values are made once, with the first tokens, and kept.

    heads, kv_heads, head_size, scale, bias, out_bias, dropout, init, query_init, out_init
        As in :class:`archlab.mixers.attention.Attention`. T5's scale is 1.
    memory
        The name that the memory is published under.
    memory_width
        M, where it is not D.
    """

    heads: int
    kv_heads: int
    head_size: int | None = None
    memory: str = "memory"
    memory_width: int | None = None
    scale: float | None = None
    bias: bool
    out_bias: bool
    dropout: float = 0.0
    init: Init = FanInNormal()
    query_init: Init | None = None
    out_init: Init = FanInNormal()

    def check(self) -> None:
        self.require(self.heads > 0, "heads", "must be > 0")
        self.require(self.kv_heads > 0, "kv_heads", "must be > 0")
        self.require(self.heads % self.kv_heads == 0, "kv_heads", f"does not divide heads = {self.heads}")
        self.require(self.head_size is None or self.head_size > 0, "head_size", "must be > 0")
        self.require(self.memory_width is None or self.memory_width > 0, "memory_width", "must be > 0, or null for D")
        self.require(0 <= self.dropout < 1, "dropout", "must lie in [0, 1)")

    def size(self, width: int) -> int:
        """K, the size of a head in a model of ``width``."""
        if self.head_size is None and width % self.heads:
            self.fail("heads", f"does not divide the width {width}: change it or give head_size")
        return self.head_size or width // self.heads

    def parts(self, width: int) -> Parts:
        size, source = self.size(width), self.memory_width or width
        inner, outer = self.heads * size, self.kv_heads * size
        return {
            "query": Linear(features=inner, axes="D HK", bias=self.bias, init=self.query_init or self.init).at(width),
            "key": Linear(features=outer, axes="D GK", bias=self.bias, init=self.init).at(source),
            "value": Linear(features=outer, axes="D GK", bias=self.bias, init=self.init).at(source),
            "out": Linear(features=width, axes="HK D", bias=self.out_bias, init=self.out_init).at(inner),
            "dropout": Dropout(rate=self.dropout).at(width) if self.dropout else None,
        }

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        cache = State(shape=(batch, length, self.kv_heads, self.size(width)), axes="B S G K")
        return {"keys": cache, "values": cache, "segments": State(shape=(batch, length), axes="B S", dtype="int")}

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        q = rearrange(m.query(x, ctx), "B T (H K) -> B T H K", H=self.heads)
        keys, state = self.keys(m, ctx, state)
        k, v = (upcast(ctx.xp, ctx.xp.repeat(keys[n], self.heads // self.kv_heads, axis=2)) for n in ("keys", "values"))
        scores = einsum(upcast(ctx.xp, q), k, "B T H K, B S H K -> B H T S") * self.factor(q.shape[-1])
        weights = masked_softmax(ctx.xp, scores, self.seen(ctx, keys["segments"])[:, None])
        weights = ctx.xp.astype(weights, x.dtype)
        if self.dropout and ctx.random is not None:
            weights = m.dropout(weights, ctx)
        y = einsum(weights, ctx.xp.astype(v, x.dtype), "B H T S, B S H K -> B T H K")
        return m.out(rearrange(y, "B T H K -> B T (H K)"), ctx), state

    def keys(self, m: Any, ctx: Any, state: Any) -> tuple[dict[str, Any], Any]:
        """Keys and values (B, S, G, K) with their documents (B, S): of the memory, or those that the state keeps."""
        if state is not None and self.memory not in ctx.published:
            return state, state
        memory = ctx.read(self.memory, m.path)
        z, segments = memory["x"], memory["segments"]
        k, v = (rearrange(part(z, ctx), "B S (G K) -> B S G K", G=self.kv_heads) for part in (m.key, m.value))
        new = {"keys": k, "values": v, "segments": segments}
        return new, None if state is None else updated(state, **{n: _filled(ctx, state[n], a) for n, a in new.items()})

    def seen(self, ctx: Any, segments: Any) -> Any:
        """(B, T, S): whether a token sees an entry of the memory, which is of ``segments``."""
        keys = segments[:, None, :]
        return (ctx.documents[:, :, None] == keys) & (keys > 0)

    def factor(self, size: int) -> float:
        return 1.0 / math.sqrt(size) if self.scale is None else self.scale

    def cost(self, width: int, length: int) -> Cost:
        pairs = 4.0 * self.heads * self.size(width) * length  # of a memory as long as the sequence
        return Cost(visible=pairs, executed=pairs)

    def saved(self, width: int, length: int) -> float:
        return float(self.size(width) * (self.heads + 2 * self.kv_heads))

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.models.encoder_decoder import EncoderDecoder

        return EncoderDecoder.examples()


def _filled(ctx: Any, kept: Any, new: Any) -> Any:
    """``new`` (B, S, …) in the first slots of ``kept``; the others are empty."""
    slots, length = kept.shape[1], new.shape[1]
    if length > slots:
        raise InputError(f"the source has {length} entries, but the decoder was made for {slots}; make it longer")
    return ctx.xp.concat([ctx.xp.astype(new, kept.dtype), ctx.xp.zeros_like(kept[:, length:])], axis=1)
