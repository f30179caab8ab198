"""Times taken in turns, and what is said of them."""

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

PAUSE = 0.3
"""Seconds before each turn: threads of the one before may still wait for work, in loops that take a core."""

T = TypeVar("T")


def in_turn(members: Sequence[T], turn: int) -> Iterator[T]:
    """All of ``members`` in the order of round ``turn``, with a pause before each.

    The order is drawn anew for each round, the same in every run: nobody always follows the same other.
    """
    for member in random.Random(turn).sample(members, len(members)):
        time.sleep(PAUSE)
        yield member


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
