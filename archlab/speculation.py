"""Speculative decoding: a small model proposes, the large one looks at all proposals at once.

Every proposal x, drawn from the draft's distribution q, is kept with probability min(1, p(x) / q(x)), p the target's;
the first that is not is replaced by a draw from max(p − q, 0) / Σ max(p − q, 0), and after proposals that are all kept
comes one from p. What is written is then distributed as if the target had written alone; with temperature 0 it is the
same text (https://arxiv.org/abs/2211.17192, https://arxiv.org/abs/2302.01318).

The sequences of a batch go on by equally many tokens: by one more than all of them keep. A sequence that would keep
more takes its next proposal, which it has accepted, and makes the rest anew; since what others keep says nothing about
what is proposed here, no distribution changes.
"""

from dataclasses import dataclass

import numpy as np

from archlab import random
from archlab.decoding import Decoder
from archlab.errors import InputError
from archlab.sampling import Sampling, pick


@dataclass(kw_only=True)
class Tally:
    """How many tokens a draft proposed for each sequence, and how many of them all sequences kept."""

    proposed: int = 0
    kept: int = 0


class Speculator:
    """Writes with ``target`` what ``draft`` proposes, ``lookahead`` tokens at a time; both have read the prompts.

    It draws among the first ``vocab`` tokens. ``tally`` counts.
    """

    def __init__(
        self, target: Decoder, draft: Decoder, sampling: Sampling, *, lookahead: int, vocab: int | None = None
    ) -> None:
        if lookahead < 1:
            raise InputError(f"lookahead is {lookahead}; it must be > 0")
        self.target, self.draft, self.sampling, self.vocab = target, draft, sampling, vocab
        self.lookahead, self.tally, self._round = lookahead, Tally(), 0

    def write(self, tokens: np.ndarray, limit: int) -> np.ndarray:
        """Take in ``tokens`` (B,) and write at least one more for each sequence, at most ``limit``: (B, n) int32."""
        count = min(self.lookahead, limit - 1)
        before, drafted = self.target.mark(), self.draft.mark()
        fed, proposed = [tokens], []
        for i in range(count):
            proposed.append(self._probabilities(self.draft.step(fed[-1])))
            fed.append(self._pick(proposed[-1], f"draft {i}"))
        wanted = self._probabilities(self.target.score(np.stack(fed, axis=1)))
        accepted = [self._accepted(i, fed[i + 1], proposed[i], wanted[:, i]) for i in range(count)]
        runs = np.cumprod(np.stack([*accepted, np.zeros(len(tokens), bool)], axis=1), axis=1).sum(axis=1)
        kept = int(runs.min())
        if kept < count:
            for decoder, mark in ((self.target, before), (self.draft, drafted)):
                decoder.rewind(mark)
                decoder.score(np.stack(fed[: kept + 1], axis=1))
        else:
            self.draft.step(fed[-1])
        last = self._last(runs, kept, fed, proposed, wanted)
        self.tally.proposed, self.tally.kept = self.tally.proposed + count, self.tally.kept + kept
        self._round += 1
        return np.stack([*fed[1 : kept + 1], last], axis=1)

    def _accepted(self, place: int, drawn: np.ndarray, q: np.ndarray, p: np.ndarray) -> np.ndarray:
        rows = np.arange(len(drawn))
        return self._uniforms(f"keep {place}", len(drawn)) * q[rows, drawn] < p[rows, drawn]

    def _last(
        self, runs: np.ndarray, kept: int, fed: list[np.ndarray], proposed: list[np.ndarray], wanted: np.ndarray
    ) -> np.ndarray:
        """The token after the ``kept`` ones: the draft's own where it is accepted, else one from what is left of p."""
        left = wanted[:, kept]
        if kept == len(proposed):
            return self._pick(left, "after")
        left = np.maximum(left - proposed[kept], 0)
        left = np.where(left.sum(axis=1, keepdims=True) > 0, left, wanted[:, kept])
        return np.where(runs > kept, fed[kept + 1], self._pick(left, "after"))

    def _probabilities(self, logits: np.ndarray) -> np.ndarray:
        """(…, V) probabilities of logits (…, V); all of it on one token where the temperature is 0."""
        logits = logits[..., : self.vocab].astype(np.float64)
        if self.sampling.temperature:
            return self.sampling.probabilities(logits)
        return np.eye(logits.shape[-1])[logits.argmax(axis=-1)]

    def _pick(self, weights: np.ndarray, what: str) -> np.ndarray:
        return pick(weights, self._uniforms(what, len(weights))).astype(np.int32)

    def _uniforms(self, what: str, rows: int) -> np.ndarray:
        return random.uniform(self.sampling.seed, f"speculate/{self._round}/{what}", rows)
