"""What a backend provides, and how one is found.

A backend is an object under the entry point group ``archlab.backends``; archlab names none of them.
Arrays cross this boundary as NumPy.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from archlab import weights as canonical
from archlab.decoding import Decoder
from archlab.errors import InputError, nearest
from archlab.losses import TokenLoss
from archlab.model import Model
from archlab.natives import Natives
from archlab.optim.optimizer import Optimizer, OptimizerState
from archlab.policy import Mesh, Policy
from archlab.reference import Result
from archlab.spec import Spec
from archlab.training.stores import Store
from archlab.weights import Weights

Batch = Mapping[str, np.ndarray]

STREAMED, STREAMS = 2**28, 9
"""Bytes of the array that a bandwidth is measured with, more than most caches hold, and its turns: the best counts."""


@dataclass(frozen=True, kw_only=True)
class StepMetrics:
    """Of one training step; each may be a device scalar that ``float()`` waits for.

    loss is the sum over the target tokens divided by their number, auxiliary losses included;
    grad_norm is measured before clipping; noted holds auxiliary losses and the means of statistics by name, and where
    updates can be skipped how many were so far; detail is there where it was asked for.
    """

    loss: Any
    grad_norm: Any
    noted: Mapping[str, Any] = field(default_factory=dict)
    detail: "Detail | None" = None


@dataclass(frozen=True, kw_only=True)
class Detail:
    """Norms by parameter: of the gradient after clipping, of the weights, and of what the step moved them by."""

    grad: Mapping[str, float]
    weight: Mapping[str, float]
    update: Mapping[str, float]


@dataclass(frozen=True, kw_only=True)
class Spent:
    """How often one kind of operation ran while a profiler looked, and its own time: what it called is not in it."""

    name: str
    calls: int
    ms: float


class Trainer(Protocol):
    """A model, its optimiser and a compiled step.

    A batch holds what the model is fed and ``targets`` (B, T), and may hold ``positions``, ``segments``, ``prefix`` and
    ``weights`` (B, T); a target below 0 does not count. A step's loss is Σ weight · loss / number of counted targets,
    over all micro-batches and processes.
    """

    def step(self, batch: Batch, rate: float, *, limit: float | None = None, detail: bool = False) -> StepMetrics:
        """One update with learning rate ``rate``.

        With a ``limit`` it is skipped where the gradient norm is larger than that or not finite.
        """
        ...

    def pass_over(self) -> None:
        """Count a step that makes no update."""
        ...

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        """(sum of the losses, number of counted targets), dropout off."""
        ...

    def weights(self) -> Weights:
        """The parameters in canonical form."""
        ...

    def optimizer_state(self) -> OptimizerState:
        """The optimiser's state in canonical form."""
        ...

    def restore(self, weights: Mapping[str, np.ndarray], state: OptimizerState) -> None:
        """Continue from canonical weights and state, whichever backend wrote them."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rehearsal:
    """Many devices on one machine without any: the mesh they form, and how many processes hold it."""

    mesh: Mesh
    processes: int = 1


class Backend(Protocol):
    """One framework's implementation of all specs.

    ``natives`` says which have a form of its own; ``store`` is how it writes checkpoints.
    """

    name: str
    natives: Natives
    rehearsal: Rehearsal
    store: Store

    def build(
        self,
        spec: Spec,
        *,
        policy: Policy = Policy(),
        seed: int | None = None,
        weights: Mapping[str, np.ndarray] | None = None,
        width: int | None = None,
    ) -> Any:
        """The framework's own module for ``spec``, from a seed or from canonical weights."""
        ...

    def dump(self, module: Any) -> Weights:
        """A module's parameters in canonical form, bit for bit."""
        ...

    def load(self, module: Any, weights: Mapping[str, np.ndarray]) -> None:
        """Overwrite a module's parameters."""
        ...

    def run(
        self,
        spec: Spec,
        weights: Mapping[str, np.ndarray],
        inputs: Mapping[str, Any],
        *,
        policy: Policy = Policy(),
        width: int | None = None,
        state: Any = None,
        capture: bool = True,
    ) -> Result:
        """Like :func:`archlab.reference.run`, under a policy."""
        ...

    def initial_state(self, spec: Spec, *, policy: Policy, width: int | None, batch: int, length: int) -> Any:
        """The decoding state that :meth:`run` continues from."""
        ...

    def gradients(
        self,
        spec: Spec,
        weights: Mapping[str, np.ndarray],
        inputs: Mapping[str, Any],
        cotangent: np.ndarray,
        *,
        policy: Policy = Policy(),
        width: int | None = None,
        capture: bool = False,
    ) -> tuple[Weights, Result]:
        """Gradients of Σ output · cotangent + auxiliary losses + drives, and the forward pass that they came through.

        They are named by parameter, that of ``x`` where it is an input "x".
        """
        ...

    def trainer(
        self,
        model: Model,
        *,
        weights: Mapping[str, np.ndarray],
        optimizer: Optimizer,
        clip: float | None,
        policy: Policy = Policy(),
        seed: int = 0,
        loss: TokenLoss = TokenLoss(),
    ) -> Trainer:
        """A trainer that starts from ``weights``; ``seed`` is that of dropout."""
        ...

    def decoder(
        self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int, policy: Policy = Policy()
    ) -> Decoder:
        """A decoder for ``batch`` sequences of up to ``length`` tokens, prompts included."""
        ...

    def environment(self) -> dict[str, str]:
        """Versions of the framework's packages, and its device."""
        ...

    def seed(self, seed: int) -> None:
        """Seed the framework's own generators, and ask for kernels that give the same bits each time."""
        ...

    def rehearse(self, rank: int = 0, store: Path | None = None) -> None:
        """Make this process number ``rank`` of the :attr:`rehearsal`, before it computes anything.

        Several processes meet at the file ``store``, which none of them has made before.
        """
        ...

    def profile(self, folder: Path) -> AbstractContextManager[list[Spent]]:
        """While it is entered, the framework's profiler looks; it leaves a trace in ``folder``, which exists.

        The list is filled when it is left: the operations of the accelerator or, where none worked, of the processor.
        """
        ...

    def memory(self) -> dict[str, int]:
        """Bytes on the fullest of this process's accelerators: "allocated" now, "peak" so far; empty without any."""
        ...

    def bandwidth(self, policy: Policy) -> float:
        """Bytes a second that the policy's first device reads and writes while it adds to a large array in place."""
        ...

    def program_cache(self, policy: Policy) -> Path | None:
        """The folder where compiled programs are kept from one process to the next; None where none are."""
        ...

    def forget(self) -> None:
        """Drop what is kept of earlier runs, compiled programs for example."""
        ...


def backend_names() -> list[str]:
    """The names of all installed backends."""
    return sorted({entry.name for entry in entry_points(group="archlab.backends")})


def find_backend(name: str) -> Backend:
    """The backend called ``name``."""
    found = {entry.value: entry for entry in entry_points(group="archlab.backends", name=name)}
    if not found:
        raise InputError(f"no backend {name!r}; {nearest(name, backend_names())}")
    if len(found) > 1:
        raise InputError(f"several packages call a backend {name!r}: {', '.join(sorted(found))}; uninstall all but one")
    (entry,) = found.values()
    try:
        return entry.load()
    except (ImportError, AttributeError) as error:
        raise InputError(f"the backend {name!r} cannot be imported: {error}; pip install 'archlab[{name}]'") from None


def build(
    spec: Spec,
    *,
    backend: str,
    policy: Policy = Policy(),
    seed: int | None = None,
    weights: Mapping[str, np.ndarray] | None = None,
    width: int | None = None,
) -> Any:
    """``spec`` as a module of the backend called ``backend``, from a seed or from canonical weights."""
    return find_backend(backend).build(spec, policy=policy, seed=seed, weights=weights, width=width)


def initial_weights(spec: Spec, *, seed: int, width: int | None = None) -> Weights:
    """Canonical first weights of ``spec``: a pure function of the seed and each parameter's path."""
    return canonical.initial(spec.at(width_of(spec, width)), seed)


def width_of(spec: Spec, width: int | None, inputs: Mapping[str, Any] | None = None) -> int:
    """A model's own width, or the one given, or that of the input ``x``."""
    if isinstance(spec, Model):
        return spec.width
    if width is None and inputs is not None and "x" in inputs:
        return np.asarray(inputs["x"]).shape[-1]
    if width is None:
        raise InputError(f"a {type(spec).__name__} is no model: say at which width it is to be built")
    return width


def starting_weights(
    spec: Spec, width: int, seed: int | None, weights: Mapping[str, np.ndarray] | None
) -> Mapping[str, np.ndarray]:
    """The weights given, checked, or those of the seed."""
    if (seed is None) == (weights is None):
        raise InputError("build needs either a seed or weights")
    if weights is None:
        return canonical.Drawn(spec.at(width), seed or 0)
    canonical.check(spec.at(width), weights)
    return weights
