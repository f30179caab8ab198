"""Learning rates: pure functions of the step, computed on the host and handed to every backend."""

import math

from archlab.config import Config


class Schedule(Config):
    """A learning rate for every step; step 0 is the first update."""

    tagged = True
    abstract = True

    def rate(self, step: int) -> float:
        """The learning rate of update ``step``."""
        raise NotImplementedError


class ConstantRate(Schedule):
    """Always ``peak``."""

    peak: float

    def check(self) -> None:
        self.require(self.peak > 0, "peak", "must be > 0")

    def rate(self, step: int) -> float:
        return self.peak


class WarmupCosine(Schedule):
    """peak · (step + 1)/(warmup + 1) while step < warmup; then half a cosine from ``peak`` to ``floor``.

    The cosine reaches ``floor`` at step ``steps``, after which the rate stays there.
    """

    peak: float
    floor: float
    warmup: int
    steps: int

    def check(self) -> None:
        self.require(self.peak > 0, "peak", "must be > 0")
        self.require(0 <= self.floor <= self.peak, "floor", f"must lie between 0 and peak = {self.peak}")
        self.require(0 <= self.warmup < self.steps, "warmup", f"must lie between 0 and steps = {self.steps}")

    def rate(self, step: int) -> float:
        if step < self.warmup:
            return self.peak * (step + 1) / (self.warmup + 1)
        done = min((step - self.warmup) / (self.steps - self.warmup), 1.0)
        return self.floor + 0.5 * (1.0 + math.cos(math.pi * done)) * (self.peak - self.floor)
