"""Two implementations of one model: the first tensor that differs, and why."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archlab.backends import backend_names
from archlab.errors import InputError, nearest
from archlab.model import Model
from archlab.parity import tolerances
from archlab.parity.bench import Bench, named
from archlab.parity.cases import Case
from archlab.parity.comparison import kl_per_token
from archlab.parity.diagnosis import Diagnosis, diagnose
from archlab.parity.laws import slope_error
from archlab.parity.report import SHORTEST, VARIANTS
from archlab.parity.tolerances import gradient_errors, relative
from archlab.parity.training import Course, drawn_batches, train
from archlab.parity.trials import Trial
from archlab.policy import Dtype, Policy
from archlab.spec import Example
from archlab.weights import Weights

REFERENCE = "reference"
STAGES = {
    "forward": "every intermediate, in the order of computation",
    "gradients": "of every parameter",
    "update": "weights and optimiser state after one step of AdamW",
    "training": "losses of the steps",
}


@dataclass(frozen=True, kw_only=True)
class Gap:
    """A against B at one place.

    error
        Relative, as :mod:`archlab.parity.tolerances` defines it for the stage.
    cost
        What the dtype itself costs there: no implementation can be nearer to the truth; 0 where that is not measured.
    limit
        What is allowed: in float64 the table's, in lower dtypes twice what each side may be off.
    a_error, b_error
        Each side against the float64 truth, where there is one.
    """

    stage: str
    where: str
    error: float
    cost: float
    limit: float
    a_error: float | None = None
    b_error: float | None = None

    @property
    def passed(self) -> bool:
        return self.error <= self.limit

    @property
    def share(self) -> float:
        """The share of the limit that the error uses up."""
        share = self.error / self.limit
        return share if share == share else float("inf")

    def to_json(self) -> dict[str, Any]:
        numbers = {k: v if not isinstance(v, float) or np.isfinite(v) else None for k, v in vars(self).items()}
        return numbers | {"pass": self.passed}


@dataclass(frozen=True, kw_only=True)
class Difference:
    """All gaps between ``a`` and ``b``, in the order of computation; the first that is too large, and why.

    kl_mean, kl_max
        KL(a ‖ b) a token in nats, summed over the vocabulary.
    culprit
        The side that is farther from the definition at the first gap that is too large.
    """

    a: str
    b: str
    dtype: str
    gaps: tuple[Gap, ...]
    kl_mean: float
    kl_max: float
    culprit: str | None
    diagnosis: Diagnosis | None

    @property
    def first(self) -> Gap | None:
        """The first gap that is too large: everything before it agrees."""
        return next((gap for gap in self.gaps if not gap.passed), None)

    @property
    def passed(self) -> bool:
        return self.first is None

    def to_json(self) -> dict[str, Any]:
        found = () if self.diagnosis is None else self.diagnosis.findings
        return {
            "a": self.a, "b": self.b, "dtype": self.dtype, "pass": self.passed,
            "kl_mean": self.kl_mean, "kl_max": self.kl_max,
            "first": None if self.first is None else self.first.to_json(), "culprit": self.culprit,
            "causes": [dataclasses.asdict(finding) for finding in found],
            "explained": self.diagnosis is not None and self.diagnosis.whole,
            "gaps": [gap.to_json() for gap in self.gaps],
        }  # fmt: skip


def diff(
    model: Model, *, a: str, b: str, weights: Weights | None = None, dtype: Dtype = "float64",
    length: int = 64, batch: int = 2, steps: int = 20, seed: int = 0, stages: Sequence[str] = tuple(STAGES),
) -> Difference:  # fmt: skip
    """Compare two of the backends and "reference" on equal weights, drawn from ``seed`` unless given.

    ``stages`` says how far to go. Raises :class:`InputError` for an unknown side or stage, or a length that the model
    cannot take.
    """
    for stage in stages:
        if stage not in STAGES:
            raise InputError(f"there is no stage {stage!r}; {nearest(stage, STAGES)}")
    for side in (a, b):
        if side not in (known := [REFERENCE, *backend_names()]):
            raise InputError(f"there is no {side!r} to compare; {nearest(side, known)}")
    if a == b:
        raise InputError(f"both sides are {a!r}: give two that differ, such as 'reference' for one")
    longest = model.limit()
    if length < SHORTEST or (longest is not None and length > longest):
        raise InputError(f"a length of {length} is not possible: {SHORTEST} to {longest or 'any number of'} tokens")
    kind = type(model).__name__
    example = Example(spec=model, width=model.width, length=length, batch=batch)
    held = None if weights is None else {path: np.asarray(w, dtype=np.float64) for path, w in weights.items()}
    bench = Bench(Case(name=kind, spec_name=kind, example=example), seed, weights=held)
    return _Pair(bench, a, b, dtype).difference(steps, stages)


class _Pair:
    """Two sides on one bench."""

    def __init__(self, bench: Bench, a: str, b: str, dtype: Dtype) -> None:
        self.bench, self.a, self.b, self.dtype = bench, a, b, dtype
        self.policy = Policy.exact(dtype)
        self.example = bench.case.example

    def difference(self, steps: int, stages: Sequence[str]) -> Difference:
        gaps = [*self.forward(), *(self.gradients() if "gradients" in stages else ())]
        if REFERENCE not in (self.a, self.b):
            gaps += self.update() if "update" in stages else ()
            gaps += self.training(steps) if "training" in stages else ()
        culprit, why = self.explained(gaps)
        kl = kl_per_token(*(self.outputs(side, VARIANTS[0])["output"] for side in (self.a, self.b)))
        return Difference(
            a=self.a, b=self.b, dtype=self.dtype, gaps=tuple(gaps), kl_mean=float(kl.mean()), kl_max=float(kl.max()),
            culprit=culprit, diagnosis=why,
        )  # fmt: skip

    def outputs(self, side: str, variant: str) -> dict[str, np.ndarray]:
        """Every intermediate of a side by path."""
        if side == REFERENCE:
            return named(self.bench.truth(variant, self.dtype))
        return named(self.bench.forward(side, variant, self.policy))

    def forward(self) -> list[Gap]:
        """A gap for each intermediate, the worse of the variants."""
        worst: dict[str, Gap] = {}
        for variant in VARIANTS:
            truth, a, b = (self.outputs(side, variant) for side in (REFERENCE, self.a, self.b))
            for path in [*truth, *(a.keys() | b.keys()) - truth.keys()]:
                gap = self.gap(path, variant, truth.get(path), a.get(path), b.get(path))
                worst[path] = max(worst.get(path, gap), gap, key=lambda g: g.share)
        return list(worst.values())

    def gap(self, path: str, variant: str, truth: Any, a: Any, b: Any) -> Gap:
        cost, limit = 0.0, self.bench.forward_limit(variant, self.dtype, path)
        if self.dtype != "float64":
            cost, limit = self.bench.forward_floors(variant, self.dtype).get(path, 0.0), 2.0 * limit
        if truth is None or a is None or b is None:
            return Gap(stage="forward", where=f"{path} (on one side only)", error=np.inf, cost=cost, limit=limit)
        scale = float(np.max(np.abs(truth), initial=0.0)) or 1.0
        apart = tolerances.difference(a, b) / scale
        errors = {"a_error": relative(a, truth), "b_error": relative(b, truth)}
        return Gap(stage="forward", where=path, error=apart, cost=cost, limit=limit, **errors)

    def gradients(self) -> list[Gap]:
        """By parameter; against the reference, which has no backward pass, the slope along a random direction."""
        if REFERENCE in (self.a, self.b):
            sides = [side for side in (self.a, self.b) if side != REFERENCE]
            return [self.slope(side) for side in sides]
        a, b = (self.bench.gradients(side, "packed", self.policy) for side in (self.a, self.b))
        cost, limit, least = 0.0, self.bench.gradient_limit(self.b, "packed", self.dtype), 0.01
        if self.dtype != "float64":
            cost, limit, least = self.bench.gradient_floor(self.b, "packed", self.dtype), 2.0 * limit, 1.0
        errors = gradient_errors(a, b, least)
        return [Gap(stage="gradients", where=p, error=errors[p], cost=cost, limit=limit) for p in reversed([*b])]

    def slope(self, side: str) -> Gap:
        error = slope_error(self.bench, "packed", self.bench.gradients(side, "packed", Policy.exact()))
        where = f"{side}: along a random direction (float64)"
        return Gap(stage="gradients", where=where, error=error, cost=0.0, limit=tolerances.DIFFERENCE)

    def training(self, steps: int) -> Iterator[Gap]:
        """The losses, in float64 and float32; in bfloat16 there is no telling what is too much."""
        if self.dtype not in tolerances.TRAINING:
            return
        limit = tolerances.TRAINING[self.dtype]
        a, b = (self.course(side, self.policy, steps).losses for side in (self.a, self.b))
        costs = [0.0] * steps if self.dtype == "float64" else self.drift({self.a: a, self.b: b})
        for i in range(steps):
            allowed = max(limit, 2.0 * costs[i])
            error = relative(a[i], b[i])
            yield Gap(stage="training", where=f"loss of step {i + 1}", error=error, cost=costs[i], limit=allowed)

    def update(self) -> Iterator[Gap]:
        """Weights and optimiser state after the first step, in float64."""
        if self.dtype != "float64":
            return
        limit = tolerances.TRAINING[self.dtype]
        courses = (self.course(side, self.policy, 1) for side in (self.a, self.b))
        ours, theirs = ({"weights": course.weights, **course.state.slots} for course in courses)
        for name in theirs:
            worst = max(gradient_errors(ours[name], theirs[name]).items(), key=lambda pair: pair[1])
            yield Gap(stage="update", where=f"{name}: {worst[0]}", error=worst[1], cost=0.0, limit=limit)

    def course(self, side: str, policy: Policy, steps: int) -> Course:
        """A side's training of some steps, dropout on where the model has it."""
        model: Any = self.bench.spec
        batches = drawn_batches(model, length=self.example.length, batch=self.example.batch, steps=steps)
        return train(side, model, self.bench.weights, batches, policy=policy.replace(random="portable"))

    def drift(self, courses: Mapping[str, np.ndarray]) -> list[float]:
        """How far float32 alone has led a side's losses from its own in float64 by each step, the more of the two.

        From weights where the loss bends sharply (of a trained model, say) it is far more than rounding.
        """
        drifts = []
        for side, losses in courses.items():
            exact = self.course(side, Policy.exact(), len(losses)).losses
            off = [relative(x, y) for x, y in zip(losses, exact, strict=True)]
            drifts.append(np.maximum.accumulate(off))
        return np.maximum(*drifts).tolist()

    def explained(self, gaps: list[Gap]) -> tuple[str | None, Diagnosis | None]:
        """The side that is wrong at the first gap that is too large, and the causes for its output."""
        broken = [gap for gap in gaps if not gap.passed]
        if not broken or broken[0].stage != "forward":
            return None, None
        # what only one side has says nothing about who is wrong; what follows from it does
        judged = next((gap for gap in broken if gap.a_error is not None and gap.b_error is not None), None)
        if judged is None:
            return None, None
        culprit = self.a if judged.a_error > judged.b_error else self.b  # type: ignore[operator]
        if culprit == REFERENCE:
            return None, None
        for variant in VARIANTS:
            limit = self.bench.forward_limit(variant, self.dtype)
            output, truth = (self.outputs(side, variant)["output"] for side in (culprit, REFERENCE))
            if not relative(output, truth) <= limit:
                weights, inputs = self.bench.held(variant, self.dtype)
                return culprit, diagnose(output, Trial(spec=self.bench.spec, weights=weights, inputs=inputs), limit)
        return culprit, None
