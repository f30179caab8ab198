"""Texts in two parts, as encoder-decoders and as decoders alone read them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from archlab.errors import InputError
from archlab.model import Model, check_causal
from archlab.objectives.objective import UNASKED, Batch, Vocabulary, check_vocabulary

Start = Literal["pad", "bos", "eos", "cls"]
Layout = Literal["encoder_decoder", "decoder"]


@dataclass(frozen=True)
class Parts:
    """B sources (B, S) and targets (B, T), int32, and how many tokens each really has, (B,)."""

    source: np.ndarray
    source_length: np.ndarray
    target: np.ndarray
    target_length: np.ndarray

    def for_encoder_decoder(self, start: int, *, filled: bool) -> Batch:
        """The encoder reads the source, the decoder ``start`` and the target, which it is asked for.

        ``filled``: rows may have filling, and segments that tell.
        """
        asked = _real(self.target, self.target_length)
        tokens = np.concatenate([np.full_like(self.target[:, :1], start), self.target[:, :-1]], axis=1)
        batch = {
            "source_tokens": self.source,
            "tokens": np.where(asked, tokens, 0),
            "targets": np.where(asked, self.target, UNASKED),
        }
        there = _real(self.source, self.source_length)
        where = {"source_segments": there.astype(np.int32), "segments": asked.astype(np.int32)}
        return batch | where if filled else batch

    def for_decoder(self, length: int, *, filled: bool) -> Batch:
        """Source and target one after the other in ``length`` tokens; the source is the ``prefix`` (B, T)."""
        column, begin = np.arange(length + 1), self.source_length[:, None]
        end = begin + self.target_length[:, None]
        joined = np.zeros((len(self.source), length + 1), dtype=np.int32)
        joined[column < begin] = self.source[_real(self.source, self.source_length)]
        second = (column >= begin) & (column < end)
        joined[second] = self.target[_real(self.target, self.target_length)]
        there = column[1:] < end  # the last token predicts nothing
        batch = {
            "tokens": np.where(there, joined[:, :-1], 0),
            "targets": np.where(second[:, 1:], joined[:, 1:], UNASKED),
            "prefix": np.repeat(begin, length, axis=1).astype(np.int32),
        }
        return batch | {"segments": there.astype(np.int32)} if filled else batch


def _real(tokens: np.ndarray, length: np.ndarray) -> np.ndarray:
    return np.arange(tokens.shape[1]) < length[:, None]


def check_encoder_decoder(model: Model, tokenizer: Vocabulary, start: str, name: str) -> None:
    """Raise unless the model reads a source of tokens and writes another sequence that begins with ``start``."""
    if "source_tokens" not in model.inputs():
        raise InputError(
            f"model: a {type(model).__name__} reads no source of tokens, which {name} gives; take an EncoderDecoder"
        )
    check_vocabulary(model, tokenizer, "tokens", "source_tokens")
    begin, written = tokenizer.id_of(start), getattr(model, "start", None)
    if written is not None and written != begin:
        raise InputError(
            f"model.start: {written} is not the token {begin} of the role {start!r}, which {name} begins with; set"
            f" model.start={begin}, or data.objective.start to the role of {written}"
        )
    check_causal(model)
