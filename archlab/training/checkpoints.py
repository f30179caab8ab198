"""Checkpoints: where a run stood, whole or not at all, with a checksum of every file."""

import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from archlab import weights as canonical
from archlab.errors import InputError
from archlab.files import sha256
from archlab.optim.optimizer import LossScale, Optimizer, OptimizerState
from archlab.spec import Part, schema
from archlab.training import migrations
from archlab.training.stores import OPTIMIZER, WEIGHTS, Arrays, Canonical, Store, store_of
from archlab.weights import Weights

STATE = "state.json"


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Where a run stood: updates made, tokens and seconds they took, the held-out loss, who trained, what.

    val_loss
        None where it was not measured at that step: a run that was told to stop saves at once.
    skipped, scale
        Of the optimiser's state (:class:`archlab.optim.optimizer.OptimizerState`), whose step is ``updates``.
    pending
        The losses, norms and notes of steps since the last row of metrics.
    guard
        What the guard against bad steps remembers.
    store, files
        How the arrays lie on disk, and the sha256 of every file.
    format
        The version of all this, see :mod:`archlab.training.migrations`.
    """

    step: int
    tokens: int
    seconds: float
    val_loss: float | None
    backend: str
    spec_hash: str
    updates: int
    skipped: int = 0
    scale: LossScale | None = None
    pending: list[Any] = field(default_factory=list)
    guard: dict[str, Any] = field(default_factory=dict)
    store: str = Canonical.name
    files: dict[str, str] = field(default_factory=dict)
    format: int = migrations.FORMAT


@dataclass(frozen=True, kw_only=True)
class Keep:
    """Which checkpoints stay: the ``last`` ones, those at multiples of ``every`` steps, and always the best one."""

    last: int
    every: int | None = None

    def unwanted(self, steps: list[int], best: int | None) -> list[int]:
        stay = {best, *steps[-self.last :]}
        return [step for step in steps if step not in stay and not (self.every and step % self.every == 0)]


@dataclass(frozen=True)
class Checkpoints:
    """The checkpoints of a run: ``folder/step-000500`` and so on."""

    folder: Path

    def steps(self) -> list[int]:
        """The steps that have a whole checkpoint, in order."""
        names = (path.name.removeprefix("step-") for path in self.folder.glob("step-*"))
        return sorted(int(name) for name in names if name.isdigit())

    def path(self, step: int) -> Path:
        return self.folder / f"step-{step:06d}"

    # --- writing ---------------------------------------------------------------------------------------

    def save(self, state: TrainState, weights: Weights, optimizer: OptimizerState, keep: Keep, store: Store) -> Path:
        """Write a checkpoint, whole or not at all; then delete what need not be kept."""
        target, partial = self.path(state.step), self._hidden(state.step)
        partial.mkdir(parents=True)
        slots = {f"{slot}/{path}": array for slot, table in optimizer.slots.items() for path, array in table.items()}
        arrays = {f"{WEIGHTS}/{path}": array for path, array in weights.items()}
        store.write(partial, arrays | {f"{OPTIMIZER}/{name}": array for name, array in slots.items()})
        state = dataclasses.replace(state, store=store.name, files=checksums(partial))
        _write_synced(partial / STATE, json.dumps(asdict(state), indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
        _sync(self.folder)
        self.prune(keep)
        return target

    def prune(self, keep: Keep) -> None:
        """Delete all checkpoints that ``keep`` does not want."""
        steps = self.steps()
        for step in keep.unwanted(steps, self.best() if steps else None):
            self._remove(step)

    def drop_after(self, step: int) -> None:
        """Delete checkpoints of later steps, and what a crash left half written."""
        for path in self.folder.glob(".step-*.partial"):
            shutil.rmtree(path)
        for later in self.steps():
            if later > step:
                self._remove(later)

    def _remove(self, step: int) -> None:
        hidden = self._hidden(step)
        self.path(step).replace(hidden)  # at once: an interrupt must not leave half of it under its name
        shutil.rmtree(hidden)

    def _hidden(self, step: int) -> Path:
        """A free place for a checkpoint that is not whole."""
        hidden = self.folder / f".{self.path(step).name}.partial"
        shutil.rmtree(hidden, ignore_errors=True)
        return hidden

    # --- finding ---------------------------------------------------------------------------------------

    def last(self) -> int:
        """The step of the newest checkpoint."""
        return self._some()[-1]

    def best(self) -> int:
        """The step of the checkpoint with the least held-out loss; the newest where none was measured."""
        steps = self._some()
        losses = {step: self.state(step).val_loss for step in steps}
        measured = {step: loss for step, loss in losses.items() if loss is not None}
        return min(measured, key=lambda step: measured[step]) if measured else steps[-1]

    def find(self, which: str) -> int:
        """The step that ``which`` names: "last", "best" or a number."""
        if which in ("last", "best"):
            return self.last() if which == "last" else self.best()
        steps = self._some()
        if not which.isdigit() or int(which) not in steps:
            raise InputError(f"no checkpoint {which!r} in {self.folder}; there are: last, best, {_words(steps)}")
        return int(which)

    def _some(self) -> list[int]:
        steps = self.steps()
        if not steps:
            raise InputError(f"no checkpoint in {self.folder}: the run stopped before its first one; train it again")
        return steps

    # --- reading ---------------------------------------------------------------------------------------

    def state(self, step: int) -> TrainState:
        path = self.path(step) / STATE
        try:
            data = migrations.state(json.loads(path.read_text()))
            scale = data.pop("scale", None)
            return TrainState(**data, scale=LossScale(**scale) if scale else None)
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise InputError(f"{path} cannot be read as the state of a checkpoint: {error}") from None

    def verify(self, step: int) -> None:
        """Raise :class:`InputError` for a file that is missing or is not, bit for bit, what was written."""
        folder, wanted = self.path(step), self.state(step).files
        for name, digest in wanted.items():
            path = folder / name
            if not path.is_file():
                raise InputError(f"{path} is missing; {self._others(step)}")
            if sha256(path) != digest:
                raise InputError(f"{path} is damaged: its checksum is not the one that was noted; {self._others(step)}")

    def _others(self, step: int) -> str:
        others = [str(s) for s in self.steps() if s != step]
        return f"take another checkpoint: {', '.join(others)}" if others else "the run has no other checkpoint"

    def weights(self, step: int, part: Part) -> Weights:
        """The weights, checked against the architecture ``part``."""
        shapes = {path: param.shape for path, param in schema(part).items()}
        weights = _shaped(shapes, migrations.renamed(self._read(step, WEIGHTS), self.state(step).format))
        canonical.check_shapes(shapes, weights, str(self.path(step) / WEIGHTS))
        return weights

    def optimizer(self, step: int, part: Part, optimizer: Optimizer) -> OptimizerState:
        """The optimiser's state, checked against ``optimizer`` and the architecture ``part``."""
        state, where = self.state(step), self.path(step) / OPTIMIZER
        slots: dict[str, Weights] = {}
        for name, array in self._read(step, OPTIMIZER).items():
            slot, _, parameter = name.partition("/")
            slots.setdefault(slot, {})[parameter] = array
        shapes = optimizer.schema(schema(part))
        if set(slots) != set(shapes):
            found, wanted = sorted(slots), sorted(shapes)
            raise InputError(f"{where} holds the slots {found}, {type(optimizer).__name__} needs {wanted}")
        for slot, table in slots.items():
            slots[slot] = _shaped(shapes[slot], migrations.renamed(table, state.format))
            canonical.check_shapes(shapes[slot], slots[slot], f"{where}, {slot}")
        return OptimizerState(step=state.updates, slots=slots, skipped=state.skipped, scale=state.scale)

    def _read(self, step: int, kind: str) -> Arrays:
        self.verify(step)
        state, path = self.state(step), self.path(step)
        return store_of(state.store, state.backend, path).read(path, kind)


class Writer:
    """Writes one thing after the other while training goes on; an error is raised by the next :meth:`wait`."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="checkpoint")
        self._last: Future[Any] | None = None

    def submit(self, write: Callable[[], Any]) -> None:
        """Write when what came before is written: at most one thing waits in memory."""
        self.wait()
        self._last = self._pool.submit(write)

    def wait(self) -> None:
        """Until all is on disk."""
        last, self._last = self._last, None
        if last is not None:
            last.result()

    def close(self) -> None:
        """Wait, and take nothing more."""
        try:
            self.wait()
        finally:
            self._pool.shutdown()


def checksums(folder: Path) -> dict[str, str]:
    """The sha256 of every file below ``folder``, which are on disk when it returns."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    for path in files:
        _sync(path)
    return {path.relative_to(folder).as_posix(): sha256(path) for path in files}


def _write_synced(path: Path, text: str) -> None:
    path.write_text(text)
    _sync(path)


def _sync(path: Path) -> None:
    """Until the disk has it: after a power cut a name must not stand for less than was written."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _shaped(shapes: dict[str, tuple[int, ...]], arrays: Arrays) -> Arrays:
    """Arrays of one number as a store without such gives them, (1,), in their own shape ()."""
    return {
        path: array.reshape(()) if shapes.get(path) == () and np.size(array) == 1 else array
        for path, array in arrays.items()
    }


def _words(steps: list[int]) -> str:
    return ", ".join(str(step) for step in steps)
