"""Multi-head attention: MHA, GQA and MQA, with every mask and position scheme as a value."""

from typing import Any, Literal

import numpy as np

from archlab.activations import Activation, Sigmoid
from archlab.inits import Init, Normal
from archlab.layers import Linear
from archlab.masks import Sight, Visibility, sees_later, visible, visible_pairs
from archlab.mixers.multi_head import MultiHead
from archlab.norms import LayerNorm, RMSNorm
from archlab.ops import einsum, masked_softmax, merge_heads, split_heads, upcast
from archlab.rotary import Rotary
from archlab.score_bias import PositionBias
from archlab.selection import Selection
from archlab.spec import Cost, Example, Norm, Param, Parts, State, updated


class Attention(MultiHead):
    """softmax(q kᵀ · scale + bias) v over the visible keys  (https://arxiv.org/abs/1706.03762).

    Heads, scale, biases, dropout and laws are those of :class:`archlab.mixers.multi_head.MultiHead`.

    visibility, window
        Which keys a query sees, see :func:`archlab.masks.visible`.
    chunk
        c: a query sees only keys of the same c positions, 0 … c − 1, c … 2c − 1, … of its document (Llama 4).
    selection
        Which of these it sees by what they hold, see :mod:`archlab.selection`; None for all.
    rotary, score_bias
        Position schemes inside attention.
    qk_norm
        A norm of queries and keys, over each head ("head": Qwen3, Gemma 3) or over all heads at once
        ("heads": OLMo 2), by ``qk_norm_over``.
    softcap
        c: scores become c · tanh(scores / c) before the mask (Gemma 2).
    sink
        The law of a learned score for each head that every query sees beside those of its keys, and that has no value
        (gpt-oss): a query need not attend to anything. None for none.
    gate
        f: what the heads give is multiplied by f(x W_gate), number by number, before the output projection (Qwen3-Next,
        https://arxiv.org/abs/2505.06708: Sigmoid). None for none.
        It has a bias where the query/key/value projections have one.
    """

    visibility: Visibility
    window: int | None = None
    chunk: int | None = None
    selection: Selection | None = None
    rotary: Rotary | None = None
    score_bias: PositionBias | None = None
    qk_norm: Norm | None = None
    qk_norm_over: Literal["head", "heads"] = "head"
    softcap: float | None = None
    sink: Init | None = None
    gate: Activation | None = None

    def check(self) -> None:
        super().check()
        self.require(self.window is None or self.window > 0, "window", "must be > 0")
        self.require(self.chunk is None or self.chunk > 0, "chunk", "must be > 0")
        whole = self.selection is None or self.reach is None
        self.require(whole, "selection", "needs every key in the cache: window and chunk must be null")
        self.require(self.softcap is None or self.softcap > 0, "softcap", "must be > 0")
        bias_heads = getattr(self.score_bias and self.score_bias.represents(), "heads", self.heads)
        self.require(bias_heads == self.heads, "heads", f"differs from score_bias.heads = {bias_heads}")

    def params(self, width: int) -> dict[str, Param]:
        return {"sink": Param(shape=(self.heads,), axes="H", init=self.sink)} if self.sink else {}

    @property
    def reach(self) -> int | None:
        """How many keys a cache must hold; None for all."""
        if self.window is None or self.chunk is None:
            return self.window or self.chunk
        return min(self.window, self.chunk)

    @property
    def sight(self) -> Sight:
        """What a query sees by where it and the keys stand."""
        return Sight(visibility=self.visibility, window=self.window, chunk=self.chunk)

    def parts(self, width: int) -> Parts:
        size = self.size(width)
        inner, outer = self.heads * size, self.kv_heads * size
        per_head = self.qk_norm_over == "head"
        return {
            **self.projections(width, width),
            "gate": Linear(features=inner, axes="D HK", bias=self.bias, init=self.init).at(width)
            if self.gate
            else None,
            "gate_activation": self.gate and self.gate.at(inner),
            "out": self.output(width),
            "query_norm": self.qk_norm and self.qk_norm.at(size if per_head else inner),
            "key_norm": self.qk_norm and self.qk_norm.at(size if per_head else outer),
            "selection": self.selection and self.selection.at(width),
            "rotary": self.rotary and self.rotary.at(size),
            "score_bias": self.score_bias and self.score_bias.at(width),
            "dropout": self.dropping(width),
        }

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        slots = min(length, self.reach or length)
        cache = State(shape=(batch, self.kv_heads, slots, self.size(width)), axes="B G S K")
        where = State(shape=(batch, slots), axes="B S", dtype="int")
        return {
            "keys": cache,
            "values": cache,
            "positions": where,
            "segments": where,
            "index": State(shape=(batch,), axes="B", dtype="int"),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        q, k, v = self.project(m, x, ctx)
        keys = {"keys": k, "values": v, "positions": ctx.positions, "segments": ctx.documents}
        seen = keys if state is None else extended(ctx.xp, state, keys)
        y = self.attend(m, q, seen, ctx)
        return self.leave(m, y, x, ctx), appended(ctx, state, keys)

    def project(self, m: Any, x: Any, ctx: Any) -> tuple[Any, Any, Any]:
        """Queries (B, T, H, K), keys and values (B, T, G, K), normalised and rotated."""
        return self.arrange(m, m.query(x, ctx), m.key(x, ctx), m.value(x, ctx), ctx)

    def arrange(self, m: Any, q: Any, k: Any, v: Any, ctx: Any) -> tuple[Any, Any, Any]:
        """Projections (B, T, HK), (B, T, GK), (B, T, GK) by head, normalised and rotated."""
        if self.qk_norm and self.qk_norm_over == "heads":
            q, k = m.query_norm(q, ctx), m.key_norm(k, ctx)
        q = split_heads(q, self.heads)
        k, v = (split_heads(a, self.kv_heads) for a in (k, v))
        if self.qk_norm and self.qk_norm_over == "head":
            q, k = m.query_norm(q, ctx), m.key_norm(k, ctx)
        if self.rotary:
            q, k = m.rotary(q, ctx), m.rotary(k, ctx)
        return q, k, v

    def attend(self, m: Any, q: Any, keys: dict[str, Any], ctx: Any) -> Any:
        """(B, T, H, K) from queries (B, T, H, K) and S keys; scores and softmax in float32 at least."""
        xp, dtype = ctx.xp, q.dtype
        k, v = (xp.repeat(keys[n], self.heads // self.kv_heads, axis=2) for n in ("keys", "values"))
        scores = einsum(upcast(xp, q), upcast(xp, k), "B T H K, B S H K -> B H T S") * self.factor(q.shape[-1])
        if self.score_bias:
            scores = scores + m.score_bias(self.heads, ctx, keys["positions"], scores)
        if self.softcap:
            scores = self.softcap * xp.tanh(scores / self.softcap)
        weights = xp.astype(self.softmax(m, scores, self.seen(m, q, keys, ctx), ctx), dtype)
        if self.dropout and ctx.random is not None:
            weights = m.dropout(weights, ctx)
        return einsum(weights, v, "B H T S, B S H K -> B T H K")

    def leave(self, m: Any, y: Any, x: Any, ctx: Any) -> Any:
        """(B, T, D) from what the heads give, y (B, T, H, K), and the layer's input x."""
        y = merge_heads(y)
        return m.out(y * m.gate_activation(m.gate(x, ctx), ctx) if self.gate else y, ctx)

    def seen(self, m: Any, q: Any, keys: dict[str, Any], ctx: Any) -> Any:
        """(B, 1 or H, T, S) booleans: which keys a query sees."""
        mask = visible(ctx, self.sight, keys["positions"], keys["segments"])[:, None, :, :]
        return m.selection(q, ctx, keys, mask) if self.selection else mask

    def softmax(self, m: Any, scores: Any, mask: Any, ctx: Any) -> Any:
        """Weights (B, H, T, S) of scores (B, H, T, S), of which a sink takes its share."""
        xp = ctx.xp
        if not self.sink:
            return masked_softmax(xp, scores, mask)
        sink = xp.zeros_like(scores[..., :1]) + xp.astype(m.sink, scores.dtype)[:, None, None]
        always = xp.ones_like(mask[..., :1])
        return masked_softmax(xp, xp.concat([scores, sink], axis=-1), xp.concat([mask, always], axis=-1))[..., :-1]

    def sees_later(self) -> str | None:
        return sees_later(self.visibility)

    def cost(self, width: int, length: int) -> Cost:
        pair = 4.0 * self.heads * self.size(width)  # q·k and weight·v for one pair of positions
        seen = visible_pairs(self.visibility, self.window, length, self.chunk)
        return Cost(visible=pair * seen, executed=pair * length)

    def saved(self, width: int, length: int) -> float:
        size = self.size(width)
        kept = size * (self.heads + 2 * self.kv_heads) - 2 * width  # q, k and v, whose projections share one input
        if self.qk_norm and self.qk_norm_over == "head":
            kept += size * (self.heads + self.kv_heads - 2)  # each norm counts one head
        if self.gate:
            kept += 2 * self.heads * size - width  # both factors; the gate shares the input too
        return float(kept)

    @classmethod
    def examples(cls) -> list[Example]:
        one_way = (("causal", "sees both directions"), ("decode", "a token sees later ones"))
        prefix = (("causal", "the prefix is seen from before"),)
        return [
            attention_example(length=520),
            attention_example(kv_heads=2, head_size=6, bias=True, out_bias=True),
            attention_example(kv_heads=1, window=5, length=20, sink=Normal(std=1.0)),
            attention_example(visibility="bidirectional", waive=one_way),
            attention_example(visibility="bidirectional", window=3, waive=one_way),
            attention_example(visibility="prefix", window=6, waive=prefix),
            attention_example(qk_norm=RMSNorm(epsilon=1e-6), qk_norm_over="head", softcap=2.0, scale=0.7),
            attention_example(qk_norm=LayerNorm(epsilon=1e-5, bias=True), qk_norm_over="heads", kv_heads=2),
            attention_example(chunk=5, dropout=0.3, length=20),
            attention_example(gate=Sigmoid(), head_size=6, kv_heads=2),
        ]


def attention_example(
    *, length: int = 12, waive: tuple[tuple[str, str], ...] = (), heads: int = 4, kv_heads: int = 4, **fields: Any
) -> Example:
    """A small causal attention with some fields changed, for the battery."""
    defaults: dict[str, Any] = {"visibility": "causal", "bias": False, "out_bias": False}
    spec = Attention(heads=heads, kv_heads=kv_heads, **(defaults | fields))
    return Example(spec=spec, width=16, length=length, waive=waive)


# --- the cache ----------------------------------------------------------------------------------------


def heads_first(xp: Any, keys: dict[str, Any]) -> dict[str, Any]:
    """Keys and values (B, S, G, K) as a cache keeps them, (B, G, S, K), or back; all else as it is.

    A new token's query is multiplied with one head after the other. What one product reads lies side by side then.
    """
    return {n: xp.permute_dims(a, (0, 2, 1, 3)) if a.ndim == 4 else a for n, a in keys.items()}


def extended(xp: Any, state: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """What is cached of earlier tokens, followed by the new ones'. Empty slots have segment 0 and are never seen."""
    cached = heads_first(xp, {name: state[name] for name in keys})
    return {name: xp.concat([cached[name], new], axis=1) for name, new in keys.items()}


def appended(ctx: Any, state: Any, keys: dict[str, Any]) -> Any:
    """The cache with the new keys in each row's next slots; a full cache (of a window) starts over at slot 0."""
    if state is None:
        return None
    xp, slots, count = ctx.xp, state["positions"].shape[1], keys["positions"].shape[1]
    first = (ctx.constant(np.arange(slots)) - state["index"][:, None]) % slots  # the first new key to fall on a slot
    latest = first + (count - 1 - first) // slots * slots  # and the last one, which stays
    source = xp.where(first < count, latest, xp.zeros_like(latest))
    cached = heads_first(xp, {name: state[name] for name in keys})

    def merged(name: str) -> Any:
        one = (1,) * (keys[name].ndim - 2)
        index = xp.broadcast_to(xp.reshape(source, (*source.shape, *one)), (*source.shape, *keys[name].shape[2:]))
        fresh = xp.take_along_axis(keys[name], index, axis=1)
        return xp.where(xp.reshape(first < count, (*first.shape, *one)), fresh, cached[name])

    kept = heads_first(xp, {name: merged(name) for name in keys})
    return updated(state, **kept, index=state["index"] + count)
