"""Weights that went to the wrong place in a conversion."""

import itertools
import re
from collections.abc import Iterable, Iterator

import numpy as np

from archlab.parity.causes import cause
from archlab.parity.trials import ForwardTrial


@cause(ForwardTrial)
def transposed(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """A square matrix the other way round: its shape does not tell."""
    for family, paths in families(trial.weights).items():
        if all(trial.weights[p].ndim == 2 and len(set(trial.weights[p].shape)) == 1 for p in paths):
            yield trial.but(f"{family} is transposed", weights=trial.weights | {p: trial.weights[p].T for p in paths})


@cause(ForwardTrial)
def swapped(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Two arrays of one shape under each other's names: gate and up, query and key, two norms."""
    for (one, ours), (other, theirs) in itertools.combinations(families(trial.weights).items(), 2):
        if _shapes(trial, ours) == _shapes(trial, theirs) and _layer(one) == _layer(other):
            pairs = dict(zip(ours + theirs, theirs + ours, strict=True))
            weights = trial.weights | {path: trial.weights[source] for path, source in pairs.items()}
            yield trial.but(f"{one} and {other} are swapped", weights=weights)


@cause(ForwardTrial)
def left_out(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """A bias that is not added, a scale that is not multiplied with."""
    for family, paths in families(trial.weights).items():
        idle = {"bias": 0.0, "scale": 1.0}.get(family.rpartition(".")[2])
        if idle is not None:
            arrays = {path: np.full_like(trial.weights[path], idle) for path in paths}
            yield trial.but(f"{family} is left out", weights=trial.weights | arrays)


def families(paths: Iterable[str]) -> dict[str, list[str]]:
    """Parameters of equal place in every layer, by that place: ``stack.layers.*.mixer.query.kernel``."""
    found: dict[str, list[str]] = {}
    for path in paths:
        found.setdefault(re.sub(r"\.\d+\.", ".*.", path), []).append(path)
    return found


def _shapes(trial: ForwardTrial, paths: list[str]) -> list[tuple[int, ...]]:
    return [trial.weights[path].shape for path in paths]


def _layer(family: str) -> str:
    return family.rpartition("*")[0]
