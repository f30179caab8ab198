"""Counting what training steps cost and yield, without waiting for the device at each of them."""

import math
import time

from archlab.backends import StepMetrics
from archlab.training.metrics import Row


class NonFiniteLossError(Exception):
    """A loss that is no longer a finite number: training on is pointless."""


class Meter:
    """Gathers the metrics of steps and turns those since the last row into the next.

    Its clock runs from :meth:`start` to :meth:`row`, so what happens between a row and the next step
    (evaluation, checkpoints) is not counted.
    """

    def __init__(self, tokens: int = 0, seconds: float = 0.0) -> None:
        self.tokens, self.seconds = tokens, seconds
        self._pending: list[StepMetrics] = []
        self._started: float | None = None
        self._compiled: tuple[int, float] | None = None  # where the session stood after its first step
        self._begun = self._since = (tokens, seconds)

    def start(self) -> None:
        """Let the clock run, if it stands."""
        if self._started is None:
            self._started = time.perf_counter()

    def add(self, metrics: StepMetrics, tokens: int) -> None:
        """Count one step on ``tokens`` target tokens."""
        self._pending.append(metrics)
        self.tokens += tokens
        if self._compiled is None:  # the first step of a session compiles: wait, and leave it out of the speed
            float(metrics.loss)
            self._stop()
            self._compiled = self._since = (self.tokens, self.seconds)
            self.start()

    def row(self, step: int, rate: float) -> Row:
        """The row of all steps since the last one; waits until the device has done them."""
        losses = [float(m.loss) for m in self._pending]
        norms = [float(m.grad_norm) for m in self._pending]
        noted = {name: sum(float(m.noted[name]) for m in self._pending) for name in self._pending[-1].noted}
        self._stop()
        for at, loss in enumerate(losses, start=step - len(losses) + 1):
            if not math.isfinite(loss):
                raise NonFiniteLossError(f"the training loss is {loss} at step {at}; try a lower learning rate")
        speed = _speed(self._since, (self.tokens, self.seconds))
        self._pending, self._since = [], (self.tokens, self.seconds)
        return Row(
            step=step, split="train", loss=sum(losses) / len(losses), lr=rate, grad_norm=sum(norms) / len(norms),
            tokens=self.tokens, seconds=self.seconds, tokens_per_second=speed,
            noted={name: value / len(losses) for name, value in noted.items()},
        )  # fmt: skip

    def speed(self) -> float:
        """Tokens a second of this session so far, its first step left out unless it was the only one."""
        assert self._compiled is not None, "no step was made"
        now = (self.tokens, self.seconds)
        speed = _speed(self._compiled, now) or _speed(self._begun, now)
        assert speed is not None
        return speed

    def _stop(self) -> None:
        if self._started is not None:
            self.seconds += time.perf_counter() - self._started
            self._started = None


def _speed(before: tuple[int, float], now: tuple[int, float]) -> float | None:
    tokens, seconds = now[0] - before[0], now[1] - before[1]
    return tokens / seconds if tokens else None
