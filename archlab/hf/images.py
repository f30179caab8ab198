"""What families that read images share."""

from typing import Any

from archlab.errors import InputError
from archlab.fronts.patches import Patches
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule, same


def pair(fields: Fields, name: str, default: int) -> tuple[int, int]:
    """A size in pixels: (height, width), or one number for both."""
    value: Any = fields.raw(name, default)
    if isinstance(value, (list, tuple)):
        height, width = value if len(value) == 2 else (0, 0)
    else:
        height = width = value
    if not all(type(side) is int and side > 0 for side in (height, width)):
        raise InputError(f"{fields.where}: {name} is {value!r}; one number of pixels, or height and width, is needed")
    return height, width


def patch_tensors(theirs: str, ours: str, front: Patches) -> list[Rule]:
    """The convolution that makes vectors of patches."""
    rows, columns = front.patch
    sizes = {"R": rows, "W": columns, "C": front.channels}
    kernel = Rule(
        theirs=f"{theirs}.weight", ours=(f"{ours}.linear.kernel",), layout="D C R W -> (R W C) D", sizes=sizes
    )  # fmt: skip
    return [kernel, same(f"{theirs}.bias", f"{ours}.linear.bias")]
