"""Processes that hold one thing each and do with it what they are told: they can be timed in turns, undisturbed."""

import importlib
import multiprocessing
import os
import traceback
from collections.abc import Mapping
from typing import Any

from archlab.errors import InputError

DONE, REFUSED, FULL, FAILED = "done", "refused", "full", "failed"
KILLED = -9  # the exit code of a process that the system killed, as it does where memory runs out


class OutOfMemory(Exception):  # noqa: N818 - what happened, not a mistake of the caller
    """The device or the machine had not the memory; the message is the first line of what it said."""


class WorkerFailed(Exception):  # noqa: N818 - what happened, not a mistake of the caller
    """A process ended early, or met an error of the program; the message is what it said."""


class Worker:
    """A process with an object in it, made by ``start``, ``module:function``, from ``argument``.

    ``environment`` is set, and the process confined to ``cores`` of the machine, before that module is imported.
    """

    def __init__(self, start: str, argument: Any, environment: Mapping[str, str], cores: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=_serve, args=(theirs, start, argument, environment, cores), daemon=True)
        self._process.start()
        theirs.close()

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, *_: object) -> None:
        self._pipe.close()
        self._process.join(timeout=10)
        if self._process.is_alive():
            self._process.terminate()

    def ask(self, method: str, *arguments: Any) -> Any:
        """What the object's ``method`` returns; the first request waits until the object is there."""
        try:
            self._pipe.send((method, arguments))
            outcome, value = self._pipe.recv()
        except (EOFError, ConnectionError):
            self._process.join(timeout=10)
            if self._process.exitcode == KILLED:
                raise OutOfMemory("the system killed its process") from None
            raise WorkerFailed(f"its process ended with exit code {self._process.exitcode}") from None
        if outcome == DONE:
            return value
        raise {REFUSED: InputError, FULL: OutOfMemory, FAILED: WorkerFailed}[outcome](value)


def _serve(pipe: Any, start: str, argument: Any, environment: Mapping[str, str], cores: int) -> None:
    os.environ.update(environment)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
    module, _, function = start.partition(":")
    held = None
    while True:
        try:
            method, arguments = pipe.recv()
        except EOFError:
            return
        try:
            if held is None:
                held = getattr(importlib.import_module(module), function)(argument)
            reply = DONE, getattr(held, method)(*arguments)
        except InputError as error:
            reply = REFUSED, str(error)
        except Exception as error:  # whatever it is, it is told: the one who asked decides
            reply = (FULL, first_line(error)) if is_out_of_memory(error) else (FAILED, traceback.format_exc())
        pipe.send(reply)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an error of any framework, or of Python, says that there is no memory left."""
    text = str(error).lower()
    said = ("resource_exhausted", "out of memory", "not enough memory", "failed to allocate")
    return isinstance(error, MemoryError) or any(words in text for words in said)


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
