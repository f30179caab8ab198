"""Contestants in processes of their own, timed in turns.

A contestant starts from the case's weights and takes training steps when it is told to. Before anything is
timed, all must have the same number of parameters and the same losses over the first updates.
"""

import importlib
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
from case import Batch, Case, batches

CHECKED = 5
"""Updates whose losses are compared before timing."""
NOISE = {"cpu": 1e-5, "cuda": 1e-3, "tpu": 1e-3}
"""Largest relative difference of the first loss: float32 noise, and that of the TF32 or bfloat16 products that
accelerators use for float32. Later losses may differ ten times as much, because AdamW amplifies noise."""


class VoidComparisonError(Exception):
    """The contestants do not compute the same thing."""


@dataclass(frozen=True, kw_only=True)
class Contestant:
    """``step`` does one update; it returns the loss, for which ``float()`` may have to wait."""

    parameters: int
    step: Callable[[Batch], Any]


class Worker:
    """A process that holds one contestant. ``start`` is ``module:function``, from a case to a contestant."""

    def __init__(self, name: str, start: str, case: Case) -> None:
        self.name = name
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, start, case), daemon=True)
        self._process.start()
        theirs.close()

    def receive(self) -> Any:
        """What the process reports next."""
        try:
            return self._pipe.recv()
        except EOFError:
            raise VoidComparisonError(f"{self.name} died; its error stands above") from None

    def run(self, steps: int) -> float:
        """Seconds a step, over ``steps`` steps and the wait for the last loss."""
        self._pipe.send(steps)
        return self.receive()

    def stop(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()


def _serve(pipe: Any, start: str, case: Case) -> None:
    _confine(case)
    module, _, function = start.partition(":")
    contestant: Contestant = getattr(importlib.import_module(module), function)(case)
    data = batches(case.shape)
    losses = [float(contestant.step(data[i % len(data)])) for i in range(CHECKED)]
    pipe.send((contestant.parameters, losses))
    turns = cycle(data)
    while True:
        try:
            steps = pipe.recv()
        except EOFError:
            return
        begin = time.perf_counter()
        for _ in range(steps):
            loss = contestant.step(next(turns))
        float(loss)
        pipe.send((time.perf_counter() - begin) / steps)


def _confine(case: Case) -> None:
    """The same cores, threads and device for every framework. Comes before they are imported."""
    if case.device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: case.threads])
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(case.threads)
    os.environ["JAX_PLATFORMS"] = {"cpu": "cpu", "cuda": "cuda,cpu", "tpu": "tpu,cpu"}[case.device]
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # several processes share one accelerator


@contextmanager
def workers(starts: dict[str, str], case: Case) -> Iterator[list[Worker]]:
    """A worker for every contestant, all of them checked against the first."""
    running: list[Worker] = []
    try:
        reports = {}
        for name, start in starts.items():
            running.append(Worker(name, start, case))
            reports[name] = running[-1].receive()  # one after the other: compilations do not disturb each other
        agree(reports, NOISE[case.device])
        yield running
    finally:
        for worker in running:
            worker.stop()


def agree(reports: dict[str, tuple[int, list[float]]], noise: float) -> None:
    """Raise unless all contestants report the parameters and losses of the first one."""
    first, *others = reports
    parameters, losses = reports[first]
    limits = np.array([noise] + [10 * noise] * (len(losses) - 1))
    for name in others:
        their_parameters, their_losses = reports[name]
        if their_parameters != parameters:
            raise VoidComparisonError(f"{name} has {their_parameters:,} parameters, {first} has {parameters:,}")
        error = np.abs(np.subtract(their_losses, losses)) / np.abs(losses)
        if not np.all(error <= limits):
            raise VoidComparisonError(f"the losses of {name}, {their_losses}, are not those of {first}, {losses}")


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
