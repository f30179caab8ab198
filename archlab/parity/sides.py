"""What is compared: the reference, or a backend under some policy."""

from collections.abc import Sequence
from dataclasses import dataclass

from archlab.backends import backend_names
from archlab.errors import InputError, nearest
from archlab.overrides import override
from archlab.parity.tolerances import LIMITED
from archlab.policy import Dtype, Policy

REFERENCE = "reference"


@dataclass(frozen=True)
class Side:
    """One of the two sides. ``words`` are the user's: ``jax,layers=scan,remat=full``."""

    words: str
    name: str
    policy: Policy

    def __str__(self) -> str:
        return self.words


def side(words: str, dtype: Dtype) -> Side:
    """The side that ``words`` name, exact in ``dtype`` but for the policy's fields that they set."""
    name, *changes = words.split(",")
    known = [REFERENCE, *backend_names()]
    if name not in known:
        raise InputError(f"there is no {name!r} to compare; {nearest(name, known)}")
    if name == REFERENCE and changes:
        raise InputError(f"{words!r}: the reference has no policy; it is float64 always")
    policy = override(Policy.exact(dtype), changes)
    if policy.compute not in LIMITED:
        raise InputError(f"{words!r}: {policy.compute} has no limits to judge by; {nearest(policy.compute, LIMITED)}")
    return Side(words, name, policy)


def coarsest(sides: Sequence[Side]) -> Dtype:
    """The lowest of the dtypes that the sides compute in."""
    return max((s.policy.compute for s in sides if s.name != REFERENCE), key=LIMITED.index)
