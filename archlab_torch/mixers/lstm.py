"""Long short-term memory by PyTorch's fused layer."""

from typing import Any

from torch import nn

from archlab.mixers import lstm as specs
from archlab_torch.kernels.recurrent import Cell
from archlab_torch.module import natives


@natives.register(specs.LSTM)
class LSTM(Cell):
    """c_t = σ(f) ⊙ c_{t−1} + σ(i) ⊙ tanh(g);  h_t = σ(o) ⊙ tanh(c_t)."""

    kind = nn.LSTM

    def weights(self) -> dict[str, Any]:
        none = self.state_kernel.new_zeros(self.state_kernel.shape[1])
        return {
            "weight_ih": self.input.weight,
            "weight_hh": self.state_kernel.T,
            "bias_ih": none if self.input.bias is None else self.input.bias,
            "bias_hh": self.state_bias if self.spec.state_bias else none,
        }
