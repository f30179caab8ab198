"""Checkpoints in canonical form: any backend continues from what any other wrote."""

import json
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path

from archlab import weights as canonical
from archlab.errors import InputError
from archlab.optim.optimizer import Optimizer, OptimizerState
from archlab.spec import Part, schema
from archlab.weights import Weights

WEIGHTS, OPTIMIZER, STATE = "weights.safetensors", "optimizer.safetensors", "state.json"


@dataclass(frozen=True, kw_only=True)
class TrainState:
    """Where a run stood: updates made, tokens and seconds they took, the held-out loss, who trained, what."""

    step: int
    tokens: int
    seconds: float
    val_loss: float
    backend: str
    spec_hash: str


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

    def save(self, state: TrainState, weights: Weights, optimizer: OptimizerState, keep: int) -> Path:
        """Write a checkpoint, whole or not at all; then delete all but the last ``keep`` and the best one."""
        target = self.path(state.step)
        partial = self._hidden(state.step)
        partial.mkdir(parents=True)
        canonical.save(partial / WEIGHTS, weights, {"spec_hash": state.spec_hash, "step": state.step})
        canonical.save(partial / OPTIMIZER, _flat(optimizer), {"step": optimizer.step})
        (partial / STATE).write_text(json.dumps(asdict(state), indent=2) + "\n")
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
        self._prune(keep)
        return target

    def _prune(self, keep: int) -> None:
        best = self.best()
        for step in self.steps()[:-keep]:
            if step != best:
                hidden = self._hidden(step)
                self.path(step).replace(hidden)  # at once: an interrupt must not leave half of it under its name
                shutil.rmtree(hidden)

    def _hidden(self, step: int) -> Path:
        """A free place for a checkpoint that is not whole."""
        hidden = self.folder / f".{self.path(step).name}.partial"
        shutil.rmtree(hidden, ignore_errors=True)
        return hidden

    def last(self) -> int:
        """The step of the newest checkpoint."""
        return self._some()[-1]

    def best(self) -> int:
        """The step of the checkpoint with the least held-out loss."""
        return min(self._some(), key=lambda step: self.state(step).val_loss)

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

    def state(self, step: int) -> TrainState:
        path = self.path(step) / STATE
        try:
            return TrainState(**json.loads(path.read_text()))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{path} cannot be read as the state of a checkpoint: {error}") from None

    def weights(self, step: int, part: Part) -> Weights:
        """The weights, checked against the architecture ``part``."""
        path = self.path(step) / WEIGHTS
        weights, _ = canonical.load(path)
        canonical.check(part, weights, str(path))
        return weights

    def optimizer(self, step: int, part: Part, optimizer: Optimizer) -> OptimizerState:
        """The optimiser's state, checked against ``optimizer`` and the architecture ``part``."""
        path = self.path(step) / OPTIMIZER
        arrays, metadata = canonical.load(path)
        slots: dict[str, Weights] = {}
        for name, array in arrays.items():
            slot, _, parameter = name.partition("/")
            slots.setdefault(slot, {})[parameter] = array
        shapes = optimizer.schema(schema(part))
        if set(slots) != set(shapes) or not isinstance(metadata.get("step"), int):
            found, wanted = sorted(slots), sorted(shapes)
            raise InputError(f"{path} holds the slots {found}, {type(optimizer).__name__} needs {wanted} and a step")
        for slot, table in slots.items():
            canonical.check_shapes(shapes[slot], table, f"{path}, {slot}")
        return OptimizerState(step=metadata["step"], slots=slots)


def _flat(optimizer: OptimizerState) -> Weights:
    return {f"{slot}/{path}": array for slot, table in optimizer.slots.items() for path, array in table.items()}


def _words(steps: list[int]) -> str:
    return ", ".join(str(step) for step in steps)
