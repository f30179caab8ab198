"""The gate is proven by injecting every known fault: each must be caught, and most be called by their name."""

from pathlib import Path

import pytest

from archlab.importing import load_file
from archlab.parity import regions
from archlab.parity.diff import diff

report = load_file(Path(__file__).with_name("report.py"))
FAULTS = report.FAULTS


@pytest.mark.xdist_group("faults")
@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_is_caught_and_named(fault, monkeypatch):
    fault.inject(monkeypatch)
    if fault.by.startswith("law: "):
        assert report.breaches(fault.by.removeprefix("law: "), fault.model) != []
        return
    found = report.compared(fault)
    assert found.first is not None, "nobody noticed"
    assert found.first.stage == fault.by, found.first
    if fault.by == "forward":
        assert found.culprit == "torch"
    if fault.named is None:
        assert found.diagnosis is None or not found.diagnosis.whole, "it is named now: say so"
        return
    assert found.diagnosis.whole, found.diagnosis
    assert len(found.diagnosis.findings) == 1, found.diagnosis
    assert fault.named in found.diagnosis.findings[0].words


@pytest.mark.slow
@pytest.mark.xdist_group("faults")
@pytest.mark.parametrize("model", dict.fromkeys(fault.model for fault in FAULTS), ids=lambda model: model.hash()[:8])
def test_without_a_fault_all_agree(model):
    assert diff(model, a="jax", b="torch", **report.SMALL).passed
    for law in {fault.by.removeprefix("law: ") for fault in FAULTS if fault.by.startswith("law: ")}:
        assert report.breaches(law, model) == []


def test_there_are_forty_of_which_thirty_four_are_named():
    assert len(FAULTS) >= 40
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert sum(fault.named is not None for fault in FAULTS) >= 34


def test_the_table_of_faults_is_current():
    text = regions.read(report.TABLE, report.FAULTS_REGION)
    rows = [line.split(" | ") for line in text.splitlines() if line.startswith("| ")]
    table = {row[0].removeprefix("| "): row for row in rows[1:]}
    assert list(table) == [fault.words for fault in FAULTS]
    for fault in FAULTS:
        assert fault.by.removeprefix("law: ") in table[fault.words][1]
        assert (fault.named or "") in table[fault.words][4]
