"""What watches training, and may stop it."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from archlab.backends import StepMetrics
from archlab.training.metrics import Row

if TYPE_CHECKING:
    from archlab.training.session import Session


class Callback:
    """Something that watches training: override the events it cares for.

    What a callback writes of its own must not change what is trained; it ends a run early by
    :meth:`archlab.training.session.Session.stop`.
    """

    def on_train_start(self, session: "Session") -> None:
        """Training is about to go on from ``session.step`` updates."""

    def on_step_end(self, step: int, metrics: StepMetrics) -> None:
        """Update number ``step`` (from 1) was handed to the device; reading ``metrics`` waits for it."""

    def on_log(self, row: Row) -> None:
        """A row of training metrics was written."""

    def on_eval(self, row: Row) -> None:
        """The held-out loss was measured and its row written."""

    def on_checkpoint(self, step: int) -> None:
        """A checkpoint of ``step`` was handed to the disk."""

    def on_epoch_end(self, epoch: int, step: int) -> None:
        """Every row of the data was trained on ``epoch`` times."""

    def on_exception(self, error: BaseException) -> None:
        """Training ends with an error, which is raised again afterwards."""

    def on_train_end(self) -> None:
        """Training is over, done or not."""


class CallbackList(Callback):
    """Several callbacks as one: each event goes to all of them, in order.

    The last two events reach every one of them, whatever an earlier one raises.
    """

    def __init__(self, callbacks: Sequence[Callback] = ()) -> None:
        self.callbacks = list(callbacks)

    def on_train_start(self, session: "Session") -> None:
        for callback in self.callbacks:
            callback.on_train_start(session)

    def on_step_end(self, step: int, metrics: StepMetrics) -> None:
        for callback in self.callbacks:
            callback.on_step_end(step, metrics)

    def on_log(self, row: Row) -> None:
        for callback in self.callbacks:
            callback.on_log(row)

    def on_eval(self, row: Row) -> None:
        for callback in self.callbacks:
            callback.on_eval(row)

    def on_checkpoint(self, step: int) -> None:
        for callback in self.callbacks:
            callback.on_checkpoint(step)

    def on_epoch_end(self, epoch: int, step: int) -> None:
        for callback in self.callbacks:
            callback.on_epoch_end(epoch, step)

    def on_exception(self, error: BaseException) -> None:
        self._each(lambda callback: callback.on_exception(error))

    def on_train_end(self) -> None:
        self._each(lambda callback: callback.on_train_end())

    def _each(self, event: Callable[[Callback], Any]) -> None:
        errors = []
        for callback in self.callbacks:
            try:
                event(callback)
            except Exception as error:
                errors.append(error)
        if errors:
            raise errors[0]
