"""What a contestant is, and what it says of itself before anything is timed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from case import Batch, Case, batches

CHECKED = 5
"""Updates whose losses are compared before timing."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """``train`` does one update a batch and returns the loss of the last, for which ``float()`` may have to wait."""

    parameters: int
    train: Callable[[Sequence[Batch]], Any]


@dataclass(frozen=True, kw_only=True)
class Report:
    """A contestant's size, its losses over the first updates, and versions of packages where it runs."""

    parameters: int
    losses: list[float]
    versions: dict[str, str]


def each(step: Callable[[Batch], Any]) -> Callable[[Sequence[Batch]], Any]:
    """``train`` of a contestant that is called once a batch."""

    def train(given: Sequence[Batch]) -> Any:
        for batch in given:
            loss = step(batch)
        return loss

    return train


def report(contestant: Contestant, case: Case, packages: Sequence[str] = ()) -> Report:
    """Take the first updates and tell of them."""
    data = batches(case.shape)
    losses = [float(contestant.train([data[i % len(data)]])) for i in range(CHECKED)]
    return Report(parameters=contestant.parameters, losses=losses, versions={p: installed(p) for p in packages})


def installed(package: str) -> str:
    """The version of a distribution."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
