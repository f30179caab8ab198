"""Generation step by step."""

from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from archlab import decoding
from archlab.inputs import split
from archlab.model import Model
from archlab.policy import Policy
from archlab.weights import DTYPES
from archlab_jax.program import program
from archlab_jax.runtime import precision


class Decoder(decoding.Decoder):
    """Compiled once for each length it is fed; the state's buffers are reused."""

    def __init__(
        self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int, policy: Policy
    ) -> None:  # fmt: skip
        super().__init__(model, batch=batch, length=length)
        self.policy = policy
        with precision(policy):
            self.program = program(model, model.width, policy)
            self.leaves = self.program.leaves(weights)
            self.state = self.program.initial_state(batch, length)
        self._last = jax.jit(self._run, donate_argnums=3)

    def _run(self, leaves: Any, own: Any, where: Any, state: Any) -> Any:
        logits, state = self.program.call(leaves, own, where, state)
        return self.model.main(logits)[:, -1], state

    def logits(self, inputs: decoding.Inputs) -> np.ndarray:
        own, where = split(self.model, inputs, DTYPES[self.policy.compute])
        with precision(self.policy):
            logits, self.state = self._last(self.leaves, own, where, self.state)
        return np.asarray(logits)
