"""AdamW."""

from typing import Any

from archlab.optim.optimizer import Optimizer, Slots


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

    def slots(self, shape: tuple[int, ...]) -> dict[str, tuple[int, ...]]:
        return {"mu": shape, "nu": shape}

    def update(self, xp: Any, p: Any, g: Any, slots: Slots, rate: Any, t: Any, decays: bool) -> tuple[Any, Slots]:
        mu = self.beta1 * slots["mu"] + (1 - self.beta1) * g
        nu = self.beta2 * slots["nu"] + (1 - self.beta2) * g * g
        step = mu / (1 - self.beta1**t) / (xp.sqrt(nu / (1 - self.beta2**t)) + self.epsilon)
        step = step + self.weight_decay * p if decays else step
        return p - rate * step, {"mu": mu, "nu": nu}
