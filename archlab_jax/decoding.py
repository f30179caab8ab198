"""Generation step by step."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from archlab.errors import InputError
from archlab.inputs import prepare
from archlab.model import Model
from archlab.policy import Policy
from archlab_jax.program import program
from archlab_jax.runtime import precision


class Decoder:
    """A compiled prefill and a compiled step; the state's buffers are reused."""

    def __init__(
        self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int, policy: Policy
    ) -> None:  # fmt: skip
        self.model, self.policy, self.length = model, policy, length
        with precision(policy):
            self.program = program(model, model.width, policy)
            self.leaves = self.program.leaves(weights)
            self.state = self.program.initial_state(batch, length)
        self.seen = 0
        self.next = np.zeros(batch, dtype=np.int32)
        self._step = jax.jit(self._last, donate_argnums=3)

    def _last(self, leaves: Any, tokens: Any, where: Any, state: Any) -> Any:
        logits, state = self.program.call(leaves, {"tokens": tokens}, where, state)
        return logits[:, -1], state

    def prefill(self, tokens: np.ndarray, segments: np.ndarray | None = None) -> np.ndarray:
        segments = np.ones_like(tokens) if segments is None else segments
        positions = self.next[:, None] + np.maximum(np.cumsum(segments > 0, axis=1) - 1, 0)
        return self._take(tokens, segments, positions)

    def step(self, tokens: np.ndarray) -> np.ndarray:
        return self._take(tokens[:, None], np.ones_like(tokens)[:, None], self.next[:, None])

    def _take(self, tokens: np.ndarray, segments: np.ndarray, positions: np.ndarray) -> np.ndarray:
        self.seen += tokens.shape[1]
        if self.seen > self.length:
            raise InputError(f"{self.seen} tokens do not fit a decoder made for {self.length}; make it longer")
        ready = prepare(self.model, {"tokens": tokens, "segments": segments, "positions": positions})
        self.next = self.next + (segments > 0).sum(axis=1).astype(np.int32)
        with precision(self.policy):
            where = {k: ready[k] for k in ("positions", "segments", "prefix")}
            logits, self.state = self._step(self.leaves, ready["tokens"], where, self.state)
        return np.asarray(logits, dtype=np.float32)
