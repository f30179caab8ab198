"""The gated recurrent unit by PyTorch's fused layer."""

from typing import Any

import torch
from torch import nn

from archlab.mixers import gru as specs
from archlab_torch.kernels.recurrent import Cell
from archlab_torch.module import natives


@natives.register(specs.GRU)
class GRU(Cell):
    """h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}; the definition where the reset gate acts "before" the product."""

    kind = nn.GRU

    def fits(self, ctx: Any) -> bool:
        return self.spec.reset == "after" and super().fits(ctx)

    def weights(self) -> dict[str, Any]:
        size = self.state_kernel.shape[1]
        none = self.state_kernel.new_zeros(size)
        bias = self.state_bias if self.spec.state_bias != "none" else none
        return {
            "weight_ih": self.input.weight,
            "weight_hh": self.state_kernel.T,
            "bias_ih": none if self.input.bias is None else self.input.bias,
            "bias_hh": torch.cat([none[: size - bias.numel()], bias]),
        }
