"""Generation step by step: what every backend's decoder shares."""

from abc import ABC, abstractmethod
from collections.abc import Mapping

import numpy as np

from archlab.errors import InputError
from archlab.inputs import prepare
from archlab.model import Model

Inputs = Mapping[str, np.ndarray | None]


class Decoder(ABC):
    """A model that generates with its state (a KV cache, for example): prompts first, then one token at a time.

    It counts the tokens of each of ``batch`` sequences, which gives them their positions, and takes in at most
    ``length`` tokens for each, prompts included. A backend runs the model: :meth:`logits`.
    """

    def __init__(self, model: Model, *, batch: int, length: int) -> None:
        self.model, self.length = model, length
        self.seen = 0
        self._next = np.zeros(batch, dtype=np.int32)

    def prefill(self, tokens: np.ndarray, segments: np.ndarray | None = None, **first: np.ndarray) -> np.ndarray:
        """Take in the prompts (B, T), left-padded with segment 0; logits (B, V) of the last position, float32.

        ``first``: the model's other inputs, those of an encoder for example, that come once.
        """
        segments = np.ones_like(tokens) if segments is None else segments
        positions = self._next[:, None] + np.maximum(np.cumsum(segments > 0, axis=1) - 1, 0)
        return self._take(tokens, segments, positions, first)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Take in one token for each sequence (B,); logits (B, V), float32."""
        return self._take(tokens[:, None], np.ones_like(tokens)[:, None], self._next[:, None], {})

    def _take(self, tokens: np.ndarray, segments: np.ndarray, positions: np.ndarray, first: Inputs) -> np.ndarray:
        total = self.seen + tokens.shape[1]
        if total > self.length:
            raise InputError(f"{total} tokens do not fit a decoder made for {self.length}; make it longer")
        given = {"tokens": tokens, "segments": segments, "positions": positions, **first}
        logits = self.logits(prepare(self.model, given, started=self.seen > 0))
        self.seen, self._next = total, self._next + (segments > 0).sum(axis=1).astype(np.int32)
        return logits.astype(np.float32)

    @abstractmethod
    def logits(self, inputs: Inputs) -> np.ndarray:
        """Run the model on prepared inputs from the state it has, and keep the new one; the last position's logits."""
