"""The process of one contestant: ``python worker.py FD`` serves the harness at the other end of a pipe.

It needs NumPy and what the contestant imports, nothing else: so it may run in an environment of its own.
"""

import importlib
import os
import sys
from multiprocessing.connection import Connection

from case import Case
from contestant import Timed, report

PLATFORMS = {"cpu": "cpu", "cuda": "cuda,cpu", "tpu": "tpu,cpu"}
"""What JAX may use, by the device that is timed."""


def serve(pipe: Connection) -> None:
    """Report on the contestant that is asked for, then run as often as is asked for, and tell the time."""
    start, packages, case = pipe.recv()
    confine(case)
    module, _, function = start.partition(":")
    contestant: Timed = getattr(importlib.import_module(module), function)(case)
    pipe.send(report(contestant, case, packages))
    while True:
        try:
            count = pipe.recv()
        except EOFError:
            return
        pipe.send(contestant.seconds(case, count))


def confine(case: Case) -> None:
    """The same cores, threads and device for every framework, and the contestant's own source. Comes before imports."""
    if case.device == "cpu" and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: case.threads])
    os.environ["OMP_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = str(case.threads)
    os.environ["JAX_PLATFORMS"] = PLATFORMS[case.device]
    os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] = "false"  # several processes share one accelerator
    if case.checkout:
        sys.path[1:1] = [str(case.checkout / "src"), str(case.checkout)]


if __name__ == "__main__":
    with Connection(int(sys.argv[1])) as connection:
        serve(connection)
