"""Why an output differs: causes of the catalogue tried until one, or several together, reproduce it."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from archlab.errors import InputError
from archlab.parity.causes import catalogue
from archlab.parity.tolerances import relative
from archlab.parity.trials import Trial

MOST = 5  # causes at once
LEAST_GAIN = 1e-3  # the share of the distance that a further cause must explain, where the whole is not reached


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One cause: what was done differently, and how far off the definition is before and after it is switched."""

    words: str
    before: float
    after: float

    def __str__(self) -> str:
        return f"{self.words}: error {self.before:.1e}, {self.after:.1e} when switched"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """The causes found, in the order in which they explain most; ``whole`` if together they explain all."""

    findings: tuple[Finding, ...]
    whole: bool

    def __str__(self) -> str:
        if not self.findings:
            return "No cause in the catalogue brings the two nearer."
        lines = [f"  {i}. {finding}" for i, finding in enumerate(self.findings, start=1)]
        whole, part = "It computes what the definition computes if", "Explained in part: it is nearer if"
        head = whole if self.whole else part
        return "\n".join([head, *lines])


def diagnose(output: np.ndarray, trial: Trial, limit: float) -> Diagnosis:
    """Explain ``output`` by ways to do ``trial`` otherwise, up to a relative error of ``limit``.

    Errors of several causes nearly add up, so the one that takes most of the distance ‖output − definition‖ away
    is taken first, and the search goes on from the definition done that way.
    """
    output = np.asarray(output, dtype=np.float64)
    if not np.isfinite(output).all():  # no way of the definition gives that, and nothing is near it
        return Diagnosis(findings=(), whole=False)
    findings: list[Finding] = []
    now = trial.output()
    while relative(output, now) > limit and len(findings) < MOST:
        best = min(_tried(trial, output.shape), key=lambda pair: _distance(pair[1], output), default=None)
        if best is None or _distance(best[1], output) > (1 - LEAST_GAIN) * _distance(now, output):
            break
        before, (trial, now) = now, best
        errors = {"before": relative(output, before), "after": relative(output, now)}
        findings.append(Finding(words=trial.words[-1], **errors))
    return Diagnosis(findings=tuple(findings), whole=bool(findings) and relative(output, now) <= limit)


def _tried(trial: Trial, shape: tuple[int, ...]) -> Iterator[tuple[Trial, np.ndarray]]:
    """Every way of the catalogue with its output; ways that this model does not allow are passed over."""
    for cause in catalogue(type(trial)):
        for other in cause(trial):
            with contextlib.suppress(InputError):
                output = other.output()
                if output.shape == shape and np.isfinite(output).all():
                    yield other, output


def _distance(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.linalg.norm(a - b))
