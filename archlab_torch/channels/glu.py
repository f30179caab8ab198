"""The gated linear unit, with its two input products as one."""

from typing import Any

from archlab.channels import glu as specs
from archlab_torch.kernels import swiglu
from archlab_torch.layers import joint_product
from archlab_torch.module import Module, natives


@natives.register(specs.GLU)
class GLU(Module):
    """y = (f(x W_gate) ⊙ (x W_up + c)) W_down."""

    beside = (("gate", "up"),)

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        linears = self.gate, self.up
        y = joint_product(linears, x, ctx)
        if y is None:
            return self.spec.join(self, *(linear(x, ctx) for linear in linears), ctx), state
        if self.spec.is_swiglu and swiglu.takes(y):
            return self.spec.leave(self, swiglu.swiglu(y), ctx), state
        return self.spec.join(self, *y.chunk(2, dim=-1), ctx), state
