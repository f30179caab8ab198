"""What an objective is, and what several of them share."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

import numpy as np

from archlab import random
from archlab.config import Config
from archlab.data.rows.rows import PAIR, Row, Rows
from archlab.data.store import TokenStore
from archlab.errors import InputError
from archlab.inputs import document_positions
from archlab.model import Model

Batch = dict[str, np.ndarray]
UNASKED = -1
MARKS = ("pad", "bos", "eos", "mask", "sep", "cls")  # roles of tokens that are no text


class Vocabulary(Protocol):
    """What an objective must know of a trained tokenizer."""

    vocab_size: int
    special: dict[str, int]
    sentinels: list[int]
    rules: Any

    def id_of(self, role: str) -> int:
        """The token of a role; :class:`InputError` where there is none."""


@dataclass(frozen=True)
class Draws:
    """Random numbers for one batch: each a pure function of the seed, the batch's path and the place in the batch."""

    seed: int
    path: str

    def uniform(self, name: str, *shape: int) -> np.ndarray:
        """Float64 of ``shape`` in (0, 1); equal for equal names."""
        return random.uniform(self.seed, f"{self.path}/{name}", math.prod(shape)).reshape(shape)


class Objective(Config):
    """From rows of tokens to what a model is fed and asked.

    ``ahead`` is how many tokens a row must hold beyond those that the model reads; ``pairs`` whether rows are of pairs;
    ``roles`` which special tokens the tokenizer must have.
    """

    tagged = True
    abstract = True
    ahead: ClassVar[int] = 0
    pairs: ClassVar[bool] = False
    roles: ClassVar[tuple[str, ...]] = ()

    def row_length(self, length: int) -> int:
        """How many tokens a row has for a model that reads ``length``."""
        return length

    def sequences(self, length: int) -> dict[str, int]:
        """How many tokens a model reads at most: of its own sequence (T), and of a source (S) where it is given one."""
        return {"T": length}

    def make(self, rows: Sequence[Row], draws: Draws, tokenizer: Vocabulary) -> Batch:
        """The batch of B rows: a model's inputs and ``targets`` (B, T) int32, −1 where nothing is asked.

        Where rows have segments, ``segments`` (B, T) int32 (0 for filling) and, where a row may hold several documents,
        ``positions`` (B, T). The loss is Σ w · (−log p(target)) / number of targets ≥ 0, w the optional ``weights``
        (B, T) float32. It is a pure function of its arguments.
        """
        raise NotImplementedError

    def check_tokenizer(self, tokenizer: Vocabulary, length: int) -> None:
        """Raise :class:`InputError` unless the tokenizer has what is needed for ``length`` tokens."""
        for role in self.roles_needed():
            tokenizer.id_of(role)
        need, have = self.sentinels_needed(length), len(tokenizer.sentinels)
        if have < need:
            raise InputError(
                f"data.objective: {type(self).__name__} needs {need} sentinels for rows of {length} tokens and the"
                f" tokenizer has {have}; set data.tokenizer.sentinels={need}"
            )

    def roles_needed(self) -> tuple[str, ...]:
        """Roles that the tokenizer must have a token for."""
        return self.roles

    def sentinels_needed(self, length: int) -> int:
        """How many sentinels the tokenizer must have."""
        return 0

    def check_rows(self, rows: Rows, store: TokenStore) -> None:
        """Raise :class:`InputError` unless such rows of such documents can be asked about."""
        paired = tuple(store.field_names) == PAIR
        if paired != self.pairs:
            need, have = ("pairs", "texts") if self.pairs else ("texts", "pairs")
            which = "SequenceToSequence" if paired else "NextToken or another"
            raise InputError(
                f"data.objective: {type(self).__name__} asks about {need}, and the data are {have}; take {which}"
            )

    def check_model(self, model: Model, tokenizer: Vocabulary) -> None:
        """Raise :class:`InputError` unless the model can be asked this."""
        raise NotImplementedError


def check_vocabulary(model: Model, tokenizer: Vocabulary, *needed: str) -> None:
    """Raise unless the model reads tokens, all of the tokenizer's, and asks for no more than the inputs ``needed``."""
    have, need = model.vocabulary(), tokenizer.vocab_size
    if have is None:
        raise InputError(f"model: a {type(model).__name__} reads no tokens; it cannot be trained on text")
    fed = model.inputs()
    others = [name for name, item in fed.items() if name not in needed and not item.optional]
    if others:
        what = f"model: a {type(model).__name__} reads {' and '.join(others)} too, which a text does not give"
        raise InputError(f"{what}; train it with batches of your own (archlab.find_backend(…).trainer)")
    if need > have:
        raise InputError(f"model.vocab: {have} is less than the {need} tokens of the tokenizer; set model.vocab={need}")
    for name in needed:
        below = fed[name].below
        if below is not None and below < need:
            raise InputError(f"model: {name} are 0 … {below - 1}, but the tokenizer has {need} tokens; give it as many")


def stacked(rows: Sequence[Row]) -> tuple[np.ndarray, np.ndarray | None]:
    """Tokens (B, L) of rows, and their segments (B, L) where any row has some."""
    tokens = np.stack([row["tokens"] for row in rows])
    if not any("segments" in row for row in rows):
        return tokens, None
    ones = np.ones(tokens.shape[1], dtype=np.int32)
    return tokens, np.stack([row.get("segments", ones) for row in rows])


def placed(segments: np.ndarray | None) -> Batch:
    """Where tokens stand, as entries of a batch: none where rows are one unpadded document each."""
    return {} if segments is None else {"segments": segments, "positions": document_positions(segments)}


def shifted(tokens: np.ndarray, segments: np.ndarray | None) -> Batch:
    """The next token is asked at each of (B, T + 1) tokens but the last, within a document.

    A token that filling comes after predicts nothing and nobody sees it: it is filling too.
    """
    inputs, targets = np.ascontiguousarray(tokens[:, :-1]), np.ascontiguousarray(tokens[:, 1:])
    if segments is None:
        return {"tokens": inputs, "targets": targets}
    before, after = segments[:, :-1], segments[:, 1:]
    inputs, before = np.where(after > 0, inputs, 0), np.where(after > 0, before, 0)
    asked = (before == after) & (after > 0)
    return {"tokens": inputs, "targets": np.where(asked, targets, UNASKED)} | placed(before)


def text_tokens(tokens: np.ndarray, segments: np.ndarray | None, tokenizer: Vocabulary) -> np.ndarray:
    """(B, T) booleans: where a token of the text stands, no filling and no mark."""
    marks = [tokenizer.special[role] for role in MARKS if role in tokenizer.special]
    text = np.ones(tokenizer.vocab_size, dtype=bool)
    text[marks] = False
    real = text[tokens]
    return real if segments is None else real & (segments > 0)
