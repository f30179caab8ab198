"""What takes a mesh of several processes: the sharded law, and training.

``python -m archlab.parity.processes BACKEND RANK FOLDER TYPE…`` is one of them; the first writes what came out.
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from archlab.backends import find_backend
from archlab.config import find_type
from archlab.parity.bench import Bench, Row
from archlab.parity.cases import cases_of, drawn_weights, registered_cases
from archlab.parity.running import tried
from archlab.parity.training import mesh_model, mesh_rows
from archlab.spec import Spec

STORE, ROWS, ONLY = "store", "rows.json", "only.json"
TRAINING = "training"


class ProcessesFailed(Exception):  # noqa: N818 - what happened, not a mistake of the caller
    """A process of the mesh ended early; the message is the end of what it said."""


def sharded_rows(
    backend: str, types: Sequence[str] = (), only: Sequence[str] | None = None
) -> dict[str, list[Row]]:  # fmt: skip
    """By case, the rows of the sharded law of all registered specs and of ``types``; and those of :data:`TRAINING`.

    ``only`` are the names of the cases to try, where not all are.
    """
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, ONLY).write_text(json.dumps(only), encoding="utf-8")
        ranks = range(find_backend(backend).rehearsal.processes)
        logs = [Path(folder, f"{rank}.log") for rank in ranks]
        processes = [_start(backend, rank, Path(folder), types, log) for rank, log in zip(ranks, logs, strict=True)]
        try:
            for process, log in zip(processes, logs, strict=True):
                if process.wait() != 0:
                    raise ProcessesFailed(log.read_text(encoding="utf-8", errors="replace")[-3000:])
        finally:
            for process in processes:
                process.kill()
                process.wait()
        found = json.loads(Path(folder, ROWS).read_text(encoding="utf-8"))
    return {name: [Row(**row) for row in rows] for name, rows in found.items()}


def _start(backend: str, rank: int, folder: Path, types: Sequence[str], log: Path) -> subprocess.Popen:
    command = [sys.executable, "-m", "archlab.parity.processes", backend, str(rank), str(folder), *types]
    paths = os.pathsep.join(filter(None, sys.path))
    with log.open("w", encoding="utf-8") as out:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
        return subprocess.Popen(command, env=environment, stdout=out, stderr=subprocess.STDOUT)


def main(backend: str, rank: int, folder: Path, types: Sequence[str]) -> None:
    """Be one of the processes."""
    find_backend(backend).rehearse(rank, folder / STORE)
    cases = registered_cases() + [case for name in types for case in cases_of(find_type(name, Spec))]  # type: ignore[arg-type]
    only = json.loads((folder / ONLY).read_text(encoding="utf-8"))
    cases = [case for case in cases if only is None or case.name in only]
    known: dict[Any, list[Row]] = {}
    for case in cases:
        if case.twin not in known:
            known[case.twin] = tried(Bench(case), "sharded", backend, ())
    found = {case.name: known[case.twin] for case in cases}
    found[TRAINING] = _training(backend)
    if rank == 0:
        table = {name: [vars(row) for row in rows] for name, rows in found.items()}
        (folder / ROWS).write_text(json.dumps(table), encoding="utf-8")


def _training(backend: str) -> list[Row]:
    model = mesh_model(dropout=0.2)
    return mesh_rows(backend, model, drawn_weights(model.root(), 5), length=10)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:])
