"""Elementwise functions."""

from typing import Any

import jax

from archlab import activations as specs
from archlab_jax.module import Module, natives

_FUNCTIONS = {
    specs.ReLU: jax.nn.relu,
    specs.GELUErf: lambda x: jax.nn.gelu(x, approximate=False),
    specs.GELUTanh: lambda x: jax.nn.gelu(x, approximate=True),
    specs.SiLU: jax.nn.silu,
    specs.Sigmoid: jax.nn.sigmoid,
}


@natives.register(*_FUNCTIONS)
class Activation(Module):
    """The framework's own function of each kind."""

    def forward(self, x: Any, ctx: Any) -> Any:
        return _FUNCTIONS[type(self.spec)](x)
