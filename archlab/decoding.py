"""Generation step by step: what every backend's decoder shares."""

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import numpy as np

from archlab.errors import InputError
from archlab.inputs import prepare
from archlab.model import Model
from archlab.sampling import Sampling

Inputs = Mapping[str, np.ndarray | None]


class Decoder(ABC):
    """A model that generates with its state (a KV cache, for example): prompts first, then one token at a time.

    It counts the tokens of each of ``batch`` sequences, which gives them their positions, and takes in at most
    ``length`` tokens for each, prompts included. A backend runs the model: :meth:`logits`, from ``state``.
    """

    state: Any = None

    def __init__(self, model: Model, *, batch: int, length: int) -> None:
        self.model, self.length = model, length
        self._taken = np.zeros(batch, dtype=np.int32)  # places of the state that each sequence has filled
        self._next = np.zeros(batch, dtype=np.int32)  # the position of its next token: padding has none

    @property
    def batch(self) -> int:
        """How many sequences there are."""
        return len(self._next)

    @property
    def seen(self) -> int:
        """How many tokens each sequence has taken in, padding included; the most of all where they differ."""
        return int(self._taken.max())

    def prefill(
        self, tokens: np.ndarray, segments: np.ndarray | None = None, *, piece: int | None = None, **first: np.ndarray
    ) -> np.ndarray:
        """Take in the prompts (B, T), left-padded with segment 0; logits (B, V) of the last position, float32.

        ``piece`` tokens at a time where it is given, which needs less memory and, where a backend compiles for each
        length, fewer programs; not where a prompt's tokens see later ones. ``first``: the model's other inputs, those
        of an encoder for example, that come once.
        """
        segments = np.ones_like(tokens) if segments is None else segments
        length = tokens.shape[1]
        piece = piece or length
        start = 0
        for end in range(length % piece or piece, length + 1, piece):  # what is not a whole piece comes first
            logits = self._take(tokens[:, start:end], segments[:, start:end], first)
            start, first = end, {}
        return logits

    def step(self, tokens: np.ndarray) -> np.ndarray:
        """Take in one token for each sequence (B,); logits (B, V), float32."""
        return self.score(tokens[:, None])[:, 0]

    def score(self, tokens: np.ndarray) -> np.ndarray:
        """Take in tokens (B, T), none of them padding; the logits after each, (B, T, V), float32."""
        return self._take(tokens, np.ones_like(tokens), {}, every=True)

    def reset(self) -> None:
        """Forget all that was taken in; the next prompts are a new beginning."""
        self._taken, self._next = np.zeros_like(self._taken), np.zeros_like(self._next)
        self.state = self.emptied()

    def admit(self, row: int, tokens: np.ndarray, segments: np.ndarray | None = None) -> np.ndarray:
        """Take in a prompt (1, T) as sequence ``row``, in place of what that held; logits (V,) of its end, float32.

        The other sequences stay where they are. ``segments`` as in :meth:`prefill`.
        """
        one = copy.copy(self)
        one.state, one._taken, one._next = self.empty(1), np.zeros(1, np.int32), np.zeros(1, np.int32)
        logits = one.prefill(tokens, segments)
        self.state = self.placed(row, one.state)
        self._set(row, one._taken[0], one._next[0])
        return logits[0]

    def release(self, row: int) -> None:
        """Sequence ``row`` is over: it needs no room. What is fed to it means nothing until another is admitted."""
        self._set(row, 0, 0)

    def _set(self, row: int, taken: int, following: int) -> None:
        self._taken, self._next = self._taken.copy(), self._next.copy()  # a mark may hold these
        self._taken[row], self._next[row] = taken, following

    def mark(self) -> Any:
        """What :meth:`rewind` needs to come back to where the decoder is now, once."""
        return self._taken, self._next, copy.deepcopy(self.state)

    def rewind(self, mark: Any) -> None:
        """Forget what was taken in since ``mark``."""
        self._taken, self._next, self.state = mark

    def write(
        self, tokens: np.ndarray, count: int, sampling: Sampling, *, first: int = 0, vocab: int | None = None
    ) -> np.ndarray:
        """Take in ``tokens`` (B,), draw the next ones, take those in, and so on; the ``count`` drawn, (B, count) int32.

        They are the draws number ``first``, ``first`` + 1, … of ``sampling``, among the first ``vocab`` tokens where it
        is given. The last ones drawn are not taken in. Backends do it on the device, without coming back in between.
        """
        self._check_room(count)
        uniforms = np.stack([sampling.uniforms(first + i, len(tokens)) for i in range(count)])
        drawn = self.drawn(tokens, uniforms, sampling, vocab)
        self._taken, self._next = self._taken + count, self._next + count
        return drawn

    def drawn(self, tokens: np.ndarray, uniforms: np.ndarray, sampling: Sampling, vocab: int | None) -> np.ndarray:
        """What :meth:`write` draws with ``uniforms`` (count, B): here from logits on the host."""
        columns = []
        for i, numbers in enumerate(uniforms):
            given = {"tokens": tokens[:, None], "segments": np.ones_like(tokens)[:, None]}
            given["positions"] = self._next[:, None] + i
            logits = self.logits(prepare(self.model, given, started=True))[:, :vocab]
            tokens = sampling.choose(logits.astype(np.float64), numbers).astype(np.int32)
            columns.append(tokens)
        return np.stack(columns, axis=1)

    def _take(self, tokens: np.ndarray, segments: np.ndarray, first: Inputs, *, every: bool = False) -> np.ndarray:
        self._check_room(tokens.shape[1])
        given = {"tokens": tokens, **first}
        if self.seen or (segments != 1).any():  # a row that is one document from position 0 on goes without saying
            positions = self._next[:, None] + np.maximum(np.cumsum(segments > 0, axis=1) - 1, 0)
            given |= {"segments": segments, "positions": positions}
        logits = self.logits(prepare(self.model, given, started=self.seen > 0), every=every)
        self._taken = self._taken + tokens.shape[1]
        self._next = self._next + (segments > 0).sum(axis=1).astype(np.int32)
        return logits.astype(np.float32)

    def _check_room(self, count: int) -> None:
        if self.seen + count > self.length:
            raise InputError(f"{self.seen + count} tokens do not fit a decoder made for {self.length}; make it longer")

    @abstractmethod
    def logits(self, inputs: Inputs, *, every: bool = False) -> np.ndarray:
        """Run the model on prepared inputs from the state it has, and keep the new one.

        Logits (B, V) of the last position, or (B, T, V) of ``every`` one.
        """

    @abstractmethod
    def empty(self, batch: int) -> Any:
        """The state of ``batch`` sequences before the first token, in buffers of its own."""

    @abstractmethod
    def emptied(self) -> Any:
        """The state before the first token; the buffers of the present one may be used for it."""

    @abstractmethod
    def placed(self, row: int, one: Any) -> Any:
        """The state with that of a single sequence as sequence ``row``; the buffers of the present one may be used."""
