"""From one text to another: translation, summaries, answers."""

from collections.abc import Sequence

import numpy as np

from archlab.data.rows.rows import NOTHING, Row, Rows
from archlab.data.store import TokenStore
from archlab.errors import InputError
from archlab.model import Model
from archlab.objectives.objective import Batch, Draws, Objective, Vocabulary
from archlab.objectives.source_and_target import Start, check_encoder_decoder


class SequenceToSequence(Objective):
    """The target of a pair, token by token, given its source: Σ −log p(y_t | y_<t, x)  (arxiv.org/abs/1409.3215).

    The decoder reads ``start`` and the target, and is asked for the target with its end, so ``data.rows.marks`` must
    have "eos".

    start
        The role of the token that a model begins to write with; it must be ``model.start``.
    """

    start: Start = "bos"
    pairs = True

    def roles_needed(self) -> tuple[str, ...]:
        return (self.start, "eos")

    def sequences(self, length: int) -> dict[str, int]:
        return {"S": length, "T": length}

    def make(self, rows: Sequence[Row], draws: Draws, tokenizer: Vocabulary) -> Batch:
        source, target = (_joined([row[side] for row in rows]) for side in ("source", "target"))
        read = np.maximum(target, 0)
        tokens = np.concatenate([np.full_like(read[:, :1], tokenizer.id_of(self.start)), read[:, :-1]], axis=1)
        asked = (target >= 0).astype(np.int32)
        return {
            "source_tokens": np.maximum(source, 0),
            "source_segments": (source >= 0).astype(np.int32),
            "tokens": tokens * asked,
            "targets": target,
            "segments": asked,
        }

    def check_rows(self, rows: Rows, store: TokenStore) -> None:
        super().check_rows(rows, store)
        if "eos" not in rows.marks:
            raise InputError(
                "data.rows.marks: without 'eos' the model cannot learn where a target ends, which SequenceToSequence"
                " asks for; set data.rows.marks=[eos]"
            )

    def check_model(self, model: Model, tokenizer: Vocabulary) -> None:
        check_encoder_decoder(model, tokenizer, self.start, type(self).__name__)


def _joined(sides: list[np.ndarray]) -> np.ndarray:
    """(B, W): one side of pairs, as wide as the widest of them."""
    width = max(len(side) for side in sides)
    if all(len(side) == width for side in sides):
        return np.stack(sides)
    return np.stack([np.pad(side, (0, width - len(side)), constant_values=NOTHING) for side in sides])
