"""AdamW, by PyTorch's own fused optimiser."""

from typing import Any

import torch

from archlab.optim import adamw as specs
from archlab_torch.optim import rule


@rule.register(specs.AdamW)
class AdamW:
    """The update rule of :class:`archlab.optim.adamw.AdamW` on a list of parameters."""

    def __init__(self, spec: specs.AdamW, params: list[torch.nn.Parameter], decayed: list[bool]) -> None:
        self.params = params
        groups = [
            {"params": [p for p, d in zip(params, decayed, strict=True) if d], "weight_decay": spec.weight_decay},
            {"params": [p for p, d in zip(params, decayed, strict=True) if not d], "weight_decay": 0.0},
        ]
        self.rule = torch.optim.AdamW(
            [g for g in groups if g["params"]], lr=0.0, betas=(spec.beta1, spec.beta2), eps=spec.epsilon, fused=True
        )

    def update(self, rate: float) -> None:
        """One update from the parameters' gradients."""
        for group in self.rule.param_groups:
            group["lr"] = rate
        self.rule.step()

    def export(self) -> tuple[int, dict[str, list[Any]]]:
        """(number of updates, slots by name in the order of the parameters)."""
        state = [self._state(p) for p in self.params]
        return int(state[0]["step"]), {"mu": [s["exp_avg"] for s in state], "nu": [s["exp_avg_sq"] for s in state]}

    def restore(self, step: int, slots: dict[str, list[Any]]) -> None:
        """Replace the state's contents."""
        for param, mu, nu in zip(self.params, slots["mu"], slots["nu"], strict=True):
            state = self._state(param)
            state["step"].fill_(step)
            state["exp_avg"].copy_(mu)
            state["exp_avg_sq"].copy_(nu)

    def _state(self, param: torch.nn.Parameter) -> dict[str, Any]:
        """A parameter's state, made as PyTorch would at the first update."""
        state = self.rule.state[param]
        if not state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=param.device)
            state["exp_avg"], state["exp_avg_sq"] = torch.zeros_like(param), torch.zeros_like(param)
        return state
