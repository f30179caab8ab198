"""Why a run ends before its last step."""

import signal
import threading
from types import FrameType
from typing import TYPE_CHECKING, Any, Self

from archlab.config import Config
from archlab.training.callbacks import Callback
from archlab.training.metrics import Row, read

if TYPE_CHECKING:
    from archlab.training.session import Session

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class EarlyStopping(Config):
    """Training ends where the held-out loss has not fallen for a while.

    patience
        Evaluations in a row that did not improve on the best loss.
    least
        How much lower a loss must be to be an improvement, in nats.
    """

    patience: int
    least: float = 0.0

    def check(self) -> None:
        self.require(self.patience > 0, "patience", "must be > 0")
        self.require(self.least >= 0, "least", "must be ≥ 0")

    def waited(self, losses: list[float]) -> int:
        """Evaluations since the last improvement."""
        best, waited = float("inf"), 0
        for loss in losses:
            improved = loss < best - self.least
            best, waited = (loss, 0) if improved else (best, waited + 1)
        return waited


class Budget(Config):
    """What a run may cost, all its sessions together; it ends after the step that reaches a limit.

    seconds
        Of training, evaluation and checkpoints not counted.
    tokens
        Target tokens trained on.
    """

    seconds: float | None = None
    tokens: int | None = None

    def check(self) -> None:
        self.require(self.seconds is None or self.seconds > 0, "seconds", "must be > 0 or null")
        self.require(self.tokens is None or self.tokens > 0, "tokens", "must be > 0 or null")

    def spent(self, seconds: float, tokens: int) -> str | None:
        """Why the run ends; None where it may go on."""
        if self.tokens is not None and tokens >= self.tokens:
            return f"train.budget.tokens={self.tokens} is reached"
        if self.seconds is not None and seconds >= self.seconds:
            return f"train.budget.seconds={self.seconds:g} is reached"
        return None


class StopEarly(Callback):
    """Ends a run by :class:`EarlyStopping`; it reads what came before off the metrics: resuming changes nothing."""

    def __init__(self, config: EarlyStopping) -> None:
        self.config = config

    def on_train_start(self, session: "Session") -> None:
        self.session = session
        path = session.run.metrics_path
        self.losses = [row.loss for row in read(path) if row.split == "val"] if path.exists() else []

    def on_eval(self, row: Row) -> None:
        self.losses.append(row.loss)
        if self.config.waited(self.losses) >= self.config.patience:
            self.session.stop(f"the held-out loss has not fallen for {self.config.patience} evaluations")


class Signals:
    """While it is entered, SIGTERM and SIGINT ask a session to stop after its step; a second one ends it at once.

    Only in the main thread, the only one that Python lets handle signals; and a signal that this process was started
    to ignore, as a shell has it with what runs in the background, stays ignored.
    """

    def __init__(self, session: "Session") -> None:
        self.session = session
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            heard = [number for number in SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]
            self._before = {number: signal.signal(number, self._handle) for number in heard}
        return self

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self._restore()
        self.session.interrupt(signal.Signals(number).name)

    def _restore(self) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def __exit__(self, *error: object) -> None:
        self._restore()
