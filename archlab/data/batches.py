"""Batches for training and evaluation: each a pure function of the documents, the seed and its number."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any

from archlab.data.rows import Marked, Row, RowPlan, Rows
from archlab.data.rows.rows import blank
from archlab.data.store import TokenStore
from archlab.errors import InputError
from archlab.objectives.objective import Batch, Draws, Objective
from archlab.tokenizers import TrainedTokenizer

_TRAIN, _HELD_OUT = "data.objective/train", "data.objective/validation"


@dataclass(frozen=True, kw_only=True, eq=False)
class Batches:
    """What a model is trained and evaluated on: documents cut into rows, of which an objective makes batches.

    ``length`` and ``batch`` are T and B. ``readers`` threads make batches ahead of training, the same ones as without;
    with 0 each is made when it is asked for. Evaluation does not depend on the seed: neither its rows nor what is drawn
    for them.

    ``train`` may be several stores, whose rows ``mix`` makes one plan of.
    """

    train: TokenStore | Sequence[TokenStore]
    validation: TokenStore
    rows: Rows
    objective: Objective
    tokenizer: TrainedTokenizer
    length: int
    batch: int
    seed: int
    readers: int = 0
    mix: Callable[[list[RowPlan]], RowPlan] = lambda plans: plans[0]

    def __post_init__(self) -> None:
        self.objective.check_tokenizer(self.tokenizer, self.length)
        _ = self.plan, self.held_out  # what is wrong with the documents is known before training

    @cached_property
    def plan(self) -> RowPlan:
        """The rows to train on."""

        def plan(store: TokenStore, **frame: Any) -> RowPlan:
            return self.rows.plan(store, seed=self.seed, **frame)

        stores = self.train if isinstance(self.train, Sequence) else [self.train]
        return self.mix([self._planned(store, "train", plan) for store in stores])

    @cached_property
    def held_out(self) -> RowPlan:
        """The rows to evaluate on, each once."""
        return self._planned(self.validation, "validation", self.rows.held_out)

    @cached_property
    def _sampled(self) -> Callable[[int], RowPlan]:
        """The rows of a quick evaluation on so many batches."""

        def sample(count: int) -> RowPlan:
            def plan(store: TokenStore, **frame: Any) -> RowPlan:
                return self.rows.sample(store, count=count * self.batch, **frame)

            return self._planned(self.validation, "validation", plan)

        return lru_cache(maxsize=2)(sample)

    def _planned(self, store: TokenStore, part: str, plan: Callable[..., RowPlan]) -> RowPlan:
        """``plan`` of the documents with their marks, for rows of the length that the objective asks for."""
        self.objective.check_rows(self.rows, store)
        ids = {mark: self.tokenizer.id_of(mark) for mark in self.rows.marks}
        marked = Marked(store, ids.get("bos"), ids.get("eos")) if ids else store
        length = self.objective.row_length(self.length)
        try:
            return plan(marked, length=length, ahead=self.objective.ahead, batch=self.batch)
        except InputError as error:
            raise InputError(f"the {part} part: {error}") from None

    @property
    def steps_per_epoch(self) -> int | None:
        """How many batches it takes to see every row once; None where rows are drawn without end."""
        rows = self.plan.rows_per_epoch
        return None if rows is None else -(-rows // self.batch)

    def train_batch(self, step: int) -> Batch:
        """The batch of ``step``: rows step · B … (step + 1) · B − 1, of the next epoch where one is over."""
        count = self.plan.rows_per_epoch
        numbers = range(step * self.batch, (step + 1) * self.batch)
        places = [(0, n) if count is None else divmod(n, count) for n in numbers]
        return self._made([self.plan.row(*place) for place in places], Draws(self.seed, f"{_TRAIN}/{step}"))

    def train_batches(self, start: int, steps: int) -> Iterator[Batch]:
        """The batches of steps ``start … start + steps``."""
        return self._read(self.train_batch, start, start + steps)

    def validation_batches(self, count: int) -> list[Batch]:
        """``count`` batches of held-out rows, or as many as there are; the same ones every time."""
        plan = self._sampled(count)
        return [self._evaluated(plan, number) for number in range(min(count, self._batches(plan)))]

    def validation_pass(self) -> Iterator[Batch]:
        """All held-out rows once; the last batch is filled up with rows that hold nothing."""
        return self._read(lambda number: self._evaluated(self.held_out, number), 0, self._batches(self.held_out))

    def digest(self) -> str:
        """sha256 over all tokens: what a run must find again to go on as it began."""
        stores = self.train if isinstance(self.train, Sequence) else [self.train]
        digests = [store.digest() for store in (*stores, self.validation)]
        return hashlib.sha256("".join(digests).encode()).hexdigest()

    def _batches(self, plan: RowPlan) -> int:
        assert plan.rows_per_epoch is not None, "rows to evaluate on come to an end"
        return -(-plan.rows_per_epoch // self.batch)

    def _evaluated(self, plan: RowPlan, number: int) -> Batch:
        count = plan.rows_per_epoch or 0
        numbers = range(number * self.batch, min((number + 1) * self.batch, count))
        rows = [plan.row(0, n) for n in numbers]
        rows += [blank(rows[0])] * (self.batch - len(rows))
        return self._made(rows, Draws(0, f"{_HELD_OUT}/{number}"))

    def _made(self, rows: list[Row], draws: Draws) -> Batch:
        return self.objective.make(rows, draws, self.tokenizer)

    def _read(self, make: Callable[[int], Batch], start: int, stop: int) -> Iterator[Batch]:
        """``make(start)`` … ``make(stop − 1)``, ahead of time through Grain where readers are to make them."""
        if not self.readers:
            return (make(number) for number in range(start, stop))
        import grain  # a second to import

        options = grain.ReadOptions(num_threads=self.readers, prefetch_buffer_size=2 * self.readers)
        return iter(grain.MapDataset.range(start, stop).map(make).to_iter_dataset(options))
