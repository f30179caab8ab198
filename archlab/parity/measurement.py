"""How exactly every mechanism agrees: measured over its examples, and kept as plain data (docs/parity.json)."""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from archlab.backends import backend_names, find_backend
from archlab.parity import tolerances
from archlab.parity.bench import Row
from archlab.parity.cases import Case, cases_of, registered_cases
from archlab.parity.mechanisms import definition, fingerprint, mechanisms, natives
from archlab.parity.processes import sharded_rows
from archlab.parity.report import share
from archlab.parity.running import rows_by_case
from archlab.spec import Spec
from archlab.training.manifest import environment

MEASURED = ("forward", "gradients", "precision", "decode", "sharded", "trained")
"""The laws whose errors say how exact an implementation is; the others hold to the bit or by name."""

QUANTITIES = ("forward", "gradient", "slope", "float32", "bfloat16", "decode", "sharded", "trained")
LIMITS = {
    "forward": tolerances.FORWARD,
    "gradient": tolerances.GRADIENT,
    "slope": tolerances.DIFFERENCE,
    "floors": tolerances.FLOORS,
    "gradient floors": tolerances.GRADIENT_FLOORS,
}


def measure(done: Callable[[str], None], known: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """All mechanisms on all installed backends. ``done`` hears of each :func:`steps`, when it is over.

    Of those that are ``known`` (data as this function gives it), only what is :func:`outdated` is measured anew.
    """
    found: dict[str, list[Row]] = defaultdict(list)
    names = outdated(known)
    if known and not names:
        return dict(known)
    cases = _cases(names)
    for case, rows in rows_by_case([(case, MEASURED) for case in cases]):
        found[case.name] += rows
        done(case.name)
    for name in _on_processes():
        for case_name, rows in sharded_rows(name, only=[case.name for case in cases]).items():
            found[case_name] += rows
        done(f"{name} on several processes")
    kept = known["mechanisms"] if known else {}
    return _data(found, {name: mechanism for name, mechanism in kept.items() if name not in names})


def outdated(known: Mapping[str, Any] | None) -> list[str]:
    """The mechanisms that are not known, or have other code or examples now; all where nothing is known."""
    kept = known["mechanisms"] if known else {}
    return [
        name
        for name, cls in mechanisms().items()
        if any(kept.get(name, {}).get(key) != value for key, value in _described(cls).items())
    ]


def _described(cls: type[Spec]) -> dict[str, Any]:
    """What stands in the data of a mechanism beside what is measured."""
    return {
        "definition": definition(cls), "natives": natives(cls), "fingerprint": fingerprint(cls),
        "examples": len(cases_of(cls)), "waived": _waived(cases_of(cls)),
    }  # fmt: skip


def steps(known: Mapping[str, Any] | None = None) -> int:
    """How many steps :func:`measure` takes: the cases, and each backend whose mesh takes several processes."""
    cases = len(_cases(outdated(known)))
    return cases and cases + len(_on_processes())


def _cases(names: Sequence[str]) -> list[Case]:
    """The examples of these mechanisms."""
    return [case for case in registered_cases() if case.spec_name in names]


def broken(data: dict[str, Any]) -> list[str]:
    """What exceeds its limit, as "mechanism: quantity on backend"."""
    return [
        f"{name}: {quantity} on {backend}"
        for name, mechanism in data["mechanisms"].items()
        for backend, cells in mechanism["measured"].items()
        for quantity, cell in cells.items()
        if not cell["pass"]
    ]


def _on_processes() -> list[str]:
    return [name for name in backend_names() if find_backend(name).rehearsal.processes > 1]


def _data(found: dict[str, list[Row]], kept: Mapping[str, Any]) -> dict[str, Any]:
    backends = backend_names()
    return {
        "environment": environment() | {"backends": {name: find_backend(name).environment() for name in backends}},
        "laws": list(MEASURED),
        "quantities": list(QUANTITIES),
        "backends": backends,
        "limits": LIMITS,
        "mechanisms": {
            name: kept.get(name)
            or _described(cls)
            | {"measured": _cells(row for case in cases_of(cls) for row in _claimed(case, found[case.name]))}
            for name, cls in mechanisms().items()
        },
    }


def _claimed(case: Case, rows: Iterable[Row]) -> list[Row]:
    return [row for row in rows if row.item not in case.waived]


def _waived(cases: Sequence[Case]) -> list[dict[str, str]]:
    return [
        {"example": case.name, "law": law, "reason": reason} for case in cases for law, reason in case.waived.items()
    ]


def _cells(rows: Iterable[Row]) -> dict[str, dict[str, dict[str, Any]]]:
    """By backend and quantity, the row that uses up most of its limit."""
    worst: dict[str, dict[str, Row]] = defaultdict(dict)
    for row in rows:
        table, quantity = worst[row.backend], _quantity(row)
        table[quantity] = max(table.get(quantity, row), row, key=_badness)
    return {
        backend: {quantity: _cell(table[quantity]) for quantity in QUANTITIES if quantity in table}
        for backend, table in sorted(worst.items())
    }


def _quantity(row: Row) -> str:
    """What a row measures: precision by dtype, gradients against the slope of the reference or against a backend."""
    if row.item == "precision":
        return row.dtype
    if row.item == "gradients":
        return "gradient" if "against" in row.where else "slope"
    return row.item


def _badness(row: Row) -> tuple[float, float]:
    return share(row), row.error


def _cell(row: Row) -> dict[str, Any]:
    used = share(row)
    return {
        "error": row.error if np.isfinite(row.error) else None,
        "limit": row.limit,
        "share": used if np.isfinite(used) else None,
        "example": row.spec,
        "where": row.where,
        "pass": row.passed,
    }
