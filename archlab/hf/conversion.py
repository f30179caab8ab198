"""A Hugging Face checkpoint as canonical weights and the other way, tensor by tensor."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial

import numpy as np

from archlab.errors import InputError, nearest
from archlab.hf.family import Family
from archlab.hf.layouts import TURNED, Rule, Shape, expanded
from archlab.hf.tensors import Entry, Place, Tensors
from archlab.hf.writing import Piece
from archlab.model import Model
from archlab.spec import schema

OLD = {"LayerNorm.gamma": "LayerNorm.weight", "LayerNorm.beta": "LayerNorm.bias"}
"""How names ended that have another end today."""
STEP = 1 << 21
"""Bytes, about, that are transposed and written at a time."""


class Conversion:
    """Which tensor of a family's checkpoint is which parameter of a model of it."""

    def __init__(self, family: Family, model: Model) -> None:
        self.family, self.model = family, model
        self.shapes: dict[str, Shape] = {path: param.shape for path, param in schema(model.root()).items()}
        self.rules = expanded(family.tensors(model), self.shapes)

    # --- theirs → ours ------------------------------------------------------------------------------------

    def check(self, tensors: Tensors, where: str) -> dict[str, str]:
        """The name in ``tensors`` of each tensor that a rule speaks of.

        Raises :class:`InputError` where one is missing, has another shape or another dtype than those it is one
        parameter with, or is left over.
        """
        names = self._found(tensors, where)
        wanted = {}
        for rule in self.rules:
            shape, first = rule.their_shape(self.shapes), None
            for name in rule.names(self.shapes):
                if name not in names:
                    raise InputError(f"{where}: the tensor {name!r} is missing; {nearest(name, names)}")
                entry = tensors.entries[names[name]]
                if entry.shape != shape:
                    raise InputError(f"{where}: {name!r} has the shape {entry.shape}, but by the config it is {shape}")
                first = first or entry
                if entry.dtype != first.dtype:
                    raise InputError(f"{where}: {name!r} is {entry.dtype}, the tensors beside it are {first.dtype}")
                wanted[name] = names.pop(name)
        for name, of in (self.family.twins or {}).items():
            if name in names and of in wanted:
                self._check_twin(tensors, names.pop(name), wanted[of], where)
        left = sorted(name for name in names if not self.family.is_spare(name))
        if left:
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            raise InputError(
                f"{where}: the tensor {left[0]!r}{more} is not used by a {self.family.model_type} of this config"
            )
        return wanted

    def _found(self, tensors: Tensors, where: str) -> dict[str, str]:
        """Their names in full → as they stand in the file, without those that are not learned."""
        prefix = self.family.prefix
        bare = bool(prefix) and not any(name.startswith(prefix) for name in tensors.entries)
        theirs = {name for rule in self.rules for name in rule.names(self.shapes)}
        names = {}
        for name in tensors.entries:
            full = _present(name)
            if full not in theirs and (bare or full.removeprefix(prefix) in theirs):
                full = prefix + full if bare else full.removeprefix(prefix)
            if not any(re.fullmatch(pattern, full) for pattern in self.family.ignored):
                names[full] = name
        return names

    def _check_twin(self, tensors: Tensors, name: str, of: str, where: str) -> None:
        if tensors.entries[name] != tensors.entries[of] or not np.array_equal(tensors.read(name), tensors.read(of)):
            raise InputError(f"{where}: {name!r} differs from {of!r}, but by the config the two are one (tied)")

    def ours(self, tensors: Tensors, where: str) -> Iterator[Piece]:
        """Every parameter, made of their tensors when it is asked for; dtypes are kept."""
        names = self.check(tensors, where)
        for rule in self.rules:
            dtype = tensors.entries[names[rule.names(self.shapes)[0]]].dtype
            for index, path in enumerate(rule.ours):
                parts = partial(self._parts_of_ours, tensors, names, rule, index)
                entry, place = Entry(dtype=dtype, shape=self.shapes[path]), self._copied(tensors, names, rule)
                yield Piece(name=path, entry=entry, parts=parts, place=place)

    def _copied(self, tensors: Tensors, names: Mapping[str, str], rule: Rule) -> Place | None:
        """Where the bytes of a parameter lie that is one tensor of theirs, as it is or transposed."""
        if rule.stacked or rule.layout not in ("", TURNED):
            return None
        place = tensors.place(names[rule.theirs])
        return place and replace(place, transposed=rule.layout == TURNED)

    def _parts_of_ours(
        self, tensors: Tensors, names: Mapping[str, str], rule: Rule, index: int
    ) -> Iterator[np.ndarray]:  # fmt: skip
        for name in rule.names(self.shapes):
            yield from _slices(rule.forward(tensors.read(names[name]), self.shapes)[index])

    # --- ours → theirs --------------------------------------------------------------------------------------

    def theirs(self, tensors: Tensors) -> Iterator[Piece]:
        """Every tensor of theirs, made of our parameters when it is asked for; dtypes are kept."""
        for rule in self.rules:
            shape = rule.their_shape(self.shapes)
            for expert, name in enumerate(rule.names(self.shapes)):
                entry = Entry(dtype=tensors.entries[rule.ours[0]].dtype, shape=shape)
                parts = partial(self._parts_of_theirs, tensors, rule, expert)
                yield Piece(name=name, entry=entry, parts=parts, place=_copied_back(tensors, rule))

    def _parts_of_theirs(self, tensors: Tensors, rule: Rule, expert: int) -> Iterator[np.ndarray]:
        arrays = [tensors.read(path) for path in rule.ours]
        yield from _slices(rule.backward([array[expert] for array in arrays] if rule.stacked else arrays))


def _present(name: str) -> str:
    """Today's name of a tensor that an older version may have saved."""
    for end, today in OLD.items():
        if name.endswith(end):
            return name.removesuffix(end) + today
    return name


def _copied_back(tensors: Tensors, rule: Rule) -> Place | None:
    """Where the bytes of a tensor of theirs lie that is one parameter of ours, as it is or transposed."""
    place = None if rule.stacked or rule.layout not in ("", TURNED) else tensors.place(rule.ours[0])
    fits = place is not None and place.transposed == (rule.layout == TURNED)
    return replace(place, transposed=False) if place is not None and fits else None


def _slices(array: np.ndarray) -> Iterator[np.ndarray]:
    """``array`` in parts along its first axis, so that a transposed one is copied part by part."""
    if array.ndim < 2 or array.flags.c_contiguous:
        yield array
        return
    rows = max(1, STEP // max(1, array[:1].nbytes))
    for start in range(0, len(array), rows):
        yield array[start : start + rows]


def collected(pieces: Iterable[Piece]) -> dict[str, np.ndarray]:
    """All tensors in memory."""
    return {
        piece.name: np.concatenate([np.atleast_1d(part) for part in piece.parts()]).reshape(piece.entry.shape)
        for piece in pieces
    }


class Held:
    """Arrays in memory, as :class:`~archlab.hf.tensors.Tensors`."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = arrays
        self.entries = {name: Entry(dtype=array.dtype, shape=array.shape) for name, array in arrays.items()}

    def read(self, name: str) -> np.ndarray:
        return self._arrays[name]

    def place(self, name: str) -> Place | None:
        return None
