"""Update rules in optax."""

import functools
from typing import Any

from archlab.errors import InputError
from archlab.optim.optimizer import Optimizer


@functools.singledispatch
def rule(spec: Optimizer, decayed: list[bool]) -> Any:
    """The update rule of ``spec`` on a list of leaves, some of which decay."""
    raise InputError(f"the jax backend has no form of the optimizer {type(spec).__name__}")
