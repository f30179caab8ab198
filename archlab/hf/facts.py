"""What a model card says of training and parity, measured or read from the run."""

import math
from typing import Any

import numpy as np

from archlab import reference
from archlab.backends import backend_names, find_backend
from archlab.errors import InputError
from archlab.parity.cases import Case, content
from archlab.parity.tolerances import relative
from archlab.policy import Policy
from archlab.saved import Saved
from archlab.spec import Example
from archlab.training.metrics import read
from archlab.training.runs import Run

LARGEST = 20_000_000
"""Parameters up to which the definition, which is slow, is run for comparison."""
LENGTH = 32


def facts_of(source: Saved, *, parity: bool) -> dict[str, Any]:
    """Training facts of a run, and how far each installed backend is from the definition."""
    facts: dict[str, Any] = {"name": source.path.resolve().name}
    if source.run is not None:
        facts["training"] = _training(source.run, source.step or 0)
    if parity:
        figures = parity_figures(source)
        if figures:
            facts["parity: float64 error against the definition"] = figures
    return facts


def _training(run: Run, step: int) -> dict[str, Any]:
    rows = [row for row in read(run.metrics_path) if row.step <= step] if run.metrics_path.exists() else []
    found: dict[str, Any] = {
        "step": step, "data": run.config.data.label(), "length": run.config.data.length,
        "batch": run.config.data.batch, "optimizer": type(run.config.train.optimizer).__name__,
        "backend": run.backend_name(),
    }  # fmt: skip
    for split, name in (("train", "training loss"), ("val", "held-out loss")):
        losses = [row.loss for row in rows if row.split == split]
        if losses:
            found[name] = round(losses[-1], 4)
    return found


def parity_figures(source: Saved) -> dict[str, float]:
    """The largest float64 difference of each backend's output from the definition's, relative to its largest number."""
    if sum(math.prod(entry.shape) for entry in source.tensors.entries.values()) > LARGEST:
        return {}
    weights = {name: array.astype(np.float64) for name, array in source.weights().items()}
    length = min(LENGTH, source.model.limit() or LENGTH)
    example = Example(spec=source.model, width=source.model.width, length=length, batch=1)
    inputs = content(Case(name="card", spec_name=type(source.model).__name__, example=example), 0, 1)
    truth = reference.run(source.model, weights, inputs).output
    found = {}
    for name in backend_names():
        try:
            backend = find_backend(name)
        except InputError:  # its framework is not installed
            continue
        result = backend.run(source.model, weights, inputs, policy=Policy.exact("float64"), capture=False)
        found[name] = relative(result.output, truth)
    return found
