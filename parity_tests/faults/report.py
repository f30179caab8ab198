"""Injects every fault and writes the table in docs/parity.md: what caught it, where, and whether the cause was named.

python parity_tests/faults/report.py
"""

from pathlib import Path

import pytest

from archlab.importing import load_file
from archlab.parity import regions
from archlab.parity.bench import Bench
from archlab.parity.cases import Case
from archlab.parity.diff import STAGES, diff
from archlab.parity.document import FAULTS as FAULTS_REGION
from archlab.parity.laws import LAWS
from archlab.spec import Example

HERE = Path(__file__).parent
TABLE = HERE.parents[1] / "docs" / "parity.md"
GROUPS = ("maps", "positions", "attention", "wiring", "training")
FAULTS = [fault for group in GROUPS for fault in load_file(HERE / f"{group}.py").FAULTS]
SMALL = {"length": 24, "batch": 2, "steps": 3}
HEAD = """## Faults

Every known way in which "the same model" came out different, injected into the PyTorch backend one at a time
(`parity_tests/faults/`). `archlab diff --a jax --b torch`, or a law of the battery where only that can show it, must
notice each. The table is written by `python parity_tests/faults/report.py`; the suite holds every row.

{caught} of {all} faults are caught, {named} of them called by their name.

| fault | caught by | first at | error | diagnosis |
|---|---|---|---|---|
"""


def breaches(law, model):
    """The rows of a law that a model breaks on PyTorch."""
    example = Example(spec=model, width=model.width, length=24)
    bench = Bench(Case(name="fault", spec_name="fault", example=example))
    return [row for row in LAWS[law](bench, "torch", ()) if not row.passed]


def compared(fault):
    """Both backends up to the stage that is to catch the fault."""
    stages = list(STAGES)[: list(STAGES).index(fault.by) + 1]
    return diff(fault.model, a="jax", b="torch", dtype=fault.dtype, stages=stages, **SMALL)


def caught(fault):
    """(by what, where, error, diagnosis) with the fault injected; None if nobody noticed."""
    with pytest.MonkeyPatch.context() as patch:
        fault.inject(patch)
        if fault.by.startswith("law: "):
            rows = breaches(fault.by.removeprefix("law: "), fault.model)
            return (fault.by, rows[0].where, rows[0].error, "") if rows else None
        found = compared(fault)
    if found.first is None:
        return None
    named = found.diagnosis is not None and found.diagnosis.whole
    words = "; ".join(finding.words for finding in found.diagnosis.findings) if named else ""
    return f"diff: {found.first.stage}", found.first.where, found.first.error, words


def main():
    rows = {fault: caught(fault) for fault in FAULTS}
    found = [row for row in rows.values() if row]
    counts = {"caught": len(found), "all": len(rows), "named": sum(bool(row[3]) for row in found)}
    lines = [
        f"| {fault.words} | " + (f"{row[0]} | `{row[1]}` | {row[2]:.0e} | {row[3]}" if row else "nobody | | | ") + " |"
        for fault, row in rows.items()
    ]
    regions.rewrite(TABLE, FAULTS_REGION, HEAD.format(**counts) + "\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
