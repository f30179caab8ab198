"""Measure every family on both backends and write the table of docs/hf.md.

    python -m parity_tests.hf.report             all of them
    python -m parity_tests.hf.report llama t5    these; the others keep what was measured before

What was measured stands in docs/hf.json.
"""

import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from archlab.files import write_text
from archlab.hf.conversion import Held, collected
from archlab.hf.family import find, supported
from archlab.hf.matching import fields_of
from archlab.parity import regions
from archlab.parity.running import rehearse
from parity_tests.hf.case import Case, cases
from parity_tests.hf.conformance import (
    EXACT,
    Setup,
    has_loss,
    is_generative,
    is_paddable,
    loss_error,
    measure,
    our_continuation,
    padded_error,
    saved_tensors,
    set_up,
    their_continuation,
)

DOCS = Path(__file__).parents[2] / "docs"
BACKENDS = ("jax", "torch")
REGION = "families"
Cell = dict[str, Any]


def measured(model_type: str) -> list[Cell]:
    """A cell for each case and backend."""
    return [cell for i, case in enumerate(cases(model_type)) for cell in _case(model_type, case, whole=i == 0)]


def _case(model_type: str, case: Case, *, whole: bool) -> list[Cell]:
    """``whole``: rows of unequal length and generation on JAX too, which compiles half a minute for them."""
    setup = set_up(model_type, case)
    shared = {"case": case.name, "architecture": setup.architecture, "export": _exports(setup), "inexact": case.inexact}
    cells = []
    for backend in BACKENDS:
        began = time.monotonic()
        verdict = measure(setup, backend)
        measured = {"exact": verdict.exact, "noise": verdict.noise, "failures": verdict.failures(case)}
        cells.append(shared | {"backend": backend} | measured)
        print(f"{model_type} {case.name} {backend}: {time.monotonic() - began:.1f} s", flush=True)
    for cell in cells:  # last: what transformers has written may stay in its rotations
        if whole or cell["backend"] == "torch":
            cell |= _further(setup, cell["backend"])
    return cells


def _further(setup: Setup, backend: str) -> Cell:
    """The loss, rows of unequal length, and a continuation."""
    found: Cell = {}
    if has_loss(setup):
        found["loss"] = loss_error(setup, backend)
    if is_paddable(setup):
        found["padding"] = max(padded_error(setup, backend, side) for side in ("left", "right"))
    if is_generative(setup) and "generation" not in setup.case.inexact:
        found["generation"] = bool(np.array_equal(our_continuation(setup, backend), their_continuation(setup)))
    return found


def _exports(setup: Setup) -> bool:
    """Whether tensors come back byte for byte, and the config with the same meaning."""
    theirs, again = saved_tensors(setup.module), collected(setup.conversion.theirs(Held(setup.weights)))
    same = all(np.array_equal(array, theirs[name]) for name, array in again.items())
    left = {name for name in theirs if name not in again and not setup.family.is_spare(name)}
    left -= set(setup.family.twins or {})
    return same and not left and fields_of(setup.family, setup.model) is not None


# --- the table ----------------------------------------------------------------------------------------------


def table(results: dict[str, list[Cell]]) -> str:
    """One line a family, worst of its cases."""
    measures = ("export", "logits", "gradient", "float64", "loss", "padding", "generation")
    names = ("family", "classes", "cases", *BACKENDS, *measures)
    head = f"| {' | '.join(names)} |\n|{'---|' * len(names)}\n"
    return head + "\n".join(_line(name, cells) for name, cells in sorted(results.items())) + "\n" + _notes(results)


def _line(name: str, cells: list[Cell]) -> str:
    classes = dict.fromkeys(cell["architecture"] for cell in cells)
    works = [_yes(all(_holds(c) for c in cells if c["backend"] == backend)) for backend in BACKENDS]
    losses = [cell["loss"] for cell in cells if "loss" in cell]
    padding = [cell["padding"] for cell in cells if "padding" in cell]
    spoken = [cell["generation"] for cell in cells if "generation" in cell]
    columns = [
        f"[{name}](../archlab/hf/families/{name}.py)",
        ", ".join(f"`{c}`" for c in classes),
        str(len({cell["case"] for cell in cells})),
        *works,
        _yes(all(cell["export"] for cell in cells)),
        f"{max(cell['noise']['logits'] for cell in cells):.1f} ×",
        f"{max(cell['noise']['gradient'] for cell in cells):.1f} ×",
        f"{max(max(cell['exact'].values()) for cell in cells):.0e}",
        f"{max(losses):.0e}" if losses else "–",
        f"{max(padding):.0e}" if padding else "–",
        _yes(all(spoken)) if spoken else "–",
    ]
    return f"| {' | '.join(columns)} |"


def _holds(cell: Cell) -> bool:
    """Whether all that was measured of a cell is within the gate."""
    small = max(cell.get("loss", 0.0), cell.get("padding", 0.0)) <= EXACT
    return not cell["failures"] and small and cell.get("generation", True)


def _yes(value: bool) -> str:
    return "yes" if value else "**no**"


def _notes(results: dict[str, list[Cell]]) -> str:
    """The reasons of exceptions."""
    found = dict.fromkeys(
        f"- {name}, {cell['case']}, {what}: {why}"
        for name, cells in sorted(results.items())
        for cell in cells
        for what, why in cell["inexact"].items()
    )
    return "\nExceptions, with their reasons:\n\n" + "\n".join(found) + "\n" if found else ""


def main(names: Iterable[str]) -> int:
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    rehearse()
    store = DOCS / "hf.json"
    for name in names or supported():
        find(name)
        cells = measured(name)
        results = _read(store) | {name: cells}  # another process may have measured others meanwhile
        write_text(store, json.dumps(results, indent=1) + "\n")
    results = _read(store)
    regions.rewrite(DOCS / "hf.md", REGION, table(results))
    broken = [name for name, cells in results.items() if not all(_holds(c) and c["export"] for c in cells)]
    print("all hold" if not broken else f"beyond the gate: {', '.join(broken)}")
    return 1 if broken else 0


def _read(store: Path) -> dict[str, list[Cell]]:
    return json.loads(store.read_text(encoding="utf-8")) if store.exists() else {}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
