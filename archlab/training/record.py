"""How sessions of a run end, for those who look at its directory later: on record in the manifest, or by a lock."""

import fcntl
import os
from pathlib import Path
from typing import TYPE_CHECKING

from archlab.training import memory
from archlab.training.callbacks import Callback
from archlab.training.manifest import now

if TYPE_CHECKING:
    from archlab.training.session import Session


class Record(Callback):
    """Holds a lock on the run's directory, and notes in the manifest how the session ended and what memory it took.

    The operating system takes the lock away from a process that ends, however it does.
    """

    def __init__(self) -> None:
        self._lock: int | None = None
        self._error: str | None = None

    def on_train_start(self, session: "Session") -> None:
        self._session = session
        self._lock = os.open(session.run.path, os.O_RDONLY)
        fcntl.flock(self._lock, fcntl.LOCK_SH)

    def on_exception(self, error: BaseException) -> None:
        self._error = f"{type(error).__name__}: {error}".rstrip(": ")

    def on_train_end(self) -> None:
        if self._lock is None:
            return
        session = self._session
        if self._error is None and session.step not in session.run.checkpoints.steps():
            self._error = f"the checkpoint of step {session.step} could not be written"
        took = {"estimated": memory.estimate(session.run.config), "measured": memory.measure(session.backend)}
        session.run.end_session(
            {"at": now(), "step": session.step, "reason": session.reason, "error": self._error, "memory": took}
        )
        os.close(self._lock)


def is_running(path: Path) -> bool | None:
    """Whether a process trains in the run directory ``path``; None where its file system has no locks."""
    handle = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(handle)
    return False
