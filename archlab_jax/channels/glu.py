"""The gated linear unit, with its two input products as one."""

from typing import Any

from archlab.channels import glu as specs
from archlab_jax.layers import joint
from archlab_jax.module import Module, View, natives


@natives.register(specs.GLU)
class GLU(Module):
    """y = (f(x W_gate) ⊙ (x W_up + c)) W_down."""

    beside = (("gate", "up"),)

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        gate, up = joint((self.gate, self.up), x, ctx)
        return self.spec.join(View(self), gate, up, ctx), state
