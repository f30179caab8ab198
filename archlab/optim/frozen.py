"""No steps."""

from typing import Any

from archlab.optim.optimizer import Optimizer, Slots


class Frozen(Optimizer):
    """p ← p: for a parameter that is given, not learned."""

    def update(self, xp: Any, p: Any, g: Any, slots: Slots, rate: Any, t: Any, decay: Any) -> tuple[Any, Slots]:
        return p, slots
