"""Contestants in processes of their own, timed in turns.

A contestant starts from the case's weights and takes training steps when it is told to. Before anything is
timed, all must have the same number of parameters and the same losses over the first updates.
"""

import dataclasses
import multiprocessing
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from case import Case
from contestant import Report
from contestants import Entry, Place

NOISE = {"cpu": 1e-5, "cuda": 1e-3, "tpu": 1e-3}
"""Largest relative difference of the first loss: float32 noise, and that of the TF32 or bfloat16 products that
accelerators use for float32. Later losses may differ ten times as much, because AdamW amplifies noise."""


class VoidComparisonError(Exception):
    """The contestants do not compute the same thing."""


class Worker:
    """A process that holds one contestant."""

    def __init__(self, name: str, entry: Entry, place: Place, case: Case) -> None:
        self.name = name
        self._pipe, theirs = multiprocessing.Pipe()
        command = [place.python, str(Path(__file__).parent / "worker.py"), str(theirs.fileno())]
        self._process = subprocess.Popen(command, pass_fds=[theirs.fileno()])
        theirs.close()
        self._pipe.send((entry.start, entry.packages, dataclasses.replace(case, checkout=place.checkout)))

    def receive(self) -> Any:
        """What the process reports next."""
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionResetError):
            raise VoidComparisonError(f"{self.name} died; its error stands above") from None

    def run(self, steps: int) -> float:
        """Seconds a step, over ``steps`` steps and the wait for the last loss."""
        self._pipe.send(steps)
        return self.receive()

    def stop(self) -> None:
        """End the process."""
        self._pipe.close()
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.terminate()
            self._process.wait()


@contextmanager
def workers(
    entries: Mapping[str, Entry], places: Mapping[str, Place], case: Case
) -> Iterator[tuple[list[Worker], dict[str, Report]]]:
    """A worker for every contestant that knows the case's style, and what they report; all are checked."""
    running: list[Worker] = []
    try:
        reports = {}
        for name, entry in entries.items():
            if case.style in entry.styles:
                running.append(Worker(name, entry, places.get(name, Place()), case))
                reports[name] = running[-1].receive()  # one after the other: compilations do not disturb each other
        agree(reports, NOISE[case.device])
        yield running, reports
    finally:
        for worker in running:
            worker.stop()


def agree(reports: Mapping[str, Report], noise: float) -> None:
    """Raise unless all contestants report the parameters and losses of the first one."""
    (first, wanted), *others = reports.items()
    for name, found in others:
        if found.parameters != wanted.parameters:
            counts = f"{name} has {found.parameters:,} parameters, {first} has {wanted.parameters:,}"
            raise VoidComparisonError(counts)
        limits = np.array([noise] + [10 * noise] * (len(wanted.losses) - 1))
        error = np.abs(np.subtract(found.losses, wanted.losses)) / np.abs(wanted.losses)
        if not np.all(error <= limits):
            raise VoidComparisonError(
                f"the losses of {name}, {found.losses}, are not those of {first}, {wanted.losses}"
            )


def interleave(running: list[Worker], rounds: int, steps: int) -> dict[str, list[float]]:
    """Seconds a step for every round and contestant: A B C, A B C, …, after one round that does not count."""
    seconds: dict[str, list[float]] = {worker.name: [] for worker in running}
    for turn in range(rounds + 1):
        for worker in running:
            measured = worker.run(steps)
            if turn:
                seconds[worker.name].append(measured)
    return seconds


@dataclass(frozen=True, kw_only=True)
class Summary:
    """A median and the quartiles around it."""

    median: float
    low: float
    high: float


def summary(values: list[float]) -> Summary:
    low, median, high = np.percentile(values, [25, 50, 75])
    return Summary(median=float(median), low=float(low), high=float(high))


def speedup(ours: list[float], theirs: list[float]) -> Summary:
    """How many times faster we are than they, round by round: drift of the machine touches both alike."""
    return summary([their / our for our, their in zip(ours, theirs, strict=True)])
