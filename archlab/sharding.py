"""Where arrays live on a mesh: logical axes and one rule table, for every backend."""

from collections.abc import Mapping, Sequence

from archlab.axes import axis_names
from archlab.policy import Mesh

# The mesh axes that each letter of the alphabet may be split over; letters not listed are never split.
RULES: dict[str, str] = {
    "D": "fsdp",
    "P": "fsdp",
    "H": "tensor",
    "G": "tensor",
    "F": "tensor",
    "V": "tensor",
    "E": "tensor",
    "C": "tensor",
}
BATCH = ("data", "fsdp")  # the batch is split over both


def placement(axes: str, shape: Sequence[int], mesh: Mesh, rules: Mapping[str, str] = RULES) -> tuple[str | None, ...]:
    """For each dimension the mesh axis it is split over, or None.

    A product axis (``"HK"``) follows its first letter. A dimension that the mesh axis does not divide stays
    whole, and a mesh axis is used once.
    """
    sizes = {"data": mesh.data, "fsdp": mesh.fsdp, "tensor": mesh.tensor}
    used: set[str] = set()
    out: list[str | None] = []
    for name, size in zip(axis_names(axes), shape, strict=True):
        axis = rules.get(name[0])
        if axis is None or axis in used or sizes[axis] == 1 or size % sizes[axis]:
            out.append(None)
        else:
            used.add(axis)
            out.append(axis)
    return tuple(out)
