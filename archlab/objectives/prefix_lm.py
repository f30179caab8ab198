"""Language modelling after a prefix that is seen as a whole."""

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
    shifted,
    stacked,
)
from archlab.objectives.runs import runs_of
from archlab.spec import walk


class PrefixLM(Objective):
    """Each document of n tokens is split at random into a prefix, seen both ways, and a rest, which is asked token by
    token  (https://arxiv.org/abs/1910.10683, section 3.2).

    The prefix has k tokens, uniform on 1 … n − 1. ``prefix`` (B, T) is the k of each token's document; the targets that
    count are those from the k-th token's on.
    """

    ahead = 1

    def make(self, rows: Sequence[Row], draws: Draws, tokenizer: Vocabulary) -> Batch:
        tokens, segments = stacked(rows)
        batch = shifted(tokens, segments)
        runs = runs_of(tokens.shape, segments)
        drawn = draws.uniform("prefix", *tokens.shape)[runs.row, runs.start]
        length = 1 + (drawn * np.maximum(runs.length - 1, 0)).astype(np.int32)
        prefix = runs.spread(length, 0)[:, :-1].astype(np.int32)
        asked = runs.places()[:, :-1] >= prefix - 1
        return batch | {"targets": np.where(asked, batch["targets"], UNASKED), "prefix": prefix}

    def check_model(self, model: Model, tokenizer: Vocabulary) -> None:
        check_vocabulary(model, tokenizer, "tokens")
        check_causal(model)
        check_prefix(model, type(self).__name__)


def check_prefix(model: Model, name: str) -> None:
    """Raise unless some part of the model reads a prefix."""
    if not any(getattr(part.spec, "visibility", None) == "prefix" for _, part in walk(model.root())):
        raise InputError(
            f"model: no part of it sees a prefix, which {name} gives; set the visibility of its attention to 'prefix'"
        )
