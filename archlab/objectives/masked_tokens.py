"""Masked language modelling."""

from collections.abc import Sequence

import numpy as np

from archlab.data.rows.rows import Row
from archlab.errors import InputError
from archlab.model import Model, check_causal
from archlab.objectives.objective import (
    UNASKED,
    Batch,
    Draws,
    Objective,
    Vocabulary,
    check_vocabulary,
    placed,
    stacked,
    text_tokens,
)


class MaskedTokens(Objective):
    """Some tokens are asked, most of them hidden: BERT's  (https://arxiv.org/abs/1810.04805, section 3.1).

    Of the n tokens of text in a row, max(1, round(rate · n)) are chosen, every subset alike; marks are never chosen.
    A chosen one is replaced by the mask with probability ``mask``, by a token drawn evenly from the whole vocabulary
    with probability ``random``, and stays as it is otherwise. All of the chosen are asked.
    """

    rate: float = 0.15
    mask: float = 0.8
    random: float = 0.1
    roles = ("mask",)

    def check(self) -> None:
        self.require(0 < self.rate < 1, "rate", "must lie strictly between 0 and 1")
        self.require(0 <= self.mask <= 1, "mask", "must lie in [0, 1]")
        fits = self.random >= 0 and self.mask + self.random <= 1 + 1e-9
        self.require(fits, "random", f"must lie in [0, 1 − mask], mask being {self.mask}")

    def make(self, rows: Sequence[Row], draws: Draws, tokenizer: Vocabulary) -> Batch:
        tokens, segments = stacked(rows)
        chosen = _smallest(draws.uniform("which", *tokens.shape), text_tokens(tokens, segments, tokenizer), self.rate)
        how = draws.uniform("how", *tokens.shape)
        other = np.clip((how - self.mask) / (self.random or 1.0), 0, 1 - 2**-30) * tokenizer.vocab_size
        hidden = np.where(how < self.mask + self.random, other.astype(np.int32), tokens)
        hidden = np.where(how < self.mask, np.int32(tokenizer.id_of("mask")), hidden)
        return {
            "tokens": np.where(chosen, hidden, tokens),
            "targets": np.where(chosen, tokens, UNASKED),
        } | placed(segments)

    def check_model(self, model: Model, tokenizer: Vocabulary) -> None:
        check_unmasking(model, tokenizer, type(self).__name__)


def _smallest(drawn: np.ndarray, among: np.ndarray, rate: float) -> np.ndarray:
    """(B, T) booleans: of a row's n places that are ``among``, the max(1, round(rate · n)) with the least numbers."""
    count = among.sum(axis=1)
    wanted = np.minimum(np.maximum(1, np.round(rate * count).astype(np.int64)), count)
    drawn = np.where(among, drawn, 2.0)
    limit = np.take_along_axis(np.sort(drawn, axis=1), np.maximum(wanted - 1, 0)[:, None], axis=1)
    return (drawn <= limit) & among


def check_unmasking(model: Model, tokenizer: Vocabulary, name: str) -> None:
    """Raise unless the model answers with tokens and sees what comes after a masked one."""
    check_vocabulary(model, tokenizer, "tokens")
    if model.classes() != model.vocabulary():
        raise InputError(
            f"model: this {type(model).__name__} answers with {model.classes()} numbers and not with tokens, which"
            f" {name} asks for; set model.head to a MaskedTokenHead"
        )
    try:
        check_causal(model)
    except InputError:
        return
    raise InputError(
        f"model: it sees only what stands before a token, but {name} hides tokens in the midst of others; set the"
        " visibility of its attention to 'bidirectional', or take an Encoder"
    )
