"""The definition run another way: what a catalogue of causes is tried with."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from unittest import mock

import numpy as np

from archlab import reference
from archlab.config import Config
from archlab.errors import InputError
from archlab.parity.cases import Inputs, root
from archlab.spec import Part, Spec, schema, walk
from archlab.weights import DTYPES, Weights

Kind = type | tuple[type, ...]
Change = Callable[[Any], tuple[str, Any] | None]


@dataclass(frozen=True, kw_only=True)
class Patch:
    """A function of the definitions replaced while a trial runs: ``owner.name`` becomes ``by``."""

    owner: Any
    name: str
    by: Any


@dataclass(frozen=True, kw_only=True)
class Trial:
    """The definition, and what of it is done differently, in words."""

    patches: tuple[Patch, ...] = ()
    words: tuple[str, ...] = ()

    def compute(self) -> np.ndarray:
        """What the definition gives, its fields and patches being as they are."""
        raise NotImplementedError

    def output(self) -> np.ndarray:
        """What the definition gives, done this way; :class:`InputError` where that cannot be."""
        with contextlib.ExitStack() as stack:
            for patch in self.patches:
                stack.enter_context(mock.patch.object(patch.owner, patch.name, patch.by))
            return self.compute()

    def but(self, words: str, **changes: Any) -> Self:
        """This trial with one thing more done differently."""
        return dataclasses.replace(self, words=(*self.words, words), **changes)

    def patched(self, words: str, owner: Any, name: str, by: Any) -> Self:
        return self.but(words, patches=(*self.patches, Patch(owner=owner, name=name, by=by)))


@dataclass(frozen=True, kw_only=True)
class ForwardTrial(Trial):
    """A spec on weights and inputs: its output in float64."""

    spec: Spec
    weights: Weights
    inputs: Inputs

    def compute(self) -> np.ndarray:
        table = schema(self.part)
        weights = {path: array for path, array in self.weights.items() if path in table}
        return reference.run(self.spec, weights, self.inputs).output

    @property
    def part(self) -> Part:
        """The spec as the root of its tree, as wide as the input."""
        return root(self.spec, self.inputs["x"].shape[-1] if "x" in self.inputs else 0)


# --- changing configs inside a spec ---------------------------------------------------------------------


def places(config: Any, kind: Kind, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every config of a ``kind`` in a tree of configs, with its path."""
    if isinstance(config, kind):
        yield path, config
    for name, value in _entries(config):
        yield from places(value, kind, f"{path}{name}" if path else name.lstrip("."))


def replaced(config: Any, changes: Mapping[str, Any], path: str = "") -> Any:
    """The tree with the configs at some paths replaced."""
    if path in changes:
        return changes[path]
    if isinstance(config, tuple):
        return tuple(replaced(c, changes, f"{path}[{i}]") for i, c in enumerate(config))
    if not isinstance(config, Config):
        return config
    new = {}
    for name, value in _entries(config):
        below = f"{path}{name}" if path else name.lstrip(".")
        if any(p.startswith(below) for p in changes):
            new[name.lstrip(".")] = replaced(value, changes, below)
    return config.replace(**new) if new else config


def _entries(config: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(config, tuple):
        yield from ((f"[{i}]", c) for i, c in enumerate(config))
    elif isinstance(config, Config):
        yield from ((f".{f.name}", getattr(config, f.name)) for f in dataclasses.fields(config))  # type: ignore[arg-type]


def respecified(trial: ForwardTrial, kind: Kind, change: Change) -> Iterator[ForwardTrial]:
    """Trials in which every config of ``kind`` is changed, and in which each one alone is.

    ``change`` gives a new config with the words for it, or None where it does not apply. A change that makes no
    valid spec is no trial.
    """
    found = {}
    for path, old in places(trial.spec, kind):
        with contextlib.suppress(InputError):
            changed = change(old)
            if changed is not None and changed[1] != old:
                found[path] = changed
    groups = [list(found)] if found else []
    groups += [[path] for path in found] if len(found) > 1 else []
    for group in groups:
        where = "" if len(group) == len(found) else f" at {group[0]}"
        with contextlib.suppress(InputError):
            yield trial.but(found[group[0]][0] + where, spec=replaced(trial.spec, {p: found[p][1] for p in group}))


def with_fields(trial: ForwardTrial, kind: Kind, words: str, **fields: Any) -> Iterator[ForwardTrial]:
    """Trials in which configs of ``kind`` have other ``fields``."""
    yield from respecified(trial, kind, lambda old: (words, old.replace(**fields)))


def parts_of(trial: ForwardTrial, kind: type) -> Iterator[tuple[str, Any, int]]:
    """Every part of a ``kind`` in the trial's tree: its parameters' path, its spec and its width."""
    for path, part in walk(trial.part):
        if isinstance(part.spec, kind):
            yield path, part.spec, part.width


def rounded(x: Any) -> np.ndarray:
    """Values as bfloat16 holds them, in float64."""
    return np.asarray(x, dtype=np.float64).astype(DTYPES["bfloat16"]).astype(np.float64)
