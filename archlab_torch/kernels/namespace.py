"""The array API in PyTorch, as definitions use it: to the dtype that an array has already, conversion is free.

``array_api_compat`` copies, as the standard has it. Definitions write to no array that they were given.
"""

from typing import Any

from array_api_compat.torch import *  # noqa: F403 - all of it, but for what is below


def astype(x: Any, dtype: Any, /, *, copy: bool = False) -> Any:
    """``x`` in ``dtype``, on the same memory where it is in it already and no copy is asked for."""
    return x.to(dtype=dtype, copy=copy)
