"""Long short-term memory by PyTorch's fused layer."""

from typing import Any

from torch import nn

from archlab.mixers import lstm as specs
from archlab.spec import Part
from archlab_torch.kernels import recurrent
from archlab_torch.module import Builder, Module, natives


@natives.register(specs.LSTM)
class LSTM(Module):
    """c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g);  h_t = σ(o) ⊙ tanh(c_t)."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        super().build(part, builder, path)
        self.fused = recurrent.Fused(nn.LSTM, part.width, part.spec.hidden)

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        if not recurrent.usable(ctx):
            return self.spec.forward(self, x, ctx, state)
        segments, same, carry = self.spec.start(x[:, 0, :1], ctx, state)
        none = x.new_zeros(4 * self.spec.hidden)
        weights = {
            "weight_ih": self.input.weight,
            "weight_hh": self.state_kernel.T,
            "bias_ih": none if self.input.bias is None else self.input.bias,
            "bias_hh": self.state_bias if self.spec.state_bias else none,
        }
        y, carry = recurrent.run(self.fused, weights, x, carry, same, ctx.plain)
        return y, self.spec.remember(state, segments, carry)
