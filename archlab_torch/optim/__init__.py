"""Update rules in PyTorch."""

import functools
from typing import Any

import torch

from archlab.errors import InputError
from archlab.optim.optimizer import Optimizer


@functools.singledispatch
def rule(spec: Optimizer, params: list[torch.nn.Parameter], decayed: list[bool]) -> Any:
    """The update rule of ``spec`` on a list of parameters, some of which decay."""
    raise InputError(f"the torch backend has no form of the optimizer {type(spec).__name__}")
