"""AdamW."""

from collections.abc import Mapping

import numpy as np

from archlab.optim.optimizer import Arrays, Optimizer, OptimizerState


class AdamW(Optimizer):
    """Decoupled weight decay (https://arxiv.org/abs/1711.05101). At update t = 1, 2, …

    μ ← β₁ μ + (1 − β₁) g;  ν ← β₂ ν + (1 − β₂) g²
    p ← p − rate · (μ/(1 − β₁ᵗ) / (√(ν/(1 − β₂ᵗ)) + ε) + weight_decay · p)

    ε stands outside the root; the decay uses the same p as the update does.
    """

    beta1: float
    beta2: float
    epsilon: float
    weight_decay: float

    def check(self) -> None:
        self.require(0 <= self.beta1 < 1, "beta1", "must lie in [0, 1)")
        self.require(0 <= self.beta2 < 1, "beta2", "must lie in [0, 1)")
        self.require(self.epsilon > 0, "epsilon", "must be > 0")
        self.require(self.weight_decay >= 0, "weight_decay", "must be ≥ 0")

    def slots(self) -> tuple[str, ...]:
        return ("mu", "nu")

    def update(
        self, params: Arrays, grads: Arrays, state: OptimizerState, rate: float, decayed: Mapping[str, bool]
    ) -> tuple[Arrays, OptimizerState]:
        t = state.step + 1
        mu = {p: self.beta1 * state.slots["mu"][p] + (1 - self.beta1) * g for p, g in grads.items()}
        nu = {p: self.beta2 * state.slots["nu"][p] + (1 - self.beta2) * g * g for p, g in grads.items()}
        new = {}
        for path, value in params.items():
            step = mu[path] / (1 - self.beta1**t)
            step = step / (np.sqrt(nu[path] / (1 - self.beta2**t)) + self.epsilon)
            decay = self.weight_decay * value if decayed[path] else 0.0
            new[path] = value - rate * (step + decay)
        return new, OptimizerState(step=t, slots={"mu": mu, "nu": nu})
