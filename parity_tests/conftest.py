"""The battery's session: virtual devices for meshes, and a count of what was held to what."""

from collections import Counter
from pathlib import Path

import pytest

from archlab.parity.running import rehearse

rehearse()  # devices are looked for once, so before any test runs

_verdicts: dict[tuple[str, str, str], set[str]] = {}
_waivers: set[str] = set()


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Collect what battery tests recorded; under xdist reports arrive here from all workers."""
    noted = dict(report.user_properties)
    if report.when == "call" and "battery" in noted:
        spec, law, backend = noted["battery"]
        _verdicts.setdefault((spec, law, backend), set()).add(report.outcome)
        if "waived" in noted:
            _waivers.add(noted["waived"])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Specs × items, and the waivers with their reasons."""
    if not _verdicts:
        return
    cells = {(spec, law) for spec, law, _ in _verdicts}
    outcomes = Counter(_verdict(outcomes) for outcomes in _verdicts.values())
    specs, laws = ({cell[i] for cell in cells} for i in (0, 1))
    terminalreporter.section("parity battery")
    terminalreporter.write_line(
        f"{len(specs)} specs × {len(laws)} items = {len(cells)} held, on each backend: "
        + ", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items()))
    )
    for line in sorted(_waivers):
        terminalreporter.write_line(f"waived: {line}")


def _verdict(outcomes: set[str]) -> str:
    return "failed" if "failed" in outcomes else "waived" if outcomes == {"skipped"} else "passed"


@pytest.fixture(scope="session")
def here() -> Path:
    return Path(__file__).parent
