"""What an optimiser is, and the one formula of clipping."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from archlab.config import Config
from archlab.spec import Param

Arrays = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class OptimizerState:
    """Canonical: the number of updates made, and each slot (for example "mu", "nu") by parameter path."""

    step: int
    slots: dict[str, Arrays]


class Optimizer(Config):
    """An update rule. :meth:`update` is its definition in NumPy."""

    tagged = True
    abstract = True

    def slots(self) -> tuple[str, ...]:
        """Names of the arrays it keeps for every parameter, all zero at first."""
        return ()

    def decays(self, param: Param) -> bool:
        """Whether weight decay applies: to matrices (two axes or more), not to norms and biases."""
        return len(param.shape) > 1

    def update(
        self, params: Arrays, grads: Arrays, state: OptimizerState, rate: float, decayed: Mapping[str, bool]
    ) -> tuple[Arrays, OptimizerState]:
        """The parameters and the state after one update with learning rate ``rate``."""
        raise NotImplementedError

    def initial(self, params: Arrays) -> OptimizerState:
        """The state before the first update."""
        return OptimizerState(step=0, slots={s: {p: np.zeros_like(a) for p, a in params.items()} for s in self.slots()})


def clip(grads: Arrays, limit: float) -> tuple[Arrays, float]:
    """g · min(1, limit / ‖g‖), ‖g‖ over all parameters together; and ‖g‖ before clipping."""
    norm = float(np.sqrt(sum(np.sum(np.square(g, dtype=np.float64)) for g in grads.values())))
    scale = min(1.0, limit / norm) if norm > 0 else 1.0
    return {path: g * scale for path, g in grads.items()}, norm
