"""What is compared: the examples of every spec, with weights, inputs and variants of the inputs."""

import dataclasses
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from archlab import random
from archlab.config import registered
from archlab.inits import Ones
from archlab.inputs import document_positions, segments_of
from archlab.model import Model
from archlab.spec import Example, Input, Part, Spec, schema, walk
from archlab.weights import Weights

FAR = 4096  # positions that bfloat16 and a short test cannot tell from others
PREFIX = 3
Inputs = dict[str, np.ndarray]


@dataclass(frozen=True, kw_only=True)
class Case:
    """One example of one spec class. ``spec_name`` is the class's, ``name`` adds the example's number."""

    name: str
    spec_name: str
    example: Example

    @property
    def part(self) -> Part:
        """The example's spec as the root of its tree."""
        return root(self.example.spec, self.example.width)

    @property
    def twin(self) -> tuple[str, int, int, int]:
        """Equal for cases whose examples are: what was computed for one of them holds for all."""
        example = self.example
        return example.spec.hash(), example.width, example.length, example.batch

    @property
    def waived(self) -> dict[str, str]:
        """Laws that the example does not claim, with the reasons."""
        return dict(self.example.waive)


def root(spec: Spec, width: int) -> Part:
    """``spec`` as a root: a model at its own width."""
    return spec.at(spec.width if isinstance(spec, Model) else width)


def cases_of(cls: type[Spec]) -> list[Case]:
    """A case for each example of ``cls``; an example that does not contain the class is an error."""
    name = cls.__name__
    cases = [Case(name=f"{name}-{i}", spec_name=name, example=e) for i, e in enumerate(cls.examples())]
    for case in cases:
        if not any(isinstance(part.spec, cls) for _, part in walk(case.part)):
            raise AssertionError(f"the example {case.name} contains no {name}, so it proves nothing about it")
    return cases


def registered_cases() -> list[Case]:
    """The cases of all registered specs."""
    return [case for cls in registered(Spec).values() for case in cases_of(cls)]  # type: ignore[arg-type]


def without_examples() -> list[str]:
    """Registered specs that list no example: each is a fault."""
    return [name for name, cls in registered(Spec).items() if not cls.examples()]  # type: ignore[attr-defined]


# --- weights and inputs -------------------------------------------------------------------------------


def drawn_weights(part: Part, seed: int) -> Weights:
    """Float64 weights in which no parameter is degenerate, whatever its initialiser.

    Vectors are N(0, 0.3²), around 1 where they start at 1; matrices are N(0, 1/fan_in).
    """
    table = {}
    for path, param in schema(part).items():
        noise = random.normal(seed, f"parity/{path}", param.size).reshape(param.shape)
        if len(param.shape) > 1:
            table[path] = noise / np.sqrt(param.fan_in)
        else:
            table[path] = isinstance(param.init, Ones) + 0.3 * noise
    return table


def variants(case: Case, seed: int) -> dict[str, Inputs]:
    """The case's inputs in three forms.

    plain
        One document a row, from position 0; nothing is said but the tokens.
    packed
        Four rows of several documents with padding before, between and after, one row all padding, positions
        starting over in each document, and a prefix of three tokens in each.
    offset
        Four rows of one document that start at position 4096 or later, or as late as a table of positions allows.
        The arrays have the shapes of "packed": what is compiled for one runs the other.
    """
    example = case.example
    rows = packed_rows(example.length)
    later = _starts(case, len(rows))[:, None] + np.arange(example.length)
    one = np.ones_like(rows)
    packed = {"segments": rows, "positions": document_positions(rows), "prefix": np.where(rows > 0, PREFIX, 0)}
    offset = {"segments": one, "positions": later, "prefix": later[:, :1] + PREFIX * one}
    return {
        "plain": content(case, seed, example.batch),
        "packed": content(case, seed + 1, len(rows)) | _placed(case, packed, sources(rows)),
        "offset": content(case, seed + 2, len(rows)) | _placed(case, offset, np.ones_like(sources(rows))),
    }


def _placed(case: Case, where: Inputs, source: np.ndarray) -> Inputs:
    """Where tokens stand, of each sequence that the case has: its own, and one of ``source`` segments."""
    declared = declared_inputs(case)
    if not any(item.shape[0] == "T" for item in declared.values()):
        return {}
    units = {name: item.unit for name, item in declared.items() if name.endswith("_segments")}
    return where | {name: np.repeat(source, unit, axis=1) for name, unit in units.items()}


def declared_inputs(case: Case) -> dict[str, Input]:
    """What the case is fed, by name."""
    spec = case.example.spec
    return spec.inputs() if isinstance(spec, Model) else {"x": Input(kind="numbers", shape=("T", case.example.width))}


def fixed(case: Case) -> list[str]:
    """The names of inputs of a fixed size that stand beside a sequence of any length."""
    declared = declared_inputs(case)
    found = [name for name, item in declared.items() if isinstance(item.shape[0], int)]
    return found if len(found) < len(declared) else []


def content(case: Case, seed: int, rows: int) -> Inputs:
    """Every input of a model, ``{"x": (B, T, D)}`` for another part; nothing of where tokens stand."""
    found = {}
    for name, item in declared_inputs(case).items():
        if item.kind != "where":
            shape = (rows, *(_length(case, item, n) if isinstance(n, str) else n for n in item.shape))
            found[name] = _drawn(item, seed, f"parity/{case.name}/{name}", shape)
    return found


def _drawn(item: Input, seed: int, name: str, shape: tuple[int, ...]) -> np.ndarray:
    count = int(np.prod(shape))
    if item.below is None:
        return random.normal(seed, name, count).reshape(shape)
    return (random.uniform(seed, name, count) * item.below).astype(np.int64).reshape(shape)


def _length(case: Case, item: Input, sequence: str) -> int:
    """Of the case's own sequence, or of another one."""
    length = case.example.length
    return length if sequence == "T" else item.unit * other_length(length)


def packed_rows(length: int) -> np.ndarray:
    """(4, T) segments: padding at the end; padding first and between; only padding; no padding."""
    third, half, sixth = length // 3, length // 2, length // 6
    rows = np.zeros((4, length), dtype=np.int64)
    rows[0, :third], rows[0, third : length - sixth] = 5, 2
    rows[1, sixth:half], rows[1, half + 1 :] = 1, 7
    rows[3, :1], rows[3, 1:half], rows[3, half:] = 4, 1, 3
    return rows


def _starts(case: Case, rows: int) -> np.ndarray:
    spec = case.example.spec
    limit = spec.limit() if isinstance(spec, Model) else None
    starts = FAR + 37 * np.arange(rows)
    return starts if limit is None else np.minimum(starts, limit - case.example.length)


def sources(rows: np.ndarray) -> np.ndarray:
    """(4, S) segments of another sequence: about half as many tokens of each document as ``rows`` has, then padding.

    Row 1 has padding first too.
    """
    found = np.zeros((len(rows), other_length(rows.shape[1])), dtype=rows.dtype)
    for row, segments in enumerate(rows):
        start = int(row == 1)
        for segment in dict.fromkeys(segments[segments > 0]):
            count = int(np.sum(segments == segment)) // 2 + 1
            found[row, start : start + count] = segment
            start += count
    return found


def other_length(length: int) -> int:
    """How long another sequence than a case's own is: not as long, so that one is not taken for the other."""
    return length - 2


def changed(case: Case, inputs: Inputs, where: np.ndarray, source: np.ndarray | None = None) -> Inputs:
    """``inputs`` with other content where ``where`` (B, T) is true, and in another sequence where ``source`` is."""
    new = dict(inputs)
    for name, item in declared_inputs(case).items():
        there = source if item.shape[0] not in ("T", where.shape[1]) else where
        if item.kind == "where" or name not in inputs or there is None:
            continue
        old = inputs[name]
        other = 1.5 - 2.0 * old if item.below is None else (old + 1) % item.below
        new[name] = np.where(there.reshape(there.shape + (1,) * (old.ndim - 2)), other, old)
    return new


def sliced(case: Case, inputs: Mapping[str, np.ndarray], rows: slice, time: slice) -> Inputs:
    """A part of the batch and of the sequence; other sequences whole, and only with its beginning."""
    other = {n for n, item in declared_inputs(case).items() if item.shape[0] != "T"}
    return {
        name: array[rows] if name in other else array[rows, time]
        for name, array in inputs.items()
        if name not in other or not time.start
    }


def alone(case: Case, inputs: Mapping[str, np.ndarray], row: int, time: slice) -> Inputs:
    """One document of packed rows, from position 0, with what belongs to it of other sequences."""
    segment, declared = inputs["segments"][row, time][0], declared_inputs(case)
    found = {}
    for name, item in declared.items():
        if item.kind != "where" and name in inputs and isinstance(item.shape[0], str):
            here = time
            if item.shape[0] != "T":
                here = inputs[segments_of(declared, item.shape[0])][row] == segment
            found[name] = inputs[name][row : row + 1, here]
    return found | {name: inputs[name][row : row + 1, time] for name in ("prefix",) if name in inputs}


def cotangent(shape: tuple[int, ...], seed: int) -> np.ndarray:
    """What the gradient laws multiply an output with, standard normal."""
    return random.normal(seed, "parity/cotangent", int(np.prod(shape))).reshape(shape)


def moved(arrays: Mapping[str, np.ndarray], seed: int, size: float) -> Weights:
    """Every float in ``arrays`` moved by a relative amount uniform in ±``size``."""
    table = {}
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating):
            step = 2.0 * random.uniform(seed, f"parity/moved/{name}", array.size).reshape(array.shape) - 1.0
            table[name] = array * (1.0 + size * step)
        else:
            table[name] = array
    return table


def seed_of(name: str) -> int:
    """A seed for a case: the same on every machine."""
    return zlib.crc32(name.encode())


def with_spec(case: Case, spec: Spec) -> Case:
    """The case with another spec in place of its own."""
    return dataclasses.replace(case, example=dataclasses.replace(case.example, spec=spec))
