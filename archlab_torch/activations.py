"""Elementwise functions."""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F

from archlab import activations as specs
from archlab_torch.module import Module, natives

_FUNCTIONS: dict[Any, Callable[[Any], Any]] = {
    specs.ReLU: F.relu,
    specs.GELUErf: F.gelu,
    specs.GELUTanh: lambda x: F.gelu(x, approximate="tanh"),
    specs.SiLU: F.silu,
    specs.Sigmoid: torch.sigmoid,
}


@natives.register(*_FUNCTIONS)
class Activation(Module):
    """The framework's own function of each kind."""

    def forward(self, x: Any, ctx: Any) -> Any:
        return _FUNCTIONS[type(self.spec)](x)
