"""The alphabet of axes: one letter, one meaning, in every package.

Shapes in docstrings, einsum patterns, parameter tables and sharding rules all use it. An axis
made of several, such as ``"HK"``, is their product with the first letter slowest.
"""

from archlab.errors import InputError, nearest

AXES = {
    "B": "batch: sequences",
    "T": "time: positions of the queries or of the sequence",
    "S": "source: positions of the keys or of a cache",
    "D": "width of the residual stream",
    "H": "heads of the queries",
    "G": "heads of keys and values (groups)",
    "K": "size of a head",
    "F": "hidden width of a channel mixer",
    "V": "vocabulary",
    "P": "rows of a position table",
    "L": "layers, where repeated ones are stacked",
    "E": "experts",
    "N": "size of a recurrent state",
    "C": "channels of a convolution",
    "W": "taps of a convolution",
    "R": "rank of a low-rank factor",
    "M": "residual streams or memory slots",
    "J": "buckets of a relative-position table",
}


def axis_names(axes: str) -> tuple[str, ...]:
    """``"D HK"`` → ``("D", "HK")``; every letter must be in :data:`AXES`."""
    names = tuple(axes.split())
    for name in names:
        for letter in name:
            if letter not in AXES:
                raise InputError(f"axis {letter!r} in {axes!r} is not in archlab.axes.AXES; {nearest(letter, AXES)}")
    return names
