"""Objectives that corrupt a text and ask for what is gone."""

from collections.abc import Sequence

import numpy as np

from archlab.config import Config
from archlab.data.rows.rows import Row
from archlab.errors import InputError
from archlab.model import Model, check_causal
from archlab.objectives.corruption import corrupted, noise_counts, noise_mask
from archlab.objectives.objective import Batch, Draws, Objective, Vocabulary, check_vocabulary, stacked
from archlab.objectives.source_and_target import Layout, Start, check_encoder_decoder

_ALL_OF_IT = np.array(1 - 2.0**-52)  # the largest number that can be drawn


class Denoiser(Config):
    """One way of corrupting a text of n tokens.

    rate, span
        The share of noise and the mean length of a span, as in T5. Without ``span`` the noise is the end of the text,
        as long as is drawn evenly from 1 … 2 · rate · n − 1, so rate · n on average.
    weight
        How often it is taken, relative to the others.
    token
        The text of a token of the vocabulary that sources begin with, so that the model knows what it is to do.
    """

    rate: float
    span: float | None
    weight: float = 1.0
    token: str | None = None

    def check(self) -> None:
        self.require(0 < self.rate < 1, "rate", "must lie strictly between 0 and 1")
        self.require(self.span is None or self.span >= 1, "span", "must be ≥ 1, or null for the end of the text")
        self.require(self.span is not None or self.rate <= 0.5, "rate", "must be ≤ 0.5 for the end of the text")
        self.require(self.weight > 0, "weight", "must be > 0")

    def counts(self, lengths: np.ndarray, drawn: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """(noise tokens, spans) of texts of ``lengths``, for numbers drawn from (0, 1)."""
        if self.span is not None:
            return noise_counts(lengths, self.rate, self.span)
        most = np.clip(np.round(2 * self.rate * lengths).astype(np.int64) - 1, 1, np.maximum(lengths - 1, 1))
        noise = np.where(lengths > 1, 1 + (drawn * most).astype(np.int64), 0)
        return noise, np.minimum(noise, 1)

    def widest(self, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The most tokens that source, target and both have together, of texts of at least two tokens."""
        noise, spans = self.counts(lengths, _ALL_OF_IT)
        least = noise if self.span is not None else 1
        lead = self.token is not None
        return lengths - least + spans + 1 + lead, noise + spans + 1, lengths + 2 * spans + 2 + lead


class Denoising(Objective):
    """A denoiser is drawn for each row, which becomes a source and a target.

    Source: the text with sentinel k for span k of its noise, then "eos". Target: sentinel k and the tokens of span k,
    one after the other, then "eos". A row is one text, as T5 has it: documents in it run into one another.

    layout
        For "encoder_decoder" rows are as long as lets every source have T tokens at most. For "decoder" source and
        target stand one after the other in T tokens, and ``prefix`` (B, T) is the length of the source.
    start
        For encoder-decoders, the role of the token that writing begins with; it must be ``model.start``.
    """

    abstract = True

    layout: Layout = "encoder_decoder"
    start: Start = "pad"

    def parts(self) -> tuple[Denoiser, ...]:
        """The denoisers to draw from."""
        raise NotImplementedError

    def widths(self, lengths: int | np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The most tokens that source, target and both together have, of texts of ``lengths``."""
        each = [part.widest(np.asarray(lengths)) for part in self.parts()]
        source, target, both = (np.max(some, axis=0) for some in zip(*each, strict=True))
        return source, target, both

    def row_length(self, length: int) -> int:
        most = max(1 / (1 - part.rate) for part in self.parts())
        lengths = np.arange(2, int(length * most) + 3)
        source, _, both = self.widths(lengths)
        fits = source <= length if self.layout == "encoder_decoder" else both <= length + 1
        if not fits.any():
            raise InputError(f"data.length: {length} tokens are too few for {type(self).__name__}; raise it")
        return int(lengths[fits].max())

    def sequences(self, length: int) -> dict[str, int]:
        if self.layout == "decoder":
            return {"T": length}
        source, target, _ = map(int, self.widths(self.row_length(length)))
        return {"S": source, "T": target}

    def roles_needed(self) -> tuple[str, ...]:
        return ("eos", self.start) if self.layout == "encoder_decoder" else ("eos",)

    def sentinels_needed(self, length: int) -> int:
        raw = np.asarray(self.row_length(length))
        return max(int(part.counts(raw, _ALL_OF_IT)[1]) for part in self.parts())

    def check_tokenizer(self, tokenizer: Vocabulary, length: int) -> None:
        super().check_tokenizer(tokenizer, length)
        self._leads(tokenizer)

    def _leads(self, tokenizer: Vocabulary) -> np.ndarray | None:
        """The token that each denoiser's sources begin with; None where they begin with the text."""
        if self.parts()[0].token is None:
            return None
        found = [tokenizer.rules.token_to_id(part.token) for part in self.parts()]
        if None in found:
            raise InputError(
                f"data.objective: the tokenizer has no token {self.parts()[found.index(None)].token!r}; add it to its"
                " special tokens, or leave out the tokens of all denoisers"
            )
        return np.array(found, dtype=np.int32)

    def make(self, rows: Sequence[Row], draws: Draws, tokenizer: Vocabulary) -> Batch:
        tokens, segments = stacked(rows)
        size = tokens.shape[1]
        lengths = np.full(len(tokens), size) if segments is None else (segments > 0).sum(axis=1)
        which, noise, spans = self._drawn(lengths, draws)
        leads = self._leads(tokenizer)
        source, target, both = map(int, self.widths(size))
        parts = corrupted(
            tokens, lengths, noise_mask(lengths, noise, spans, draws, size),
            np.array(tokenizer.sentinels, dtype=np.int32), tokenizer.id_of("eos"), (source, target),
            None if leads is None else leads[which],
        )  # fmt: skip
        filled = segments is not None or any(one.span is None for one in self.parts()) or len(self.parts()) > 1
        if self.layout == "decoder":
            return parts.for_decoder(both - 1, filled=filled)
        return parts.for_encoder_decoder(tokenizer.id_of(self.start), filled=filled)

    def _drawn(self, lengths: np.ndarray, draws: Draws) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Which denoiser each row has, and how many noise tokens in how many spans."""
        parts = self.parts()
        chosen, amount = draws.uniform("denoiser", 2, len(lengths))
        weights = np.cumsum([part.weight for part in parts])
        which = np.searchsorted(weights, chosen * weights[-1])
        counts = np.stack([part.counts(lengths, amount) for part in parts])  # (denoisers, 2, B)
        noise, spans = counts[which, :, np.arange(len(lengths))].T
        return which, noise, spans

    def check_model(self, model: Model, tokenizer: Vocabulary) -> None:
        if self.layout == "decoder":
            check_vocabulary(model, tokenizer, "tokens")
            check_causal(model)
            return
        check_encoder_decoder(model, tokenizer, self.start, type(self).__name__)
