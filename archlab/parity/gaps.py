"""A against B at one place, and all such gaps of a comparison."""

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from archlab.parity.diagnosis import Diagnosis


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
    diagnosis
        The causes for what the culprit computes there, where they could be tried.
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
