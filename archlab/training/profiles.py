"""Profiles of some steps of a run: the framework's own trace, and a plain table of where the time went."""

import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab.backends import Spent, StepMetrics
from archlab.files import write_text
from archlab.training.callbacks import Callback
from archlab.training.manifest import write_json

if TYPE_CHECKING:
    from archlab.training.session import Session

FOLDER, TEXT, DATA = "profile", "table.txt", "table.json"
SHOWN = 25  # operations in the table; the JSON has all


class ProfileSteps(Callback):
    """Looks on from the end of the step before the first one to the end of the last one, once in a session.

    Rows, evaluations and checkpoints that come between are in it; before step 1 that is the first evaluation too.
    """

    def __init__(self, steps: range) -> None:
        self.steps = steps
        self._open: ExitStack | None = None
        self._over = False

    def on_train_start(self, session: "Session") -> None:
        self.session = session
        if session.step >= self.steps[-1]:
            self._over = True
            session.run.log(f"steps {_range(self.steps)} are over: nothing is profiled")
        elif session.step + 1 >= self.steps[0]:
            self._begin(session.step + 1)

    def on_step_end(self, step: int, metrics: StepMetrics) -> None:
        if self._open is not None:
            self._last = step
            if step >= self.steps[-1]:
                float(metrics.loss)  # until the device has done it
                self._finish()
        elif not self._over and step + 1 in self.steps:
            float(metrics.loss)
            self._begin(step + 1)

    def on_train_end(self) -> None:
        if self._open is not None:
            self._finish()

    def _begin(self, step: int) -> None:
        folder = self.session.run.path / FOLDER
        folder.mkdir(exist_ok=True)
        self._first, self._last = step, step - 1
        self._open = ExitStack()
        self._spent = self._open.enter_context(self.session.backend.profile(folder))
        self._since = time.perf_counter()

    def _finish(self) -> None:
        wall = 1e3 * (time.perf_counter() - self._since)
        stack, self._open, self._over = self._open, None, True
        assert stack is not None
        stack.close()
        session = self.session
        write(session.run.path / FOLDER, session.backend, range(self._first, self._last + 1), wall, self._spent)


def write(folder: Path, backend: Any, steps: range, wall: float, spent: list[Spent]) -> None:
    """The table as text and as JSON, the dearest operations first; ``wall`` in milliseconds."""
    spent = sorted(spent, key=lambda s: -s.ms)
    total = sum(s.ms for s in spent)
    device = backend.environment().get("device", "")
    facts = {"backend": backend.name, "device": device, "steps": list(steps), "wall_ms": wall, "sum_ms": total}
    shares = [asdict(s) | {"share": s.ms / total if total else 0.0} for s in spent]
    write_json(folder / DATA, facts | {"spent": shares})
    head = f"{backend.name} on {device}, steps {_range(steps)}: {wall:,.1f} ms on the clock"
    write_text(folder / TEXT, f"{head}\n\n{table(shares, total)}")


def table(shares: list[dict[str, Any]], total: float) -> str:
    """The dearest operations in columns, the rest in one line, and the sum of all threads or streams."""
    lines = [(s["name"], s["calls"], s["ms"], s["share"]) for s in shares[:SHOWN]]
    if rest := shares[SHOWN:]:
        sums = [sum(s[key] for s in rest) for key in ("calls", "ms", "share")]
        lines.append((f"{len(rest)} others", *sums))
    lines.append(("sum", sum(s["calls"] for s in shares), total, 1.0 if shares else 0.0))
    width = max(len("operation"), *(min(len(name), 60) for name, *_ in lines))
    head = f"{'operation':<{width}}  {'calls':>8}  {'own ms':>10}  {'share':>6}\n"
    body = (f"{_short(name):<{width}}  {calls:>8,}  {ms:>10,.2f}  {share:>6.1%}\n" for name, calls, ms, share in lines)
    return head + "".join(body)


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:59]}…"


def _range(steps: range) -> str:
    return f"{steps[0]}:{steps[-1]}" if steps else "none"
