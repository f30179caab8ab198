"""Language modelling of documents whose middle comes last."""

from collections.abc import Sequence

import numpy as np

from archlab.data.rows.rows import Row
from archlab.model import Model, check_causal
from archlab.objectives.objective import Batch, Draws, Objective, Vocabulary, check_vocabulary, shifted, stacked
from archlab.objectives.runs import Runs, runs_of

_ADDED = 3  # sentinels


class FillInTheMiddle(Objective):
    """Next tokens, but with probability ``rate`` a document's middle stands at its end  (arxiv.org/abs/2207.14255).

    Two cuts drawn evenly from its n + 1 places part a document into prefix p, middle m and suffix s; any of them may be
    empty. It becomes PRE p SUF s MID m (PSM), or with probability ``spm_rate`` PRE SUF s MID p m (SPM, the paper's
    variant 2, which shares work with PSM). PRE, SUF and MID are the tokenizer's first three sentinels. All of it is
    asked. Marks stay where they are: with ``marks: [eos]`` in ``data.rows`` the end follows the middle, so that a model
    learns where to stop.

    Tokens are what is cut between ("token level"), and documents as they stand in the rows ("context level"). To make
    room for the sentinels a row's last tokens are left out before, three for each changed document.
    """

    rate: float = 0.5
    spm_rate: float = 0.5
    ahead = 1

    def check(self) -> None:
        for name in ("rate", "spm_rate"):
            self.require(0 <= getattr(self, name) <= 1, name, "must lie in [0, 1]")

    def sentinels_needed(self, length: int) -> int:
        return _ADDED

    def make(self, rows: Sequence[Row], draws: Draws, tokenizer: Vocabulary) -> Batch:
        tokens, segments = stacked(rows)
        runs = runs_of(tokens.shape, segments)
        drawn = draws.uniform("documents", len(runs.row), 4)
        changed = drawn[:, 0] < self.rate
        runs = _with_room(runs, changed)
        changed &= runs.length > 0
        order = _Order(tokens, runs, changed, drawn[:, 1] < self.spm_rate, drawn[:, 2:], tokenizer)
        tokens, numbers = order.applied(tokens, tokenizer.sentinels[:_ADDED])
        return shifted(tokens, None if segments is None else numbers)

    def check_model(self, model: Model, tokenizer: Vocabulary) -> None:
        check_vocabulary(model, tokenizer, "tokens")
        check_causal(model)


def _with_room(runs: Runs, changed: np.ndarray) -> Runs:
    """The runs without as many tokens at the end of each row as sentinels come into it."""
    width = runs.of.shape[1]
    end = width - _ADDED * np.bincount(runs.row, weights=changed, minlength=len(runs.of)).astype(np.int64)
    length = np.clip(end[runs.row] - runs.start, 0, runs.length)
    of = np.where(np.arange(width) < end[:, None], runs.of, -1)
    return Runs(runs.row, runs.start, length, of)


class _Order:
    """Where the tokens of each run go, counted from where the run begins, and where its sentinels do."""

    def __init__(
        self, tokens: np.ndarray, runs: Runs, changed: np.ndarray, spm: np.ndarray, cuts: np.ndarray,
        tokenizer: Vocabulary,
    ) -> None:  # fmt: skip
        self.runs, self.changed = runs, changed
        first = tokens[runs.row, runs.start] == tokenizer.special.get("bos", -1)
        end = np.maximum(runs.start + runs.length - 1, 0)
        last = tokens[runs.row, end] == tokenizer.special.get("eos", -1)
        lead = (first & (runs.length > 0)).astype(np.int64)
        size = np.maximum(runs.length - lead - last, 0)
        low, high = np.sort((cuts * (size[:, None] + 1)).astype(np.int64), axis=1).T
        after = size - high  # how long the suffix is
        # Where prefix, middle and suffix move to from where they stand: (R,) each.
        self.lead, self.low, self.high, self.size = lead, low, high, size
        self.prefix = np.where(spm, 3 + after, 1)
        self.middle = 3 + after
        self.suffix = np.where(spm, 2 - high, 2 + low - high)
        self.sentinels = lead[:, None] + np.stack(
            [np.zeros_like(low), np.where(spm, 1, 1 + low), np.where(spm, 2 + after, 2 + low + after)], axis=1
        )

    def applied(self, tokens: np.ndarray, sentinels: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
        """Tokens in their new order, and the number of each one's run in its row, from 1 on."""
        runs, changed = self.runs, self.changed
        sizes = runs.length + _ADDED * changed
        begin = np.cumsum(sizes) - sizes
        rows = np.bincount(runs.row, weights=sizes, minlength=len(tokens)).astype(np.int64)
        begin = begin - (np.cumsum(rows) - rows)[runs.row]  # the column that each run begins at
        row, column = np.nonzero(runs.of >= 0)
        run = runs.of[row, column]
        out, numbers = np.zeros((2, *tokens.shape), dtype=np.int32)
        place = column - runs.start[run]
        out[row, begin[run] + place + np.where(changed[run], self._moved(run, place), 0)] = tokens[row, column]
        which = np.flatnonzero(changed)
        out[runs.row[which, None], begin[which, None] + self.sentinels[which]] = np.asarray(sentinels, dtype=np.int32)
        leader = np.searchsorted(runs.row, runs.row)  # the first run of each one's row
        covered = np.arange(tokens.shape[1]) < rows[:, None]
        numbers[covered] = np.repeat(np.arange(len(sizes)) - leader + 1, sizes)
        return out, numbers

    def _moved(self, run: np.ndarray, place: np.ndarray) -> np.ndarray:
        """How far a token moves that stands at ``place`` of a changed ``run``."""
        inner = place - self.lead[run]
        parts = [inner < 0, inner < self.low[run], inner < self.high[run], inner < self.size[run]]
        return np.select(parts, [0, self.prefix[run], self.middle[run], self.suffix[run]], _ADDED)
