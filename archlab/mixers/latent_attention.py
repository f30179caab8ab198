"""Multi-head latent attention."""

import math
from typing import Any

from archlab.inits import FanInNormal, Init
from archlab.layers import Dropout, Linear
from archlab.masks import Sight, Visibility, sees_later, visible, visible_pairs
from archlab.mixers.attention import appended, extended
from archlab.norms import RMSNorm
from archlab.ops import einsum, masked_softmax, merge_heads, split_heads, upcast
from archlab.rotary import RoPE
from archlab.spec import Cost, Example, Mixer, Norm, Part, Parts, State


class LatentAttention(Mixer):
    """Attention whose keys and values come from one small vector a token (MLA, https://arxiv.org/abs/2405.04434).

    c = norm(x W_DKV);  (k_C, v) = c W_UKV by head;  k_R = RoPE(x W_KR), one for all heads
    (q_C, q_R) = norm(x W_DQ) W_UQ by head, q_R rotated;  without ``query_rank`` x W_Q
    y = softmax((q_C k_Cᵀ + q_R k_Rᵀ) · scale) v W_O

    Only c and k_R are cached. Paper → here: c^KV → ``latent``, d_c → ``rank``, d'_c → ``query_rank``, d_h →
    ``content_size`` and ``value_size``, d_h^R → ``rotary_size``. DeepSeek's ``kv_a_proj_with_mqa`` is ``latent`` beside
    ``rotary_key``. Decoding need not make k_C and v: W_UK can be moved to the query and W_UV to the output.

    scale
        None for 1/√(content_size + rotary_size).
    latent_bias, out_bias
        Whether the maps of x to c, k_R and what queries are made of, and W_O, have biases.
    dropout
        Rate at which attention weights are dropped in training.
    """

    heads: int
    rank: int
    content_size: int
    rotary_size: int
    value_size: int
    norm: Norm
    rotary: RoPE
    query_rank: int | None = None
    visibility: Visibility = "causal"
    window: int | None = None
    scale: float | None = None
    latent_bias: bool = False
    out_bias: bool = False
    dropout: float = 0.0
    init: Init = FanInNormal()
    out_init: Init = FanInNormal()

    def check(self) -> None:
        for name in ("heads", "rank", "content_size", "rotary_size", "value_size"):
            self.require(getattr(self, name) > 0, name, "must be > 0")
        self.require(self.query_rank is None or self.query_rank > 0, "query_rank", "must be > 0, or null for none")
        self.require(self.window is None or self.window > 0, "window", "must be > 0, or null for none")
        self.require(self.scale is None or self.scale > 0, "scale", "must be > 0, or null for 1/√size")
        self.require(0 <= self.dropout < 1, "dropout", "must lie in [0, 1)")

    @property
    def sight(self) -> Sight:
        """What a query sees by where it and the keys stand."""
        return Sight(visibility=self.visibility, window=self.window)

    def parts(self, width: int) -> Parts:
        queries = self.heads * (self.content_size + self.rotary_size)
        values = self.heads * self.value_size

        def linear(features: int, axes: str, *, bias: bool = False, init: Init = self.init) -> Linear:
            return Linear(features=features, axes=axes, bias=bias, init=init)

        def latent(features: int, axes: str) -> Part:
            return linear(features, axes, bias=self.latent_bias).at(width)

        return {
            "query_latent": latent(self.query_rank, "D R") if self.query_rank else None,
            "query_norm": self.norm.at(self.query_rank) if self.query_rank else None,
            "query": linear(queries, "R HK" if self.query_rank else "D HK").at(self.query_rank or width),
            "latent": latent(self.rank, "D R"),
            "latent_norm": self.norm.at(self.rank),
            "rotary_key": latent(self.rotary_size, "D K"),
            "rotary": self.rotary.at(self.rotary_size),
            "key": linear(self.heads * self.content_size, "R HK").at(self.rank),
            "value": linear(values, "R HK").at(self.rank),
            "out": linear(width, "HK D", bias=self.out_bias, init=self.out_init).at(values),
            "dropout": Dropout(rate=self.dropout).at(width) if self.dropout else None,
        }

    def state(self, width: int, batch: int, length: int) -> dict[str, State]:
        slots = length if self.window is None else min(length, self.window)
        where = State(shape=(batch, slots), axes="B S", dtype="int")
        return {
            "latents": State(shape=(batch, slots, self.rank), axes="B S R"),
            "rotary_keys": State(shape=(batch, slots, self.rotary_size), axes="B S K"),
            "positions": where,
            "segments": where,
            "index": State(shape=(batch,), axes="B", dtype="int"),
        }

    def forward(self, m: Any, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        content, turned = self.queries(m, x, ctx)
        new = self.keys(m, x, ctx)
        seen = new if state is None else extended(ctx.xp, state, new)
        return m.out(merge_heads(self.attend(m, content, turned, seen, ctx)), ctx), appended(ctx, state, new)

    def attend(self, m: Any, content: Any, turned: Any, seen: dict[str, Any], ctx: Any) -> Any:
        """(B, T, H, K) from the parts of the queries and what is known of S keys, whose latents are widened here."""
        k = split_heads(m.key(seen["latents"], ctx), self.heads)
        v = split_heads(m.value(seen["latents"], ctx), self.heads)
        scores = einsum(upcast(ctx.xp, content), upcast(ctx.xp, k), "B T H K, B S H K -> B H T S")
        weights = self.weights(scores, turned, seen, ctx)
        if self.dropout and ctx.random is not None:
            weights = m.dropout(weights, ctx)
        return einsum(weights, v, "B H T S, B S H K -> B T H K")

    def queries(self, m: Any, x: Any, ctx: Any) -> tuple[Any, Any]:
        """q_C (B, T, H, K) and the rotated q_R (B, T, H, R)."""
        q = m.query(m.query_norm(m.query_latent(x, ctx), ctx) if self.query_rank else x, ctx)
        q = split_heads(q, self.heads)
        return q[..., : self.content_size], m.rotary(q[..., self.content_size :], ctx)

    def keys(self, m: Any, x: Any, ctx: Any) -> dict[str, Any]:
        """What is cached of each token: c (B, T, R), the rotated k_R (B, T, K), and where the token stands."""
        turned = m.rotary(m.rotary_key(x, ctx)[:, :, None, :], ctx)[:, :, 0, :]
        latents = m.latent_norm(m.latent(x, ctx), ctx)
        return {"latents": latents, "rotary_keys": turned, "positions": ctx.positions, "segments": ctx.documents}

    def weights(self, scores: Any, turned: Any, seen: dict[str, Any], ctx: Any) -> Any:
        """(B, H, T, S) from q_C k_Cᵀ: the rotated part added, scaled, masked, softmax in float32 at least."""
        xp = ctx.xp
        rotary = einsum(upcast(xp, turned), upcast(xp, seen["rotary_keys"]), "B T H K, B S K -> B H T S")
        scale = 1.0 / math.sqrt(self.content_size + self.rotary_size) if self.scale is None else self.scale
        mask = visible(ctx, self.sight, seen["positions"], seen["segments"])
        return xp.astype(masked_softmax(xp, (scores + rotary) * scale, mask[:, None, :, :]), turned.dtype)

    def sees_later(self) -> str | None:
        return sees_later(self.visibility)

    def cost(self, width: int, length: int) -> Cost:
        pair = 2.0 * self.heads * (self.content_size + self.rotary_size + self.value_size)
        return Cost(visible=pair * visible_pairs(self.visibility, self.window, length), executed=pair * length)

    def saved(self, width: int, length: int) -> float:
        return float(self.heads * (2 * self.content_size + self.rotary_size + self.value_size) + self.rotary_size)

    @classmethod
    def examples(cls) -> list[Example]:
        rotary = RoPE(theta=10000.0, layout="interleaved")
        base = cls(
            heads=2, rank=6, content_size=5, rotary_size=4, value_size=3, norm=RMSNorm(epsilon=1e-3), rotary=rotary
        )
        prefix = (("causal", "the prefix is seen from before"),)
        return [
            Example(spec=base, length=20),
            Example(spec=base.replace(query_rank=7, window=5, scale=0.3), length=20),
            Example(spec=base.replace(visibility="prefix"), waive=prefix),
            Example(spec=base.replace(query_rank=7, latent_bias=True, out_bias=True, dropout=0.3)),
        ]
