"""Tokens' losses put together another way."""

from collections.abc import Iterator

import numpy as np

from archlab.parity.causes import cause
from archlab.parity.step_trials import Counting, LossTrial, counted


def mean_of_means(targets: np.ndarray) -> Counting:
    """Each row's mean, then theirs."""
    in_row = np.maximum((targets >= 0).sum(axis=1, keepdims=True), 1)
    return Counting(targets, (targets >= 0) / in_row, float(len(targets)))


def all_counted(targets: np.ndarray) -> Counting:
    """Divided by the number of all tokens."""
    return Counting(targets, np.asarray(targets >= 0, dtype=np.float64), float(targets.size))


def unmasked(targets: np.ndarray) -> Counting:
    """Targets below 0 taken for token 0."""
    return Counting(targets, np.ones(targets.shape), float(targets.size))


def shifted_again(targets: np.ndarray) -> Counting:
    """The target of the next position; the last has none."""
    none = np.full_like(targets[:, :1], -1)
    return counted(np.concatenate([targets[:, 1:], none], axis=1))


WAYS = {
    "the loss is a mean of the rows' means": mean_of_means,
    "targets that do not count are counted in the divisor": all_counted,
    "targets that do not count are taken for token 0": unmasked,
    "targets are shifted twice: each position learns the token after the next": shifted_again,
}


@cause(LossTrial)
def another_counting(trial: LossTrial) -> Iterator[LossTrial]:
    """Means, masks and shifts."""
    for words, counting in WAYS.items():
        yield trial.but(words, counting=counting)
