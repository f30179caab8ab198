"""What a contestant is, and what it says of itself before anything is timed."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from itertools import cycle, islice
from typing import Any, Protocol

import numpy as np
from case import CHECKED, Batch, Case, Writing, batches, prompts


class Timed(Protocol):
    """A model at work: its size, what it computes, and how long that takes."""

    parameters: int

    def shown(self, case: Any) -> np.ndarray:
        """What all contestants must compute alike."""
        ...

    def seconds(self, case: Any, count: int) -> float:
        """Seconds that one of ``count`` steps takes, or one of the tokens of ``count`` generations."""
        ...


@dataclass(kw_only=True)
class Contestant:
    """``train`` does one update a batch and returns the loss of the last, for which ``float()`` may have to wait."""

    parameters: int
    train: Callable[[Sequence[Batch]], Any]

    def shown(self, case: Case) -> np.ndarray:
        """The losses of the first updates."""
        return np.array([float(self.train([batch])) for batch in _turns(case, CHECKED)])

    def seconds(self, case: Case, count: int) -> float:
        given = _turns(case, count)
        begin = time.perf_counter()
        float(self.train(given))
        return (time.perf_counter() - begin) / count


@dataclass(kw_only=True)
class Writer:
    """``write`` continues prompts (B, P): (B, N) tokens, each the most probable one, on the host."""

    parameters: int
    write: Callable[[np.ndarray], np.ndarray]

    def shown(self, case: Writing) -> np.ndarray:
        """The tokens of two generations, one after the other."""
        given = prompts(case)
        return np.concatenate([self.write(given), self.write(given)], axis=1)

    def seconds(self, case: Writing, count: int) -> float:
        given = prompts(case)
        begin = time.perf_counter()
        for _ in range(count):
            self.write(given)
        return (time.perf_counter() - begin) / count / case.new


@dataclass(frozen=True, kw_only=True)
class Report:
    """A contestant's size, what it shows, and versions of packages where it runs."""

    parameters: int
    shown: np.ndarray
    versions: dict[str, str]


def _turns(case: Case, count: int) -> list[Batch]:
    return list(islice(cycle(batches(case.shape)), count))


def each(step: Callable[[Batch], Any]) -> Callable[[Sequence[Batch]], Any]:
    """``train`` of a contestant that is called once a batch."""

    def train(given: Sequence[Batch]) -> Any:
        for batch in given:
            loss = step(batch)
        return loss

    return train


def report(contestant: Timed, case: Case, packages: Sequence[str] = ()) -> Report:
    """Let it compute what is compared, and tell of it."""
    versions = {package: installed(package) for package in packages}
    return Report(parameters=contestant.parameters, shown=contestant.shown(case), versions=versions)


def installed(package: str) -> str:
    """The version of a distribution."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
