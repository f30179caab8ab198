"""Adam and AdamW, by PyTorch's fused kernel."""

from typing import Any

import torch
from torch.optim.adam import adam

from archlab.optim import adamw as specs
from archlab_torch.optim import Kept, Treated, alike, rules


@rules.register(specs.Adam)
class Adam(Kept):
    """The update rule of :class:`archlab.optim.adamw.Adam` on some parameters.

    The function that ``torch.optim.Adam`` calls: making that class imports ``torch.compile``, which takes a second.
    """

    def __init__(self, spec: Any, params: list[Treated]) -> None:
        super().__init__(params, "mu", "nu")
        self.spec = spec
        self.steps = [torch.zeros((), dtype=torch.float32, device=tensor.device) for tensor in self.tensors]
        self.groups = [
            (factors, [[those[i] for i in indices] for those in (self.tensors, *self.state.values(), self.steps)])
            for factors, indices in alike(params).items()
        ]

    def weight_decay(self) -> float:
        return 0.0

    @torch.no_grad()
    def update(self, rate: float) -> None:
        self.step += 1
        for (factor, decay), (params, mu, nu, steps) in self.groups:
            grads: list[Any] = [param.grad for param in params]
            adam(
                params, grads, mu, nu, [], steps, fused=True, decoupled_weight_decay=True, amsgrad=False,
                beta1=self.spec.beta1, beta2=self.spec.beta2, lr=rate * factor,
                weight_decay=decay * self.weight_decay(), eps=self.spec.epsilon, maximize=False,
            )  # fmt: skip

    def restore(self, step: int, slots: dict[str, list[Any]]) -> None:
        super().restore(step, slots)
        for count in self.steps:
            count.fill_(step)


@rules.register(specs.AdamW)
class AdamW(Adam):
    """The update rule of :class:`archlab.optim.adamw.AdamW` on some parameters."""

    def weight_decay(self) -> float:
        return self.spec.weight_decay
