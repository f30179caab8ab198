"""What is said of times that were taken in turns."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float


def summary(values: Sequence[float]) -> Summary:
    """Of the values of all rounds."""
    low, median, high = np.percentile(values, [25, 50, 75])
    return Summary(median=float(median), low=float(low), high=float(high))


def ratio(ours: Sequence[float], theirs: Sequence[float]) -> Summary:
    """Their time over ours, round by round: drift of the machine touches both alike. Above 1 we are faster."""
    return summary([their / our for our, their in zip(ours, theirs, strict=True)])
