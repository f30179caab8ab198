"""Sweeps: one run for every combination of some values."""

import itertools
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archlab.backends import Backend
from archlab.config_files import SWEEP, from_data, read
from archlab.errors import InputError
from archlab.overrides import override
from archlab.run_config import RunConfig
from archlab.training import loop
from archlab.training.callbacks import Callback
from archlab.training.runs import open_run
from archlab.training.session import steps_of


@dataclass(frozen=True, kw_only=True)
class Member:
    """One run of a sweep: its name, the changes that make it (``train.seed=1``), and what they come to."""

    name: str
    changes: tuple[str, ...]
    config: RunConfig


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a member ended."""

    member: Member
    run_dir: Path
    val_loss: float


def members(path: str | Path, overrides: Sequence[str] = ()) -> list[Member]:
    """The runs of a sweep file: a run config (with a ``base``, mostly) and under ``sweep`` paths with lists of values.

        base: base.yaml
        sweep:
          train.schedule.peak: [1e-3, 3e-3]
          train.seed: [0, 1]

    is four runs. ``overrides`` change all of them, before the values of the sweep do.
    """
    data = read(path)
    if not isinstance(data, dict) or SWEEP not in data:
        raise InputError(f"{path} is no sweep: it has no '{SWEEP}' with lists of values; train it with archlab train")
    axes = data.pop(SWEEP)
    if not isinstance(axes, dict) or not axes or not all(isinstance(v, list) and v for v in axes.values()):
        raise InputError(f"{path}: {SWEEP} must map paths to lists of values, for example train.seed: [0, 1]")
    base = override(from_data(data), overrides)
    if not isinstance(base, RunConfig):
        raise InputError(f"{path} describes a model alone; a sweep needs model, data and train")
    return [_member(base, changes) for changes in _combinations(axes)]


def _combinations(axes: dict[str, list[Any]]) -> Iterator[tuple[str, ...]]:
    for values in itertools.product(*axes.values()):
        yield tuple(f"{path}={json.dumps(value)}" for path, value in zip(axes, values, strict=True))


def _member(base: RunConfig, changes: tuple[str, ...]) -> Member:
    words = [change.replace('"', "") for change in changes]
    name = "-".join(f"{path.rpartition('.')[2]}={value}" for path, _, value in (w.partition("=") for w in words))
    return Member(name=name.replace("/", "_").replace(" ", ""), changes=changes, config=override(base, changes))


def run(sweep: Sequence[Member], backend: Backend, out: Path, callbacks: Sequence[Callback] = ()) -> Iterator[Outcome]:
    """Train every member in a folder of its name under ``out``; one that is there is resumed, or left if done."""
    for member in sweep:
        folder = out / member.name
        if (folder / "config.json").is_file() and not open_run(folder).checkpoints.steps():
            shutil.rmtree(folder)  # it stopped before its first checkpoint: there is nothing to go on from
        if not folder.exists():
            result = loop.train(member.config, backend, out=folder, callbacks=callbacks)
            yield Outcome(member=member, run_dir=folder, val_loss=result.val_loss)
            continue
        begun = open_run(folder)
        step = begun.checkpoints.last()
        if step < steps_of(begun.config):
            loop.resume(begun, begun.config, backend, callbacks=callbacks)
        yield Outcome(member=member, run_dir=folder, val_loss=_last_loss(folder))


def _last_loss(folder: Path) -> float:
    from archlab.training.metrics import read as rows

    return next(row.loss for row in reversed(rows(folder / "metrics.csv")) if row.split == "val")
