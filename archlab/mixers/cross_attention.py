"""Attention to another sequence."""

from typing import Any

from archlab.errors import InputError
from archlab.masks import same_document
from archlab.mixers.attention import heads_first
from archlab.mixers.multi_head import MultiHead
from archlab.ops import einsum, masked_softmax, merge_heads, split_heads, upcast
from archlab.spec import Cost, Example, Parts, State, updated

KEPT = ("keys", "values", "segments")


class CrossAttention(MultiHead):
    """softmax(q kᵀ · scale) v over a memory, which an encoder has published  (https://arxiv.org/abs/1706.03762).

    q = x W_Q, (k, v) = (z W_K, z W_V) by head, z (B, S, M) the memory. A token sees all of the memory that is of its
    own document. In decoding the keys and values are made once, with the first tokens, and kept.

    Heads, scale, biases, dropout and laws are those of :class:`archlab.mixers.multi_head.MultiHead`. T5's scale is 1.

    memory
        The name that the memory is published under.
    memory_width
        M, where it is not D.
    """

    memory: str = "memory"
    memory_width: int | None = None

    def check(self) -> None:
        super().check()
        self.require(self.memory_width is None or self.memory_width > 0, "memory_width", "must be > 0, or null for D")

    def parts(self, width: int) -> Parts:
        projections = self.projections(width, self.memory_width or width)
        return {**projections, "out": self.output(width), "dropout": self.dropping(width)}

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        cache = State(shape=(batch, self.kv_heads, length, self.size(width)), axes="B G S K")
        return {"keys": cache, "values": cache, "segments": State(shape=(batch, length), axes="B S", dtype="int")}

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        q = split_heads(m.query(x, ctx), self.heads)
        keys, state = self.keys(m, ctx, state)
        k, v = (upcast(ctx.xp, ctx.xp.repeat(keys[n], self.heads // self.kv_heads, axis=2)) for n in ("keys", "values"))
        scores = einsum(upcast(ctx.xp, q), k, "B T H K, B S H K -> B H T S") * self.factor(q.shape[-1])
        weights = masked_softmax(ctx.xp, scores, same_document(ctx, keys["segments"])[:, None])
        weights = ctx.xp.astype(weights, x.dtype)
        if self.dropout and ctx.random is not None:
            weights = m.dropout(weights, ctx)
        y = einsum(weights, ctx.xp.astype(v, x.dtype), "B H T S, B S H K -> B T H K")
        return m.out(merge_heads(y), ctx), state

    def keys(self, m: Any, ctx: Any, state: Any) -> tuple[dict[str, Any], Any]:
        """Keys and values (B, S, G, K) with their documents (B, S): of the memory, or those that the state keeps."""
        kept = None if state is None else heads_first(ctx.xp, {name: state[name] for name in KEPT})
        if kept is not None and self.memory not in ctx.published:
            return kept, state
        memory = ctx.read(self.memory, m.path)
        z, segments = memory["x"], memory["segments"]
        k, v = (split_heads(part(z, ctx), self.kv_heads) for part in (m.key, m.value))
        new = {"keys": k, "values": v, "segments": segments}
        if kept is None:
            return new, None
        return new, updated(state, **heads_first(ctx.xp, {n: _filled(ctx, kept[n], a) for n, a in new.items()}))

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
