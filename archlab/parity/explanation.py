"""Which side is wrong at the first gap that is too large, and why."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from archlab.parity import tolerances
from archlab.parity.bench import Bench
from archlab.parity.diagnosis import Diagnosis, diagnose
from archlab.parity.gaps import Gap
from archlab.parity.pair import EARLY, Pair
from archlab.parity.report import VARIANTS
from archlab.parity.sides import REFERENCE, Side
from archlab.parity.slopes import slope_error
from archlab.parity.step_trials import GradientTrial, flat
from archlab.parity.tolerances import relative
from archlab.parity.trials import ForwardTrial
from archlab.weights import Weights

Explanation = tuple[Side | None, Diagnosis | None]
UNKNOWN: Explanation = (None, None)


def explained(pair: Pair, gaps: Sequence[Gap]) -> Explanation:
    """The side that is farther from the definition, and the causes for what it computes."""
    broken = [gap for gap in gaps if not gap.passed]
    if not broken:
        return UNKNOWN
    stage = broken[0].stage
    of_stage = [gap for gap in broken if gap.stage == stage]
    if stage == "forward":
        return forward(pair, of_stage)
    if pair.dtype != "float64":  # what comes after the forward pass is explained where rounding hides nothing
        return UNKNOWN
    if stage == "gradients":
        return gradients(pair, of_stage[0])
    if stage == "loss":
        return loss(pair)
    return course(pair, 1 if stage == "update" else [*gaps].index(of_stage[0]) - _first(gaps, "training") + 1)


def _first(gaps: Sequence[Gap], stage: str) -> int:
    return next(i for i, gap in enumerate(gaps) if gap.stage == stage)


def forward(pair: Pair, broken: Sequence[Gap]) -> Explanation:
    """By the output of the side that is farther off at the first place that both sides have."""
    # what only one side has says nothing about who is wrong; what follows from it does
    judged = next((gap for gap in broken if gap.a_error is not None and gap.b_error is not None), None)
    if judged is None:
        return UNKNOWN
    culprit = pair.a if judged.a_error > judged.b_error else pair.b  # type: ignore[operator]
    if culprit.name == REFERENCE:
        return UNKNOWN
    for variant in VARIANTS:
        limit = pair.bench.forward_limit(variant, pair.dtype)
        output = pair.outputs(culprit, variant)["output"]
        if not relative(output, pair.bench.truth(variant, pair.dtype).output) <= limit:
            weights, inputs = pair.bench.held(variant, pair.dtype)
            return culprit, diagnose(output, ForwardTrial(spec=pair.bench.spec, weights=weights, inputs=inputs), limit)
    return culprit, None


def gradients(pair: Pair, gap: Gap) -> Explanation:
    """By the reference's slope along the first parameter whose gradients differ."""
    if len(pair.backends) < 2:
        return UNKNOWN
    slopes = {side: pair.slopes(side) for side in (pair.a, pair.b)}
    if any(gap.where not in found for found in slopes.values()):
        return UNKNOWN
    errors = {s: slope_error(pair.bench, "packed", {gap.where: g[gap.where]}) for s, g in slopes.items()}
    culprit = max(errors, key=lambda side: errors[side])
    right = pair.other(culprit)
    if not errors[right] <= tolerances.DIFFERENCE < errors[culprit]:
        return UNKNOWN
    return culprit, explain_gradients(pair.bench, "packed", slopes[culprit], slopes[right], right.name)


def explain_gradients(bench: Bench, variant: str, wrong: Weights, right: Weights, backend: str) -> Diagnosis:
    """Float64 gradients of a model that are not the ``right`` ones, which ``backend`` gave."""
    model: Any = bench.spec
    trial = GradientTrial(
        model=model, weights=bench.weights, inputs=bench.variants[variant], cotangent=bench.cotangent(variant),
        backend=backend, truth=right, gradients=right,
    )  # fmt: skip
    return diagnose(flat({"gradients": wrong}, {"gradients": right}), trial, tolerances.GRADIENT)


def loss(pair: Pair) -> Explanation:
    """By the sum and the count."""
    trial = pair.loss_trial()
    truth = trial.output()
    found = {side: pair.counted(side) for side in (pair.a, pair.b)}
    culprit = max(found, key=lambda side: float(np.max(np.abs(found[side] - truth) / truth)))
    return culprit, diagnose(found[culprit], trial, tolerances.FORWARD)


def course(pair: Pair, steps: int) -> Explanation:
    """By what is there after the steps up to the first whose loss or update differs."""
    trial = pair.course_trial(steps) if steps <= EARLY else None
    if trial is None:
        return UNKNOWN
    truth = trial.groups()
    found = {side: flat(groups, truth) for side in (pair.a, pair.b) if (groups := pair.after(side, steps)) is not None}
    right = flat(truth, truth)
    culprit = max(found, key=lambda side: relative(found[side], right))
    return culprit, diagnose(found[culprit], replace(trial, scales=truth), tolerances.TRAINING["float64"])
