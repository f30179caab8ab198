"""Laws about what a token may depend on: causality, decoding, padding and packing."""

import functools
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from archlab import reference
from archlab.inputs import document_positions
from archlab.parity import tolerances
from archlab.parity.bench import Bench, Row
from archlab.parity.cases import Inputs, alone, changed, fixed, sliced
from archlab.parity.tolerances import difference, relative
from archlab.policy import Policy

EXACT = Policy.exact()


def causal(bench: Bench, backend: str, others: Sequence[str]) -> list[Row]:
    """Other content from the middle on leaves every earlier output bit-equal."""
    rows = []
    for variant, inputs in bench.variants.items():
        batch, length = _shape(inputs)
        middle = length // 2 + 1
        later = np.broadcast_to(np.arange(length) >= middle, (batch, length))
        before = bench.passed(backend, variant).output
        after = bench.passed(backend, variant, changed(bench.case, inputs, later)).output
        error = difference(after[:, :middle], before[:, :middle])
        rows.append(bench.row("causal", backend, "float64", error, tolerances.EXACT, variant))
    return rows


def decode(bench: Bench, backend: str, others: Sequence[str]) -> list[Row]:
    """Two equal pieces and then single tokens, with the state carried on, give what one pass gives."""
    rows = []
    if "segments" not in bench.variants["packed"] or fixed(bench.case):
        return [bench.row("decode", backend, "float64", np.inf, tolerances.FORWARD, "its length is fixed")]
    for variant in ("plain", "packed"):
        inputs = _with_whole_prefixes(bench.variants[variant])
        truth = bench.once(("decode", variant), functools.partial(bench.define, bench.weights, inputs)).output
        for name in [backend] if others else ["reference", backend]:
            error = relative(_decoded(bench, name, inputs), truth)
            rows.append(bench.row("decode", name, "float64", error, tolerances.FORWARD, variant))
    return rows


def _half(length: int) -> int:
    """The length of the first piece, and of the second."""
    return (length - 2) // 2


def _with_whole_prefixes(inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """``inputs`` without the prefixes that do not lie in one piece: a prefix is seen at once or not at all."""
    if "prefix" not in inputs:
        return dict(inputs)
    segments, prefix = inputs["segments"], np.zeros_like(inputs["prefix"])
    for row, start, end in documents(segments):
        if start + inputs["prefix"][row, start] <= _half(segments.shape[1]):
            prefix[row, start:end] = inputs["prefix"][row, start:end]
    return dict(inputs) | {"prefix": prefix}


def _decoded(bench: Bench, backend: str, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    batch, length = _shape(inputs)
    half = _half(length)
    ends = [half, 2 * half, *range(2 * half + 1, length + 1)]
    state = _initial_state(bench, backend, batch, length)
    pieces, start = [], 0
    for end in ends:
        piece = sliced(bench.case, inputs, slice(None), slice(start, end))
        output, state = _continue(bench, backend, piece, state)
        pieces.append(output)
        start = end
    return np.concatenate(pieces, axis=1)


def _initial_state(bench: Bench, backend: str, batch: int, length: int) -> Any:
    if backend == "reference":
        return reference.initial_state(bench.part, batch, length)
    return bench.backend(backend).initial_state(
        bench.spec, policy=EXACT, width=bench.part.width, batch=batch, length=length
    )


def _continue(bench: Bench, backend: str, inputs: Mapping[str, np.ndarray], state: Any) -> tuple[np.ndarray, Any]:
    if backend == "reference":
        result = reference.run(bench.spec, bench.weights, inputs, state=state)
    else:
        result = bench.backend(backend).run(bench.spec, bench.weights, inputs, policy=EXACT, state=state, capture=False)
    return result.output, result.state


def padding(bench: Bench, backend: str, others: Sequence[str]) -> list[Row]:
    """What stands in padding or in another document changes nothing, forward and backward, to the bit."""
    inputs = bench.variants["packed"]
    if "segments" not in inputs:
        return [bench.row("padding", backend, "float64", np.inf, tolerances.EXACT, "its length is fixed")]
    segments = inputs["segments"]
    pad = segments == 0
    chosen = np.array([segments[0].max(), -1, -1, segments[3].max()])[:, None]  # a document of two of the rows
    document = segments == chosen
    source = next((a for name, a in inputs.items() if name.endswith("_segments")), None)
    rows = [] if others else _alone(bench)
    for what, where, judged, there in (
        ("padding", pad, ~pad, None if source is None else source == 0),
        ("another document", document, ~pad & ~document, None if source is None else source == chosen),
    ):
        errors = _influence(bench, backend, changed(bench.case, inputs, where, there), where, judged)
        rows += [
            bench.row("padding", backend, "float64", error, tolerances.EXACT, f"{what}: {of}")
            for of, error in errors.items()
        ]
    return rows


def _influence(
    bench: Bench, backend: str, other: Inputs, where: np.ndarray, judged: np.ndarray
) -> dict[str, float]:  # fmt: skip
    """How far ``other`` content, at ``where``, reaches the outputs at ``judged``, and the gradients of these."""
    inputs = bench.variants["packed"]
    before, after = bench.passed(backend, "packed").output, bench.passed(backend, "packed", other).output
    seen = bench.cotangent("packed") * judged.reshape(judged.shape + (1,) * (before.ndim - 2))
    grads, again = (bench.differentiate(backend, bench.weights, i, seen, EXACT)[0] for i in (inputs, other))
    errors = {"output": difference(after[judged], before[judged])}
    if "x" in grads:
        errors["gradient of x there"] = difference(grads["x"][where], np.zeros_like(grads["x"][where]))
        grads["x"], again["x"] = grads["x"][judged], again["x"][judged]
    errors["gradients"] = max(difference(again[path], g) for path, g in grads.items()) if grads else 0.0
    errors["finite"] = 0.0 if np.isfinite(before).all() and np.isfinite(after).all() else np.inf
    return errors


def _alone(bench: Bench) -> list[Row]:
    """By the reference, each packed document is what it is alone from position 0.

    Where there are inputs of a fixed size beside it, it stands in every row: what it is may be told by all of these.
    """
    inputs, packed = bench.variants["packed"], bench.truth("packed").output
    segments = inputs["segments"]
    beside = {name: inputs[name] for name in fixed(bench.case)}
    worst = 0.0
    for row, start, end in documents(segments):
        document = alone(bench.case, inputs, row, slice(start, end))
        if beside:
            document = {name: np.repeat(array, len(segments), axis=0) for name, array in document.items()} | beside
        output = bench.define(bench.weights, document).output[row if beside else 0]
        worst = max(worst, relative(packed[row, start:end], output))
    return [bench.row("padding", "reference", "float64", worst, tolerances.FORWARD, "each document alone")]


def documents(segments: np.ndarray) -> list[tuple[int, int, int]]:
    """(row, start, end) of every document in (B, T) segments."""
    first = document_positions(segments) == 0
    found = []
    for row in range(len(segments)):
        starts = [*np.flatnonzero(first[row]), segments.shape[1]]
        found += [(row, a, b) for a, b in itertools.pairwise(starts) if segments[row, a] > 0]
    return found


def _shape(inputs: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    return next(iter(inputs.values())).shape[:2]
