"""What a comparison of two training runs found."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archlab.parity import tolerances
from archlab.parity.gaps import Gap
from archlab.parity.tolerances import relative
from archlab.training.runs import Run
from archlab.weights import Weights

ABSENT = object()
"""What stands in a :class:`Change` for a side that has no such value."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """A value that differs, by its dotted path; :data:`ABSENT` where a side has none."""

    where: str
    a: Any
    b: Any

    def __str__(self) -> str:
        return f"{self.where} is {words(self.a)} in A and {words(self.b)} in B"

    def to_json(self) -> dict[str, Any]:
        """The side that has no value has no key."""
        return {"where": self.where} | {k: v for k, v in (("a", self.a), ("b", self.b)) if v is not ABSENT}


@dataclass(frozen=True, kw_only=True)
class Point:
    """A loss that both runs logged after ``step`` updates; ``limit`` is None in dtypes where none is known."""

    step: int
    split: str
    a: float
    b: float
    limit: float | None

    @property
    def error(self) -> float:
        return relative(self.b, self.a)

    @property
    def passed(self) -> bool:
        return self.limit is None or self.error <= self.limit

    def to_json(self) -> dict[str, Any]:
        numbers = {"a": finite(self.a), "b": finite(self.b), "error": finite(self.error), "limit": self.limit}
        return {"step": self.step, "split": self.split} | numbers | {"pass": self.passed}


@dataclass(frozen=True, kw_only=True)
class Curves:
    """The losses at the steps that both runs have, in order.

    uncommon
        How many training rows at common steps are left out, because the two average over other steps.
    """

    dtype: str
    points: tuple[Point, ...]
    uncommon: int

    @property
    def first(self) -> Point | None:
        """The first point where the losses differ by more than the limit."""
        return next((point for point in self.points if not point.passed), None)

    @property
    def worst(self) -> Point | None:
        return max(self.points, key=lambda point: point.error, default=None)

    @property
    def last(self) -> Point | None:
        return self.points[-1] if self.points else None

    def to_json(self) -> dict[str, Any]:
        marked = {"first": self.first, "worst": self.worst, "last": self.last}
        return {
            "dtype": self.dtype, "limit": tolerances.TRAINING.get(self.dtype), "uncommon": self.uncommon,
            **{name: None if point is None else point.to_json() for name, point in marked.items()},
            "points": [point.to_json() for point in self.points],
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Tensors:
    """The weights, or one slot of the optimiser's state, by parameter.

    errors
        Worst first, as :func:`~archlab.parity.tolerances.gradient_errors` defines them.
    only_a, only_b, reshaped
        Parameters that one side alone has, and those whose shapes differ.
    """

    name: str
    errors: Mapping[str, float]
    only_a: tuple[str, ...]
    only_b: tuple[str, ...]
    reshaped: tuple[str, ...]

    def unmatched(self) -> list[str]:
        """A line for each kind of parameter that cannot be compared."""
        kinds = {"only in A": self.only_a, "only in B": self.only_b, "of another shape": self.reshaped}
        return [f"{kind}: {', '.join(paths)}" for kind, paths in kinds.items() if paths]

    def to_json(self) -> dict[str, Any]:
        return vars(self) | {"errors": {path: finite(error) for path, error in self.errors.items()}}


@dataclass(frozen=True, kw_only=True)
class Outputs:
    """Each run's own weights on equal tokens, in float64: every intermediate in the order of computation.

    kl_mean, kl_max
        KL(A ‖ B) a token in nats, summed over the vocabulary.
    """

    gaps: tuple[Gap, ...]
    kl_mean: float
    kl_max: float

    @property
    def first(self) -> Gap | None:
        return next((gap for gap in self.gaps if not gap.passed), None)

    def to_json(self) -> dict[str, Any]:
        return {
            "first": None if self.first is None else self.first.to_json(),
            "kl_mean": finite(self.kl_mean), "kl_max": finite(self.kl_max), "gaps": [g.to_json() for g in self.gaps],
        }  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Trained:
    """One of the runs, at a checkpoint."""

    run: Run
    step: int
    weights: Weights
    slots: Mapping[str, Weights]

    @property
    def path(self) -> Path:
        return self.run.path

    def trained(self) -> str:
        """The backend of each session, and from which step."""
        return ", ".join(f"{s['backend']} from step {s['from_step']}" for s in self.run.sessions())


@dataclass(frozen=True, kw_only=True)
class RunDifference:
    """All that differs between the runs ``a`` and ``b``.

    config, environment, data
        Values of the config; of the sessions; of ``data.json`` and the tokenizer.
    tensors
        The weights first, then the optimiser's slots.
    outputs
        None where the models or the tokenizers differ.
    reason
        The first thing that tells the runs apart, in words; None where they agree.
    """

    a: Trained
    b: Trained
    config: tuple[Change, ...]
    environment: tuple[Change, ...]
    data: tuple[Change, ...]
    curves: Curves
    tensors: tuple[Tensors, ...]
    outputs: Outputs | None
    reason: str | None

    @property
    def passed(self) -> bool:
        return self.reason is None

    @property
    def verdict(self) -> str:
        """The whole result in one sentence."""
        if self.reason is not None:
            return f"the runs differ: {self.reason}"
        if self.curves.dtype not in tolerances.TRAINING:
            return f"the runs agree in all that they were given; {self.curves.dtype} has no limit for their losses"
        return "the runs agree"

    def to_json(self) -> dict[str, Any]:
        return {
            "a": {"run": str(self.a.path), "step": self.a.step}, "b": {"run": str(self.b.path), "step": self.b.step},
            "pass": self.passed, "verdict": self.verdict, "reason": self.reason,
            "config": [change.to_json() for change in self.config],
            "environment": [change.to_json() for change in self.environment],
            "data": [change.to_json() for change in self.data],
            "curves": self.curves.to_json(),
            "tensors": [tensors.to_json() for tensors in self.tensors],
            "outputs": None if self.outputs is None else self.outputs.to_json(),
        }  # fmt: skip


def words(value: Any) -> str:
    """A value of a :class:`Change` as JSON text."""
    return "absent" if value is ABSENT else json.dumps(value, ensure_ascii=False)


def finite(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if np.isfinite(value) else None
