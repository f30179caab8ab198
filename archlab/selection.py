"""Keys that each query of attention chooses by what they hold."""

from typing import Any

from archlab.ops import LOWEST, einsum, rank, upcast
from archlab.spec import Cost, Example, Spec


class Selection(Spec):
    """A part that maps (q (B, T, H, K), ctx, keys, visible (B, 1, T, S)) to those of the visible that are seen
    (B, H, T, S).
    """

    abstract = True

    def saved(self, width: int, length: int) -> float:
        return 0.0


class TopBlocks(Selection):
    """A query sees its own block of positions and the ``chosen`` others that fit it best (MoBA,
    https://arxiv.org/abs/2502.13189).

    A block fits by q · (the mean of its keys), for each head by itself; of blocks that fit equally well the
    earlier is chosen. The choice has no gradient. Under a causal mask the others are the earlier ones.

    block
        Positions in a block, counted from the start of a document.
    """

    block: int
    chosen: int

    def check(self) -> None:
        self.require(self.block > 0, "block", "must be > 0")
        self.require(self.chosen > 0, "chosen", "must be > 0")

    def cost(self, width: int, length: int) -> Cost:
        return Cost()

    def forward(self, m: Any, q: Any, ctx: Any, keys: dict[str, Any], visible: Any) -> Any:
        xp, positions, segments = ctx.xp, keys["positions"], keys["segments"]
        of_key, of_query = positions // self.block, ctx.positions // self.block
        same = (of_key[:, :, None] == of_key[:, None, :]) & (segments[:, :, None] == segments[:, None, :])
        first = ~xp.any(same & (positions[:, None, :] < positions[:, :, None]), axis=-1)  # one key for each block
        share = xp.astype(same, upcast(xp, q).dtype)
        mean = share / xp.sum(share, axis=-1, keepdims=True)
        mean = einsum(mean, upcast(xp, keys["keys"]), "B S Z, B Z G K -> B S G K")
        mean = xp.repeat(mean, q.shape[2] // mean.shape[2], axis=2)
        fits = einsum(upcast(xp, q), mean, "B T H K, B S H K -> B H T S")
        own = (of_key[:, None, :] == of_query[:, :, None])[:, None, :, :]
        fits = xp.where(visible & ~own & first[:, None, None, :], fits, xp.zeros_like(fits) + LOWEST)
        picked = xp.astype((rank(xp, fits) < self.chosen) & (fits > LOWEST), share.dtype)
        return visible & (own | (einsum(picked, share, "B H T Z, B Z S -> B H T S") > 0))

    @classmethod
    def examples(cls) -> list[Example]:
        from archlab.mixers.attention import attention_example

        return [
            attention_example(kv_heads=2, selection=cls(block=4, chosen=2), length=24),
            attention_example(selection=cls(block=3, chosen=1), length=14),
        ]
