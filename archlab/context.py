"""What a part knows beside its input: where the tokens stand, and what to do on the way."""

import dataclasses
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from archlab.errors import InputError


class Random(Protocol):
    """A source of random masks, one stream for each name; a name is the path of the part that draws."""

    def keep(self, name: str, shape: tuple[int, ...], probability: float) -> Any:
        """A boolean array, true with ``probability``; the first axis of ``shape`` is the batch."""
        ...


@dataclass(frozen=True, kw_only=True)
class Context:
    """Handed down through every part beside its input.

    xp
        The array namespace: NumPy, ``jax.numpy`` or PyTorch's.
    scan, erf, constant
        What the array API lacks: a loop over axis 1 (see :func:`archlab.ops.loop`), the error function,
        and ``constant(numpy_array, dtype=None)``, an array where the activations are.
    dtype
        The dtype activations have.
    positions
        (B, T) integers: each token's position in its document.
    segments
        (B, T) integers: each token's document; 0 is padding. None where a row is one document.
    prefix
        (B, T) integers: how many tokens at the start of its document a token may see although they
        come later (prefix language models). None where there is no prefix.
    plain
        Whether every row is one unpadded document from position 0; fast paths may rely on it.
    random
        The source of dropout masks; None in evaluation.
    records
        Where parts put their outputs by path; None where nobody listens.
    losses
        Where parts add auxiliary losses by name; None where nobody listens.
    shared
        The modules behind :class:`archlab.spec.Shared`, by name.
    published
        What earlier parts have left for later ones, by name; see :meth:`publish`.
    depth
        How deep the present layer is: 0.0 the first, 1.0 the last.
    by_turn
        In a scanned stack, where ``depth`` is traced: ``by_turn(function)`` picks the present turn's among the values
        of ``function`` at all turns' depths. None elsewhere.
    """

    xp: Any
    scan: Callable[..., Any]
    erf: Callable[[Any], Any]
    constant: Callable[..., Any]
    dtype: Any
    positions: Any
    segments: Any = None
    prefix: Any = None
    plain: bool = False
    random: Random | None = None
    records: MutableMapping[str, Any] | None = None
    losses: MutableMapping[str, Any] | None = None
    shared: Mapping[str, Any] = field(default_factory=dict)
    published: MutableMapping[str, Any] = field(default_factory=dict)
    depth: Any = 0.0
    by_turn: Callable[[Callable[[float], float]], Any] | None = None

    def record(self, path: str, value: Any) -> None:
        """Note an intermediate under ``path``, if anybody listens."""
        if self.records is not None:
            self.records[path] = value[0] if isinstance(value, tuple) else value

    def add_loss(self, name: str, value: Any) -> None:
        """Add an auxiliary loss, already weighted; the objective sums them all."""
        if self.losses is not None:
            self.losses[name] = self.losses[name] + value if name in self.losses else value

    def publish(self, name: str, value: Any) -> None:
        """Leave ``value`` for the parts that come later in the same scope (:class:`archlab.stack.Stack` makes them)."""
        self.published[name] = value

    def read(self, name: str, reader: str) -> Any:
        """What an earlier part has published; :class:`InputError` where none has. ``reader`` is the path that asks."""
        if name not in self.published:
            there = ", ".join(sorted(self.published)) or "nothing"
            raise InputError(f"{reader} reads {name!r}, which no part before it publishes (published so far: {there})")
        return self.published[name]

    def scoped(self) -> "Context":
        """A context that sees what is published here; what is published in it is not seen here."""
        return dataclasses.replace(self, published=dict(self.published))

    def news(self, outer: "Context") -> dict[str, Any]:
        """What is published here and not in ``outer``, or with another value."""
        return {name: v for name, v in self.published.items() if outer.published.get(name) is not v}

    def at_depth(self, depth: Any, by_turn: Callable[[Callable[[float], float]], Any] | None = None) -> "Context":
        return dataclasses.replace(self, depth=depth, by_turn=by_turn)

    def of_depth(self, function: Callable[[float], float]) -> Any:
        """``function`` of the depth, worked out in Python's floats even in a scan: the same bits on every backend."""
        return function(self.depth) if self.by_turn is None else self.by_turn(function)

    def without_records(self) -> "Context":
        return dataclasses.replace(self, records=None)

    def replace(self, **changes: Any) -> "Context":
        return dataclasses.replace(self, **changes)
