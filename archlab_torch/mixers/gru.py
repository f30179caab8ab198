"""The gated recurrent unit by PyTorch's fused layer."""

from typing import Any

import torch
from torch import nn

from archlab.mixers import gru as specs
from archlab.spec import Part
from archlab_torch.kernels import recurrent
from archlab_torch.module import Builder, Module, natives


@natives.register(specs.GRU)
class GRU(Module):
    """h_t = (1 − z) ⊙ n + z ⊙ h_{t−1}; the definition where the reset gate acts "before" the product."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.fused = recurrent.Fused(nn.GRU, part.width, part.spec.hidden)

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        if self.spec.reset == "before" or not recurrent.usable(ctx):
            return self.spec.forward(self, x, ctx, state)
        segments, same, carry = self.spec.start(x[:, 0, :1], ctx, state)
        size = 3 * self.spec.hidden
        bias = self.state_bias if self.spec.state_bias != "none" else x.new_zeros(size)
        weights = {
            "weight_ih": self.input.weight,
            "weight_hh": self.state_kernel.T,
            "bias_ih": x.new_zeros(size) if self.input.bias is None else self.input.bias,
            "bias_hh": torch.cat([bias.new_zeros(size - bias.numel()), bias]),
        }
        y, carry = recurrent.run(self.fused, weights, x, carry, same, ctx.plain)
        return y, self.spec.remember(state, segments, carry)
