"""The laws on many cases, on all of the machine's cores."""

import dataclasses
import os
import traceback
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from typing import Any

import numpy as np

from archlab.backends import backend_names, find_backend
from archlab.parity.bench import Bench, Row
from archlab.parity.cases import Case, registered_cases
from archlab.parity.laws import LAWS

Job = tuple[Case, Sequence[str]]
"""A registered case, and the laws that it is put through."""


def rows_by_case(jobs: Sequence[Job]) -> Iterator[tuple[Case, list[Row]]]:
    """Each case with the rows of its laws on every backend, in the order in which they come.

    A law that a case waives is left out, and so is the sharded law of a backend whose mesh takes several processes:
    :mod:`archlab.parity.processes` has it.
    """
    if not jobs:
        return
    twins: dict[tuple[Any, tuple[str, ...]], list[Case]] = {}
    for case, laws in jobs:
        twins.setdefault((case.twin, tuple(laws)), []).append(case)
    # the longest first: none is left alone at the end
    waiting = sorted(twins.items(), key=lambda item: size(item[1][0]), reverse=True)
    context = get_context("spawn")  # a fork would take over the threads of the frameworks
    pool = ProcessPoolExecutor(min(os.cpu_count() or 1, len(waiting)), context, initializer=_prepare_worker)
    try:
        futures = {pool.submit(_rows, cases[0].name, laws): cases for (_, laws), cases in waiting}
        for future in as_completed(futures):
            for case in futures[future]:
                yield case, [dataclasses.replace(row, spec=case.name) for row in future.result()]
    finally:
        pool.shutdown(cancel_futures=True)


def size(case: Case) -> int:
    """Roughly how much there is to compute: tokens of the longest rows, squared where they look at each other."""
    return case.example.length * case.example.width


def rehearse() -> None:
    """Ready this process for the sharded law of backends whose mesh it can hold alone, before it computes anything."""
    for name in backend_names():
        backend = find_backend(name)
        if backend.rehearsal.processes == 1:
            backend.rehearse()


def forget() -> None:
    """Drop what the backends keep of earlier cases: it is of no use to the next one."""
    for name in backend_names():
        find_backend(name).forget()


def _prepare_worker() -> None:
    os.environ["OMP_NUM_THREADS"] = "1"  # a worker has one core
    rehearse()


def _rows(name: str, laws: Sequence[str]) -> list[Row]:
    """The rows of one case, in a worker: it finds the case by its name."""
    forget()
    bench = Bench(next(case for case in registered_cases() if case.name == name))
    backends = backend_names()
    return [
        row
        for i, backend in enumerate(backends)
        for law in laws
        if law not in bench.case.waived and (law != "sharded" or find_backend(backend).rehearsal.processes == 1)
        for row in tried(bench, law, backend, backends[:i])
    ]


def tried(bench: Bench, law: str, backend: str, others: Sequence[str]) -> list[Row]:
    """The rows of a law; where it raises an error, a row that says which and where."""
    try:
        return LAWS[law](bench, backend, others)
    except Exception as error:
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
        return [bench.row(law, backend, "", np.inf, 0.0, where)]
