"""Steps of one size."""

from typing import Any

from archlab.optim.optimizer import Optimizer, Slots


class SignStep(Optimizer):
    """p ← p − size · sign(g), whatever the learning rate; sign(0) = 0."""

    size: float

    def check(self) -> None:
        self.require(self.size > 0, "size", "must be > 0")

    def update(self, xp: Any, p: Any, g: Any, slots: Slots, rate: Any, t: Any, decays: bool) -> tuple[Any, Slots]:
        return p - self.size * xp.sign(g), slots
