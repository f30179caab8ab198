"""Choosing the next token, on the host in float64, so that every backend draws the same."""

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

    def probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(B, V) logits → (B, V) probabilities after temperature, top-k and top-p; needs temperature > 0."""
        scaled = np.asarray(logits, dtype=np.float64) / self.temperature
        order = np.argsort(-scaled, axis=-1, kind="stable")
        weights = np.exp(scaled - scaled.max(axis=-1, keepdims=True))
        ranked = np.take_along_axis(weights, order, axis=-1)
        if self.top_k is not None:
            ranked[:, self.top_k :] = 0.0
        if self.top_p is not None:
            ranked /= ranked.sum(axis=-1, keepdims=True)
            before = np.cumsum(ranked, axis=-1) - ranked
            ranked[before >= self.top_p] = 0.0
        kept = np.zeros_like(weights)
        np.put_along_axis(kept, order, ranked, axis=-1)
        return kept / kept.sum(axis=-1, keepdims=True)

    def draw(self, logits: np.ndarray, step: int) -> np.ndarray:
        """(B, V) logits → (B,) token ids, draw number ``step`` of every sequence.

        The cumulative probabilities run in the vocabulary's order, not by rank: logits that differ in the
        last bits between two backends then give the same token but with a probability as small as the difference.
        """
        if self.temperature == 0:
            return np.argmax(logits, axis=-1)
        cumulative = np.cumsum(self.probabilities(logits), axis=-1)
        u = random.uniform(self.seed, f"sample/{step}", len(logits))[:, None] * cumulative[:, -1:]
        return np.argmax(cumulative > u, axis=-1)
