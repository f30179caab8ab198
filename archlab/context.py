"""What a part knows beside its input: where the tokens stand, and what to do on the way."""

import dataclasses
from collections import UserDict
from collections.abc import Callable, Mapping, MutableMapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from archlab.errors import InputError

TABLES = ("records", "losses", "drives", "stats")  # where parts leave notes on the way


class Table(UserDict):
    """Notes by name. It is no dict: FSDP copies dicts among a layer's arguments, and what is noted there is lost."""


def tables(capture: bool) -> dict[str, Any]:
    """Empty tables for a context whose caller listens; to intermediates only where it says so."""
    return {table: Table() if capture or table != "records" else None for table in TABLES}


def plain(notes: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The contents of tables."""
    return {table: dict(notes[table] or {}) for table in TABLES}


def summary(losses: Mapping[str, Any], stats: Mapping[str, Any]) -> dict[str, Any]:
    """Auxiliary losses, and statistics as means over the layers that gave them, by name."""
    for name in losses.keys() & stats.keys():
        raise InputError(f"{name!r} names an auxiliary loss and a statistic; give one of them another name")
    means = {name: total / count for name, (total, count) in stats.items()}
    return dict(sorted({**losses, **means}.items()))


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
    scan, erf, constant, stop_gradient
        What the array API lacks: a loop over axis 1 (see :func:`archlab.ops.loop`), the error function,
        ``constant(numpy_array, dtype=None)``, an array where the activations are, and a value that counts as a
        constant in the backward pass.
    total
        The sum of a value over all processes that share the batch; the value itself where one holds it all.
    rows
        The rows (B, …) of all these processes, in order, from a process's own.
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
    fresh
        Whether the decoding state holds nothing yet: the tokens of this call are all there are to see.
    random
        The source of dropout masks; None in evaluation.
    records
        Where parts put their outputs by path; None where nobody listens.
    losses, drives, stats
        Where parts add auxiliary losses, drives and statistics by name; None where nobody listens.
    score
        What takes the place of a model's answers in training where logits are not to exist all at once; see
        :meth:`answer`. None elsewhere.
    shared
        The modules behind :class:`archlab.spec.Shared`, by name.
    published
        What earlier parts have left for later ones, by name; see :meth:`publish`.
    depth
        How deep the present layer is: 0.0 the first, 1.0 the last.
    by_turn
        In a scanned stack, where ``depth`` is traced: ``by_turn(function)`` picks the present turn's among the values
        of ``function`` at all turns' depths. None elsewhere.
    known
        What :meth:`once` has worked out in this call.
    """

    xp: Any
    scan: Callable[..., Any]
    erf: Callable[[Any], Any]
    constant: Callable[..., Any]
    stop_gradient: Callable[[Any], Any]
    dtype: Any
    positions: Any
    segments: Any = None
    prefix: Any = None
    plain: bool = False
    fresh: bool = False
    total: Callable[[Any], Any] = lambda value: value
    rows: Callable[[Any], Any] = lambda value: value
    random: Random | None = None
    records: MutableMapping[str, Any] | None = None
    losses: MutableMapping[str, Any] | None = None
    drives: MutableMapping[str, Any] | None = None
    stats: MutableMapping[str, Any] | None = None
    score: Callable[[Callable[[Any], Any], Any], Any] | None = None
    shared: Mapping[str, Any] = field(default_factory=dict)
    published: MutableMapping[str, Any] = field(default_factory=Table)
    depth: Any = 0.0
    by_turn: Callable[[Callable[[float], float]], Any] | None = None
    known: MutableMapping[Any, Any] = field(default_factory=Table)

    @property
    def documents(self) -> Any:
        """(B, T): ``segments``, or 1 everywhere where a row is one document."""
        return self.xp.ones_like(self.positions) if self.segments is None else self.segments

    def elsewhere(self, shape: tuple[int, int], positions: Any, segments: Any) -> "Context":
        """The context of another sequence, of (B, S) tokens: positions count up where they are None."""
        plain = positions is None and segments is None
        if positions is None:
            positions = self.xp.broadcast_to(self.constant(np.arange(shape[1])), shape)
        return self.replace(positions=positions, segments=segments, prefix=None, plain=plain)

    def mean(self, values: Any) -> Any:
        """The mean over all tokens of the whole batch that are no padding, of (B, T, …); 0 where there are none."""
        xp = self.xp
        real = xp.astype(self.documents > 0, values.dtype)
        count = self.total(xp.sum(real))
        real = xp.reshape(real, (*real.shape, *(1 for _ in values.shape[2:])))
        return self.total(xp.sum(values * real, axis=(0, 1))) / xp.where(count > 0, count, xp.ones_like(count))

    def answer(self, head: Callable[[Any], Any], x: Any) -> Any:
        """The logits ``head(x)`` of x (B, T, D); under a ``score`` the numbers (B, T, 2) of each token's loss.

        ``head`` treats every place by itself, so that a score can call it on some of them at a time.
        """
        return head(x) if self.score is None else self.score(head, x)

    def record(self, path: str, value: Any) -> None:
        """Note an intermediate under ``path``, if anybody listens."""
        if self.records is not None:
            self.records[path] = value[0] if isinstance(value, tuple) else value

    def add_loss(self, name: str, value: Any) -> None:
        """Add an auxiliary loss, already weighted; the objective sums them all."""
        if self.losses is not None:
            self.losses[name] = self.losses[name] + value if name in self.losses else value

    def add_drive(self, name: str, value: Any) -> None:
        """Add a term whose slope moves a parameter that has a rule of its own (:class:`archlab.spec.Param`).

        It is differentiated with the objective, but is no part of the loss that is reported.
        """
        if self.drives is not None:
            self.drives[name] = self.drives[name] + value if name in self.drives else value

    def add_stat(self, name: str, value: Any) -> None:
        """Note a statistic, a number; what is reported is its mean over the layers that note it."""
        self._add_stat(name, self.stop_gradient(value), 1.0)

    def _add_stat(self, name: str, total: Any, count: Any) -> None:
        if self.stats is not None:
            before = self.stats.get(name, (0.0, 0.0))
            self.stats[name] = (before[0] + total, before[1] + count)

    @property
    def noting(self) -> bool:
        """Whether anybody listens to losses, drives and statistics: in training, not in evaluation or decoding."""
        return self.losses is not None

    def notes(self) -> dict[str, Any]:
        """All that was noted, by table."""
        return plain({table: getattr(self, table) for table in TABLES})

    def apart(self) -> "Context":
        """The same context with empty tables where this one has any: what is noted or published there stays apart."""
        tables = {table: None if getattr(self, table) is None else Table() for table in TABLES}
        return self.replace(**tables).scoped()

    def left(self, outer: "Context") -> dict[str, Any]:
        """What was noted here, by table, and what was published here and not in ``outer``, or with another value."""
        news = {name: v for name, v in self.published.items() if outer.published.get(name) is not v}
        return self.notes() | {"published": news}

    def take(self, notes: Mapping[str, Mapping[str, Any]]) -> None:
        """Add what was left apart."""
        for path, value in notes["records"].items():
            self.record(path, value)
        for name, value in notes["losses"].items():
            self.add_loss(name, value)
        for name, value in notes["drives"].items():
            self.add_drive(name, value)
        for name, (total, count) in notes["stats"].items():
            self._add_stat(name, total, count)
        for name, value in notes["published"].items():
            self.publish(name, value)

    def once(self, key: Any, make: Callable[[], Any]) -> Any:
        """What ``make()`` gives, worked out once a call for all that share these positions and ask by the same key.

        For constants that layers have in common, and where arrays may outlive the layer that made them: not under
        JAX's transformations, whose compiler finds by itself what is computed twice.
        """
        key = (id(self.positions), key)
        if key not in self.known:
            self.known[key] = (make(), self.positions)  # which keeps them, and so their id, as long as this is known
        return self.known[key][0]

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
        return dataclasses.replace(self, published=Table(self.published))

    def at_depth(self, depth: Any, by_turn: Callable[[Callable[[float], float]], Any] | None = None) -> "Context":
        return dataclasses.replace(self, depth=depth, by_turn=by_turn)

    def of_depth(self, function: Callable[[float], float]) -> Any:
        """``function`` of the depth, worked out in Python's floats even in a scan: the same bits on every backend."""
        return function(self.depth) if self.by_turn is None else self.by_turn(function)

    def without_records(self) -> "Context":
        return dataclasses.replace(self, records=None)

    def replace(self, **changes: Any) -> "Context":
        return dataclasses.replace(self, **changes)
