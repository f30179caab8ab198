"""Two training runs: why did the second come out differently?"""

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archlab import reference
from archlab.model import Model
from archlab.parity import tolerances
from archlab.parity.bench import named
from archlab.parity.cases import Case, content
from archlab.parity.comparison import kl_per_token
from archlab.parity.diff import Gap
from archlab.parity.tolerances import ROUNDOFF, gradient_errors, relative
from archlab.spec import Example
from archlab.training.metrics import Row, read
from archlab.training.runs import Run
from archlab.weights import Weights

ABSENT = object()
"""What stands in a :class:`Change` for a side that has no such value."""

# What is written down and kept, and where a text lies, change nothing that is learned; its checksum is in data.json.
HARMLESS = ("train.log_every", "train.eval_every", "train.checkpoint_every", "train.keep", "data.dataset")
UNTOLD = ("backend", "from_step", "seed", "started")  # of a session: said elsewhere, or never equal


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
class Side:
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

    a: Side
    b: Side
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


def diff_runs(
    a: Run, b: Run, *, checkpoint: str = "last", checkpoint_b: str | None = None, length: int = 64, seed: int = 0
) -> RunDifference:
    """Compare two runs, or two checkpoints of one: "last", "best" or a step; by default B's is called as A's.

    Outputs are compared on rows of ``length`` tokens drawn from ``seed``. Raises :class:`InputError` for a run that
    cannot be read, or a length that the model cannot take.
    """
    sides = side(a, checkpoint), side(b, checkpoint if checkpoint_b is None else checkpoint_b)
    config = tuple(changes(a.config.to_dict(), b.config.to_dict()))
    data = tuple(changes(_data(a), _data(b)))
    compared = curves(a, b)
    alike = a.config.model.hash() == b.config.model.hash() and not any(c.where.startswith("tokenizer") for c in data)
    return RunDifference(
        a=sides[0], b=sides[1], config=config, environment=tuple(changes(_environment(a), _environment(b))), data=data,
        curves=compared, tensors=tuple(_tensors(*sides)),
        outputs=outputs(*sides, compared.dtype, length, seed) if alike else None,
        reason=next(_reasons(a, b, config, data, compared), None),
    )  # fmt: skip


def side(run: Run, checkpoint: str) -> Side:
    """A run with the weights and the optimiser's state of a checkpoint."""
    step, weights = run.weights(checkpoint)
    optimizer = run.checkpoints.optimizer(step, run.config.model.root(), run.config.train.optimizer)
    return Side(run=run, step=step, weights=weights, slots=optimizer.slots)


# --- what the runs were given -----------------------------------------------------------------------------


def changes(a: Any, b: Any, where: str = "") -> Iterator[Change]:
    """Every value that differs between plain data, by dotted path."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in dict.fromkeys([*a, *b]):
            yield from changes(a.get(key, ABSENT), b.get(key, ABSENT), f"{where}.{key}".removeprefix("."))
    elif isinstance(a, list) and isinstance(b, list):
        for i, (x, y) in enumerate(itertools.zip_longest(a, b, fillvalue=ABSENT)):
            yield from changes(x, y, f"{where}[{i}]")
    elif a != b:
        yield Change(where=where, a=a, b=b)


def words(value: Any) -> str:
    """A value of a :class:`Change` as JSON text."""
    return "absent" if value is ABSENT else json.dumps(value, ensure_ascii=False)


def _data(run: Run) -> dict[str, Any]:
    """Which tokens a run saw, and what they stand for."""
    tokenizer = run.tokenizer()
    rules = hashlib.sha256(tokenizer.rules.to_str().encode()).hexdigest()
    return {"data": run.data(), "tokenizer": {"vocab": tokenizer.vocab_size, "sha256": rules}}


def _environment(run: Run) -> dict[str, Any]:
    """Where and with what a run was trained: the values of its sessions, each once."""
    sessions = run.sessions()
    table: dict[str, list[Any]] = {}
    for session in sessions:
        for path, value in _leaves(session):
            if path not in UNTOLD and value not in table.setdefault(path, []):
                table[path].append(value)
    trained = [{"backend": s["backend"], "from_step": s["from_step"]} for s in sessions]
    return {"sessions": trained} | {path: ", ".join(map(str, values)) for path, values in table.items()}


def _leaves(value: Any, where: str = "") -> Iterator[tuple[str, Any]]:
    """Every value of nested mappings by dotted path."""
    if not isinstance(value, dict):
        yield where, value
        return
    for key, inner in value.items():
        yield from _leaves(inner, f"{where}.{key}".removeprefix("."))


# --- what came of it ---------------------------------------------------------------------------------------


def curves(a: Run, b: Run) -> Curves:
    """The losses of both, judged by the lower of their dtypes."""
    dtype = max((run.config.policy.compute for run in (a, b)), key=lambda name: ROUNDOFF[name])
    limit = tolerances.TRAINING.get(dtype)
    ours, theirs = (_spans(read(run.metrics_path)) for run in (a, b))
    shared = {key: (row, theirs[key][1]) for key, (start, row) in ours.items() if theirs.get(key, (None,))[0] == start}
    points = (
        Point(step=step, split=split, a=row.loss, b=other.loss, limit=limit)
        for (step, split), (row, other) in shared.items()
    )
    return Curves(dtype=dtype, points=tuple(points), uncommon=len(ours.keys() & theirs.keys()) - len(shared))


def _spans(rows: Sequence[Row]) -> dict[tuple[int, str], tuple[int, Row]]:
    """Each row by step and split, with the step after which its mean begins."""
    spans: dict[tuple[int, str], tuple[int, Row]] = {}
    before = 0
    for row in rows:
        if row.split == "val":
            spans[row.step, row.split] = (row.step, row)
        else:
            spans[row.step, row.split] = (before, row)
            before = row.step
    return spans


def _tensors(a: Side, b: Side) -> Iterator[Tensors]:
    yield tensors("weights", a.weights, b.weights)
    for slot in dict.fromkeys([*a.slots, *b.slots]):
        yield tensors(slot, a.slots.get(slot, {}), b.slots.get(slot, {}))


def tensors(name: str, a: Weights, b: Weights) -> Tensors:
    """How far apart two tables of arrays are, parameter by parameter."""
    both = [path for path in a if path in b]
    same = [path for path in both if a[path].shape == b[path].shape]
    errors = gradient_errors({p: b[p] for p in same}, {p: a[p] for p in same}) if same else {}
    return Tensors(
        name=name, errors=dict(sorted(errors.items(), key=lambda pair: (-pair[1], pair[0]))),
        only_a=tuple(path for path in a if path not in b), only_b=tuple(path for path in b if path not in a),
        reshaped=tuple(path for path in both if path not in same),
    )  # fmt: skip


def outputs(a: Side, b: Side, dtype: str, length: int, seed: int) -> Outputs:
    """The reference with each side's weights on equal tokens; ``dtype`` says which difference is one.

    That is what its training may drift by, or in dtypes where this is not known, one rounding.
    """
    model: Model = a.run.config.model
    kind = type(model).__name__
    case = Case(name=kind, spec_name=kind, example=Example(spec=model, width=model.width, length=length))
    inputs = content(case, seed, case.example.batch)
    ours, theirs = (named(reference.run(model, weights, inputs)) for weights in (a.weights, b.weights))
    limit = tolerances.TRAINING.get(dtype, ROUNDOFF[dtype])
    gaps = (
        Gap(stage="forward", where=path, error=relative(theirs[path], value), cost=0.0, limit=limit)
        for path, value in ours.items()
    )
    kl = kl_per_token(ours["output"], theirs["output"])
    return Outputs(gaps=tuple(gaps), kl_mean=float(kl.mean()), kl_max=float(kl.max()))


# --- the verdict -------------------------------------------------------------------------------------------


def _reasons(a: Run, b: Run, config: Sequence[Change], data: Sequence[Change], compared: Curves) -> Iterator[str]:
    """What tells the runs apart: config values, the data, the losses, in this order."""
    # equal architectures can be written differently: a user's file may lie elsewhere
    parts = ("model.", "data.", "train.") if a.config.model.hash() != b.config.model.hash() else ("data.", "train.")
    yield from (str(c) for c in config if c.where.startswith(parts) and c.where not in HARMLESS)
    if any(change.where == "data.sha256" for change in data):
        yield f"they were trained on different texts, {_text(a)} in A and {_text(b)} in B"
    yield from (str(change) for change in data if change.where.startswith("tokenizer."))
    if not compared.points:
        yield "there is no step at which both have a loss"
    if compared.first is not None:
        first = compared.first
        yield f"the losses part at step {first.step} ({first.split}): {first.error:.1e} > {first.limit:.1e}"


def _text(run: Run) -> str:
    noted = run.data()
    return f"{noted['dataset']} (sha256 {str(noted['sha256'])[:8]}…)"


def finite(value: float) -> float | None:
    """A number as JSON can hold it."""
    return value if np.isfinite(value) else None
