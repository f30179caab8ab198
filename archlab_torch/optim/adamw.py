"""AdamW, by PyTorch's own fused optimiser."""

from typing import Any

import torch

from archlab.optim import adamw as specs
from archlab_torch.module import Slot
from archlab_torch.optim import rule


@rule.register(specs.AdamW)
class AdamW:
    """The update rule of :class:`archlab.optim.adamw.AdamW` on the parameters in ``slots``."""

    def __init__(self, spec: specs.AdamW, slots: list[Slot]) -> None:
        self.slots = slots
        decayed = [(slot.tensor, spec.decays(slot.param)) for slot in slots]
        groups = [
            {"params": [p for p, d in decayed if d], "weight_decay": spec.weight_decay},
            {"params": [p for p, d in decayed if not d], "weight_decay": 0.0},
        ]
        self.rule = torch.optim.AdamW(
            [g for g in groups if g["params"]], lr=0.0, betas=(spec.beta1, spec.beta2), eps=spec.epsilon, fused=True
        )

    def update(self, rate: float) -> None:
        for group in self.rule.param_groups:
            group["lr"] = rate
        self.rule.step()

    def export(self) -> tuple[int, dict[str, list[Any]]]:
        states = [(slot, self._state(slot.tensor)) for slot in self.slots]
        names = {"mu": "exp_avg", "nu": "exp_avg_sq"}
        return int(states[0][1]["step"]), {n: [slot.view(s[k]) for slot, s in states] for n, k in names.items()}

    def restore(self, step: int, slots: dict[str, list[Any]]) -> None:
        for slot, mu, nu in zip(self.slots, slots["mu"], slots["nu"], strict=True):
            state = self._state(slot.tensor)
            state["step"].fill_(step)
            slot.view(state["exp_avg"]).copy_(mu)
            slot.view(state["exp_avg_sq"]).copy_(nu)

    def _state(self, param: torch.nn.Parameter) -> dict[str, Any]:
        """A parameter's state, made as PyTorch would at the first update."""
        state = self.rule.state[param]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=param.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(param), torch.zeros_like(param)
        return state
