"""Choosing the next token, from numbers drawn on the host, so that every backend draws the same."""

from typing import Any

import numpy as np

from archlab import random
from archlab.config import Config


class Sampling(Config):
    """How the next token is drawn from logits.

    temperature
        What logits are divided by; 0 takes the most probable token (greedy).
    top_k
        Only the k most probable tokens stay possible.
    top_p
        Only the fewest tokens whose probabilities reach p together stay possible (applied after ``top_k``).
    seed
        Draw number i of a sequence is a pure function of (seed, i, its place in the batch).
    """

    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0

    def check(self) -> None:
        self.require(self.temperature >= 0, "temperature", "must be ≥ 0 (0 is greedy)")
        self.require(self.top_k is None or self.top_k > 0, "top_k", "must be > 0 or null")
        self.require(self.top_p is None or 0 < self.top_p <= 1, "top_p", "must lie in (0, 1] or be null")

    def probabilities(self, logits: Any, xp: Any = np) -> Any:
        """(…, V) logits → (…, V) probabilities after temperature, top-k and top-p; needs temperature > 0."""
        scaled = logits / self.temperature
        weights = xp.exp(scaled - xp.max(scaled, axis=-1, keepdims=True))
        if self.top_k is not None or self.top_p is not None:
            weights = self._kept(xp, scaled, weights)
        return weights / xp.sum(weights, axis=-1, keepdims=True)

    def _kept(self, xp: Any, scaled: Any, weights: Any) -> Any:
        """The weights of those tokens that stay possible, 0 elsewhere; of equal logits the lower token comes first."""
        order = xp.argsort(-scaled, axis=-1, stable=True)
        ranked = xp.take_along_axis(weights, order, axis=-1)
        if self.top_k is not None:
            rank = xp.cumulative_sum(xp.ones_like(order), axis=-1) - 1
            ranked = xp.where(rank < self.top_k, ranked, xp.zeros_like(ranked))
        if self.top_p is not None:
            ranked = ranked / xp.sum(ranked, axis=-1, keepdims=True)
            before = xp.cumulative_sum(ranked, axis=-1) - ranked
            ranked = xp.where(before < self.top_p, ranked, xp.zeros_like(ranked))
        return xp.take_along_axis(ranked, xp.argsort(order, axis=-1, stable=True), axis=-1)

    def uniforms(self, step: int, rows: int) -> np.ndarray:
        """(B,) numbers of (0, 1), float64: what draw number ``step`` of every sequence is made from; 0 where greedy."""
        if self.temperature == 0:
            return np.zeros(rows)
        return random.uniform(self.seed, f"sample/{step}", rows)

    def choose(self, logits: Any, uniforms: Any, xp: Any = np) -> Any:
        """(B, V) logits and (B,) uniforms → (B,) token ids, on any array API.

        The cumulative probabilities run in the vocabulary's order, not by rank: logits that differ in the
        last bits between two backends then give the same token but with a probability as small as the difference.
        """
        if self.temperature == 0:
            return xp.argmax(logits, axis=-1)
        return pick(self.probabilities(logits, xp), uniforms, xp)

    def draw(self, logits: np.ndarray, step: int) -> np.ndarray:
        """(B, V) logits → (B,) token ids, draw number ``step`` of every sequence, on the host in float64."""
        return self.choose(np.asarray(logits, dtype=np.float64), self.uniforms(step, len(logits)))


def pick(weights: Any, uniforms: Any, xp: Any = np) -> Any:
    """(B, V) weights and (B,) uniforms → (B,) tokens, each with a probability proportional to its weight."""
    cumulative = xp.cumulative_sum(weights, axis=-1)
    total = cumulative[:, -1:]
    reached = (cumulative > uniforms[:, None] * total) | (cumulative >= total)
    return xp.argmax(xp.astype(reached, xp.int32), axis=-1)
