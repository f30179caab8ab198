"""What is timed: a config on a backend, as the run that is made of it, and random batches of its shapes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archlab.backends import Batch
from archlab.config_files import load
from archlab.data.config import DataConfig
from archlab.model import Model
from archlab.optim.adamw import AdamW
from archlab.optim.schedules import ConstantRate
from archlab.overrides import override
from archlab.run_config import RunConfig, TrainConfig
from archlab.spec import Input

LENGTH, BATCH = 1024, 8  # of a model alone, unless the user or its positions say otherwise
BATCHES = 8  # different ones, that steps take turns with
RUN_KEYS = ("data", "train", "policy")  # what can be changed of a model alone beside its own fields


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A config with its changes on a backend. Small and plain, so that a process of its own can be told of it."""

    name: str
    config: str
    overrides: tuple[str, ...]
    backend: str
    length: int | None
    batch: int | None

    def run(self) -> RunConfig:
        """The run that is timed. A model alone is trained by AdamW, clipped to norm 1, in float32 unless changed."""
        loaded, asked = load(self.config), {"length": self.length, "batch": self.batch}
        sizes = [f"data.{name}={size}" for name, size in asked.items() if size is not None]
        if isinstance(loaded, RunConfig):
            return override(loaded, [*self.overrides, *sizes])
        around = [change for change in self.overrides if change.split(".")[0] in RUN_KEYS]
        model = override(loaded, [change for change in self.overrides if change not in around])
        return override(_run_of(model), [*around, *sizes])


def _run_of(model: Model) -> RunConfig:
    return RunConfig(
        model=model,
        data=DataConfig(dataset="random tokens", length=min(model.limit() or LENGTH, LENGTH), batch=BATCH),
        train=TrainConfig(
            steps=1,
            optimizer=AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1),
            schedule=ConstantRate(peak=1e-4),
            clip=1.0,
        ),
    )


def subjects(
    configs: list[str], overrides: list[str], backends: list[str], length: int | None, batch: int | None
) -> list[Subject]:
    """Each config on each backend, named as briefly as tells them apart."""
    short = [Path(config).stem for config in configs]
    names = short if len(set(short)) == len(short) else configs
    return [
        Subject(
            name=f"{name}, {backend}", config=config, overrides=tuple(overrides), backend=backend, length=length,
            batch=batch,
        )
        for name, config in zip(names, configs, strict=True)
        for backend in backends
    ]  # fmt: skip


# --- batches ------------------------------------------------------------------------------------------


def random_batches(run: RunConfig) -> list[Batch]:
    """Random inputs of every kind that the model is fed, and a random target at each place, in host memory."""
    draw = np.random.default_rng(0)
    return [_batch(run, draw) for _ in range(BATCHES)]


def _batch(run: RunConfig, draw: np.random.Generator) -> Batch:
    model, rows = run.model, run.data.batch
    inputs = dict(random_inputs(run, rows, draw))
    span = model.span({name: array.shape for name, array in inputs.items()})
    classes = model.classes() or rows  # without a number of its own it tells the rows of a batch apart
    return {**inputs, "targets": draw.integers(0, classes, span, dtype=np.int32)}


def random_inputs(run: RunConfig, rows: int, draw: np.random.Generator) -> Iterator[tuple[str, np.ndarray]]:
    """(name, array) of each input but those that say where tokens stand: without them a row is one document."""
    lengths = sequences(run)
    for name, item in run.model.inputs().items():
        if item.kind != "where":
            shape = (rows, *(_length(item, n, lengths) if isinstance(n, str) else n for n in item.shape))
            yield name, _drawn(item, shape, draw)


def places(run: RunConfig) -> int:
    """How many places with a target a row has: the run's length, or what a model of inputs of a fixed size says."""
    one = dict(random_inputs(run, 1, np.random.default_rng(0)))
    return run.model.span({name: array.shape for name, array in one.items()})[1]


def sequences(run: RunConfig) -> dict[str, int]:
    """The length of each sequence that the model reads: as its objective has it, else that of its own, or its limit."""
    found = dict(run.data.objective.sequences(run.data.length))
    letters = {item.shape[0] for item in run.model.inputs().values() if isinstance(item.shape[0], str)}
    for letter in sorted(letters - found.keys()):
        found[letter] = min(found["T"], run.model.limit(letter) or found["T"])
    return {letter: found[letter] for letter in sorted(letters)}


def _length(item: Input, sequence: str, lengths: dict[str, int]) -> int:
    return lengths[sequence] if sequence == "T" else item.unit * lengths[sequence]


def _drawn(item: Input, shape: tuple[int, ...], draw: np.random.Generator) -> Any:
    if item.below is None:
        return draw.standard_normal(shape, dtype=np.float32)
    return draw.integers(0, item.below, shape, dtype=np.int32)
