"""Contestants in processes of their own, timed in turns.

A contestant starts from the case's weights and trains or writes when it is told to. Before anything is timed, all
must have the same number of parameters and show the same: losses of the first updates, or what they write.
"""

import dataclasses
import multiprocessing
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from case import Case
from contestant import Report
from contestants import Entry, Place

from archlab.bench.rounds import in_turn


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

    def run(self, count: int) -> float:
        """Seconds a step or a token, over ``count`` steps or generations and the wait for the last result."""
        self._pipe.send(count)
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
        agree({name: reports[name] for name in reports if not entries[name].apart}, case.tolerance)
        yield running, reports
    finally:
        for worker in running:
            worker.stop()


def agree(reports: Mapping[str, Report], tolerance: Sequence[float]) -> None:
    """Raise unless all contestants report the parameters of the first one, and show the same within a tolerance."""
    first = next(iter(reports), "")
    for name, found in reports.items():
        wanted = reports[first]
        if found.parameters != wanted.parameters:
            counts = f"{name} has {found.parameters:,} parameters, {first} has {wanted.parameters:,}"
            raise VoidComparisonError(counts)
        if found.shown.shape != wanted.shown.shape:
            raise VoidComparisonError(f"{name} shows {found.shown.shape} numbers, {first} {wanted.shown.shape}")
        near = np.abs(found.shown - wanted.shown) <= np.array(tolerance) * np.abs(wanted.shown)
        if not near.all():
            place = tuple(int(i) for i in np.argwhere(~near)[0])
            raise VoidComparisonError(
                f"{name} shows {found.shown[place]} where {first} shows {wanted.shown[place]}, in place {place} of "
                f"{wanted.shown.shape}; {np.mean(near):.1%} agree"
            )


def interleave(running: list[Worker], rounds: int, count: int) -> dict[str, list[float]]:
    """Seconds a step or a token by round and contestant: A B C, C A B, …, after one round that does not count."""
    seconds: dict[str, list[float]] = {worker.name: [] for worker in running}
    for turn in range(rounds + 1):
        for worker in in_turn(running, turn):
            measured = worker.run(count)
            if turn:
                seconds[worker.name].append(measured)
    return seconds
