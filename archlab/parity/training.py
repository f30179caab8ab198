"""The same training on several backends, step by step, from equal weights and batches."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from archlab import random
from archlab.activations import GELUTanh
from archlab.backends import find_backend
from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.channels.moe import MoE
from archlab.channels.top_k_router import TopKRouter
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel, Model, tiny_model
from archlab.norms import RMSNorm
from archlab.optim.adamw import AdamW
from archlab.optim.optimizer import Optimizer, OptimizerState
from archlab.optim.schedules import Schedule, WarmupCosine
from archlab.optim.sign_step import SignStep
from archlab.parity import tolerances
from archlab.parity.bench import Row
from archlab.parity.cases import Case, content
from archlab.parity.tolerances import gradient_error, relative
from archlab.policy import Mesh, Policy
from archlab.residuals import PreNorm
from archlab.spec import Example
from archlab.weights import Weights

STEPS = 20
UNCOUNTED = -100  # any number below 0; many libraries write this one
RULE = AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1)
RATES = WarmupCosine(peak=1e-2, floor=1e-3, warmup=4, steps=STEPS)
CLIP = 1.0


@dataclass(frozen=True, kw_only=True)
class Course:
    """A training as it went: the losses and gradient norms of its steps, and how it ended.

    early
        Weights and optimiser state after each of the first steps, as many as were asked for.
    """

    losses: np.ndarray
    norms: np.ndarray
    weights: Weights
    state: OptimizerState
    early: tuple[tuple[Weights, OptimizerState], ...] = ()


def train(
    backend: str, model: Model, weights: Mapping[str, np.ndarray], batches: Sequence[Mapping[str, np.ndarray]], *,
    policy: Policy, optimizer: Optimizer = RULE, schedule: Schedule = RATES, clip: float | None = CLIP, early: int = 0,
) -> Course:  # fmt: skip
    """One step for each batch; what is there after each of the first ``early`` steps is kept."""
    trainer = find_backend(backend).trainer(model, weights=weights, optimizer=optimizer, clip=clip, policy=policy)
    steps, kept = [], []
    for i, batch in enumerate(batches):
        steps.append(trainer.step(batch, schedule.rate(i)))
        if i < early:
            kept.append((trainer.weights(), trainer.optimizer_state()))
    return Course(
        losses=np.array([float(s.loss) for s in steps]), norms=np.array([float(s.grad_norm) for s in steps]),
        weights=trainer.weights(), state=trainer.optimizer_state(), early=tuple(kept),
    )  # fmt: skip


def training_rows(
    model: Model, weights: Mapping[str, np.ndarray], backends: Sequence[str], *, dtype: str, length: int, batch: int = 4
) -> list[Row]:
    """How far each later backend's 20 losses are from the first one's; in float64 also weights and optimiser state.

    Dropout stays on: its masks are the portable ones.
    """
    batches = drawn_batches(model, length=length, batch=batch, steps=STEPS)
    policy = Policy.exact(dtype).replace(random="portable")  # type: ignore[arg-type]
    first, *others = (train(name, model, weights, batches, policy=policy) for name in backends)
    rows = []
    for name, course in zip(backends[1:], others, strict=True):
        errors = {"loss": max(relative(a, b) for a, b in zip(course.losses, first.losses, strict=True))}
        errors["gradient norm"] = max(relative(a, b) for a, b in zip(course.norms, first.norms, strict=True))
        if dtype == "float64":
            errors["weights"] = gradient_error(course.weights, first.weights)[0]
            errors |= {s: gradient_error(course.state.slots[s], a)[0] for s, a in first.state.slots.items()}
        rows += [
            Row(
                spec=type(model).__name__, item="training", backend=name, dtype=dtype, error=error,
                limit=tolerances.TRAINING[dtype], where=f"{what}, {STEPS} steps, against {backends[0]}",
            )
            for what, error in errors.items()
        ]  # fmt: skip
    return rows


def mesh_model(dropout: float) -> LanguageModel:
    """A small model in which most things that are summed over a batch have something to sum."""
    router = TopKRouter(
        experts=4, chosen=2, scores="sigmoid", capacity=1.0, balance=0.1, z=0.01, correction=SignStep(size=0.01)
    )
    layer = Block(
        mixer=Attention(heads=4, kv_heads=2, visibility="causal", bias=False, out_bias=False),
        channel=MoE(router=router, expert=MLP(hidden=8, activation=GELUTanh(), bias=True)),
        residual=PreNorm(norm=RMSNorm(epsilon=1e-2)),
    )
    return tiny_model(layer=layer, dropout=dropout)


def mesh_rows(backend: str, model: Model, weights: Mapping[str, np.ndarray], *, length: int) -> list[Row]:
    """How far five steps on the mesh of a rehearsal, which has begun, are from those on one device, in float64."""
    batches = drawn_batches(model, length=length, batch=4, steps=5)
    policies = [
        Policy.exact().replace(random="portable", mesh=m) for m in (Mesh(), find_backend(backend).rehearsal.mesh)
    ]
    one, many = (train(backend, model, weights, batches, policy=p) for p in policies)
    errors = {
        "loss": relative(many.losses, one.losses),
        "gradient norm": relative(many.norms, one.norms),
        "weights": gradient_error(many.weights, one.weights)[0],
        **{slot: gradient_error(many.state.slots[slot], a)[0] for slot, a in one.state.slots.items()},
    }
    return [
        Row(
            spec=type(model).__name__, item="sharded training", backend=backend, dtype="float64", error=error,
            limit=tolerances.TRAINING["float64"], where=what,
        )
        for what, error in errors.items()
    ]  # fmt: skip


def drawn_batches(model: Model, *, length: int, batch: int, steps: int) -> list[dict[str, np.ndarray]]:
    """Random inputs and targets (the next token); one target in eight does not count, unevenly over the rows."""
    case = Case(name="training", spec_name=type(model).__name__, example=Example(spec=model, length=length))
    batches = []
    for step in range(steps):
        uniform = random.uniform(step, "parity/batch", batch * (length + 1)).reshape(batch, length + 1)
        text = (uniform * model.classes()).astype(np.int32)
        inputs: dict[str, np.ndarray] = content(case, step, batch)
        if inputs.keys() >= {"tokens"} and model.vocabulary() == model.classes():
            inputs["tokens"] = text[:, :-1]
        span = model.span({name: array.shape for name, array in inputs.items()})
        targets = np.resize(text[:, 1:], span)
        skipped = random.uniform(step, "parity/skipped", targets.size).reshape(span)
        share = 0.25 * np.arange(batch)[:, None] / max(batch - 1, 1)
        batches.append({**inputs, "targets": np.where(skipped < share, UNCOUNTED, targets)})
    return batches
