"""Two sides on one bench: how far they are apart, stage by stage."""

import dataclasses
import functools
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from archlab import losses
from archlab.backends import find_backend
from archlab.layers import is_random
from archlab.model import Model
from archlab.parity import tolerances
from archlab.parity.bench import Bench, named
from archlab.parity.gaps import Gap
from archlab.parity.report import VARIANTS
from archlab.parity.sides import REFERENCE, Side
from archlab.parity.slopes import slope_error
from archlab.parity.step_trials import CourseTrial, Groups, LossTrial, course_groups
from archlab.parity.tolerances import gradient_errors, relative
from archlab.parity.training import CLIP, RATES, RULE, Course, drawn_batches, train
from archlab.policy import Dtype, Policy

STAGES = {
    "forward": "every intermediate, in the order of computation",
    "gradients": "of every parameter",
    "loss": "of the first batch",
    "update": "what the first step of AdamW leaves",
    "training": "losses of the steps",
}
EARLY = 4  # steps after which weights and optimiser state are kept, to explain what went wrong in them


class Pair:
    """Sides ``a`` and ``b`` on weights that ``dtype``, the coarser of theirs, can hold."""

    def __init__(self, bench: Bench, a: Side, b: Side, *, dtype: Dtype, steps: int) -> None:
        self.bench, self.a, self.b, self.dtype, self.steps = bench, a, b, dtype, steps
        model: Any = bench.spec
        example = bench.case.example
        self.model: Model = model
        self.batches = drawn_batches(model, length=example.length, batch=example.batch, steps=steps)

    @property
    def backends(self) -> list[Side]:
        """The sides that are not the reference."""
        return [side for side in (self.a, self.b) if side.name != REFERENCE]

    def other(self, side: Side) -> Side:
        return self.b if side is self.a else self.a

    def gaps(self, stage: str) -> Iterator[Gap]:
        """All gaps of a stage, in the order of computation."""
        stages: dict[str, Callable[[], Iterator[Gap]]] = {
            "forward": self.forward, "gradients": self.gradients, "loss": self.loss, "update": self.update,
            "training": self.training,
        }  # fmt: skip
        return stages[stage]()

    # --- forward -----------------------------------------------------------------------------------------

    def outputs(self, side: Side, variant: str) -> dict[str, np.ndarray]:
        """Every intermediate of a side by path."""
        if side.name == REFERENCE:
            return named(self.bench.truth(variant, self.dtype))
        return named(self.bench.forward(side.name, variant, side.policy))

    def forward(self) -> Iterator[Gap]:
        """A gap for each intermediate, the worse of the variants."""
        worst: dict[str, Gap] = {}
        for variant in VARIANTS:
            truth = named(self.bench.truth(variant, self.dtype))
            a, b = (self.outputs(side, variant) for side in (self.a, self.b))
            for path in [*truth, *(a.keys() | b.keys()) - truth.keys()]:
                gap = self._gap(path, variant, truth.get(path), a.get(path), b.get(path))
                worst[path] = max(worst.get(path, gap), gap, key=lambda g: g.share)
        yield from worst.values()

    def _gap(self, path: str, variant: str, truth: Any, a: Any, b: Any) -> Gap:
        cost, limit = 0.0, self.bench.forward_limit(variant, self.dtype, path)
        if self.dtype != "float64":
            cost, limit = self.bench.forward_floors(variant, self.dtype).get(path, 0.0), 2.0 * limit
        if truth is None or a is None or b is None:
            return Gap(stage="forward", where=f"{path} (on one side only)", error=np.inf, cost=cost, limit=limit)
        scale = float(np.max(np.abs(truth), initial=0.0)) or 1.0
        apart = tolerances.difference(a, b) / scale
        errors = {"a_error": relative(a, truth), "b_error": relative(b, truth)}
        return Gap(stage="forward", where=path, error=apart, cost=cost, limit=limit, **errors)

    # --- gradients ---------------------------------------------------------------------------------------

    def slopes(self, side: Side) -> dict[str, np.ndarray]:
        """A side's gradients by parameter."""
        return self.bench.gradients(side.name, "packed", side.policy)

    def gradients(self) -> Iterator[Gap]:
        """By parameter; against the reference, which has no backward pass, the slope along a random direction."""
        if len(self.backends) < 2:
            for side in self.backends:
                error = slope_error(self.bench, "packed", self.bench.gradients(side.name, "packed", Policy.exact()))
                where = f"{side}: along a random direction (float64)"
                yield Gap(stage="gradients", where=where, error=error, cost=0.0, limit=tolerances.DIFFERENCE)
            return
        a, b = self.slopes(self.a), self.slopes(self.b)
        cost, limit, least = 0.0, self.bench.gradient_limit(self.b.name, "packed", self.dtype), 0.01
        if self.dtype != "float64":
            cost, limit, least = self.bench.gradient_floor(self.b.name, "packed", self.dtype), 2.0 * limit, 1.0
        errors = gradient_errors(a, b, least)
        for path in reversed([*b]):
            yield Gap(stage="gradients", where=path, error=errors[path], cost=cost, limit=limit)

    # --- loss, update and training -----------------------------------------------------------------------

    def loss_trial(self) -> LossTrial:
        """The definition's loss of the first batch."""
        batch = self.batches[0]
        logits = self.bench.define(
            self.bench.weights, {name: array for name, array in batch.items() if name != "targets"}
        ).output
        return LossTrial(logits=self.model.main(logits), targets=batch["targets"])

    def counted(self, side: Side) -> np.ndarray:
        """(sum, count) of the first batch's loss."""
        if side.name == REFERENCE:
            trial = self.loss_trial()
            return np.array(losses.cross_entropy(trial.logits, trial.targets))
        trainer = find_backend(side.name).trainer(
            self.model, weights=self.bench.weights, optimizer=RULE, clip=CLIP, policy=side.policy
        )
        return np.array(trainer.evaluate(self.batches[0]))

    def loss(self) -> Iterator[Gap]:
        """Sum and count, in float64."""
        if self.dtype != "float64":
            return
        truth = self.loss_trial().output()
        a, b = self.counted(self.a), self.counted(self.b)
        for i, where in enumerate(("sum", "count")):
            errors = {"a_error": relative(a[i], truth[i]), "b_error": relative(b[i], truth[i])}
            error = relative(a[i], b[i])
            yield Gap(stage="loss", where=where, error=error, cost=0.0, limit=tolerances.FORWARD, **errors)

    def course_trial(self, steps: int) -> CourseTrial | None:
        """The first steps by their equations; None where masks are drawn, which the definition does not do."""
        if is_random(self.model.root()):
            return None
        trial = CourseTrial(
            model=self.model, weights=self.bench.weights, batches=self.batches[:steps], rate=RATES.rate,
            optimizer=RULE, clip=CLIP, backend=self.backends[-1].name,
        )  # fmt: skip
        start = self.bench.once("start", lambda: trial.slope(trial.weights, trial.batches[0]))
        return dataclasses.replace(trial, start=start)

    def course(self, side: Side, policy: Policy) -> Course:
        """A backend's training, dropout on where the model has it."""
        policy = policy.replace(random="portable")
        run = functools.partial(
            train, side.name, self.model, self.bench.weights, self.batches, policy=policy, early=EARLY
        )
        return self.bench.once(("course", side.name, policy, self.steps), run)

    def after(self, side: Side, steps: int) -> Groups | None:
        """What is there after some of the early steps; None for the reference where it cannot say."""
        if side.name == REFERENCE:
            trial = self.course_trial(steps)
            return None if trial is None else self.bench.once(("definition", steps), trial.groups)
        course = self.course(side, side.policy)
        weights, state = course.early[steps - 1]
        return course_groups(course.losses[:steps], course.norms[:steps], weights, state)

    def update(self) -> Iterator[Gap]:
        """Loss, gradient norm, weights and optimiser state after the first step, in float64."""
        a, b = self.after(self.a, 1), self.after(self.b, 1)
        if self.dtype != "float64" or a is None or b is None:
            return
        truth = self.after(Side(REFERENCE, REFERENCE, Policy.exact()), 1)
        for name, arrays in b.items():
            errors = gradient_errors(a[name], arrays)
            worst = max(errors, key=lambda path: errors[path])
            off = {}
            if truth is not None:
                off = {f"{s}_error": gradient_errors(g[name], truth[name])[worst] for s, g in (("a", a), ("b", b))}
            where = f"{name}: {worst}" if worst else name
            limit = tolerances.TRAINING["float64"]
            yield Gap(stage="update", where=where, error=errors[worst], cost=0.0, limit=limit, **off)

    def training(self) -> Iterator[Gap]:
        """The losses, in float64 and float32; in bfloat16 there is no telling what is too much."""
        if self.dtype not in tolerances.TRAINING or len(self.backends) < 2:
            return
        limit = tolerances.TRAINING[self.dtype]
        a, b = (self.course(side, side.policy).losses for side in (self.a, self.b))
        costs = [0.0] * self.steps if self.dtype == "float64" else self.drift()
        for i in range(self.steps):
            allowed = max(limit, 2.0 * costs[i])
            error = relative(a[i], b[i])
            yield Gap(stage="training", where=f"loss of step {i + 1}", error=error, cost=costs[i], limit=allowed)

    def drift(self) -> list[float]:
        """How far float32 alone has led a side's losses from its own in float64 by each step, the more of the two.

        From weights where the loss bends sharply (of a trained model, say) it is far more than rounding.
        """
        drifts = []
        for side in (self.a, self.b):
            losses = self.course(side, side.policy).losses
            exact = self.course(side, Policy.exact()).losses
            off = [relative(x, y) for x, y in zip(losses, exact, strict=True)]
            drifts.append(np.maximum.accumulate(off))
        return np.maximum(*drifts).tolist()
