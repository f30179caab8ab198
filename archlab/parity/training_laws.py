"""The law about training steps: however a batch is computed, it makes one update."""

from collections.abc import Mapping, Sequence

import numpy as np

from archlab.backends import Trainer
from archlab.model import Model
from archlab.optim.sgd import SGD
from archlab.parity import tolerances
from archlab.parity.bench import Bench, Row
from archlab.parity.cases import alone
from archlab.parity.sequence_laws import documents
from archlab.parity.tolerances import gradient_error, relative
from archlab.parity.training import drawn_batches
from archlab.policy import Policy
from archlab.weights import Weights

DESCENT = SGD(momentum=0.0, nesterov=False, weight_decay=0.0)
WAYS = (
    {"accumulate": 2},
    {"loss_chunk": 5},
    {"remat": ("full", "none")},
    {"accumulate": 4, "loss_chunk": 3, "remat": "full", "layers": "scan"},
)
MIXED = Policy.exact("bfloat16").replace(param="float32")
Batch = Mapping[str, np.ndarray]


def trained(bench: Bench, backend: str, others: Sequence[str]) -> list[Row]:
    """One step of plain descent on a model, whose movement is the gradient.

    In float64 it is the same from parts of the batch, from logits in chunks, with layers computed again, and, where
    tokens are all that is read, from documents packed into rows as from documents alone. With masters in float32 and
    activations in bfloat16 gradients are as near the truth as all in bfloat16 must be. What is no model has no rows.
    """
    if not isinstance(bench.spec, Model):
        return []
    if bench.spec.classes() is None:
        return [bench.row("trained", backend, "float64", np.inf, tolerances.FORWARD, "its classes are a batch's")]
    batch = drawn_batches(_model(bench), length=bench.case.example.length, batch=4, steps=1)[0]
    exact = Policy.exact().replace(random="portable")
    loss, moved = _step(bench, backend, batch, exact)
    rows = []
    for way in WAYS:
        again = _step(bench, backend, batch, exact.replace(**way))
        rows += _compared(bench, backend, again, (loss, moved), " ".join(f"{k}={v}" for k, v in way.items()))
    rows += _packed(bench, backend, exact)
    grads, truth = bench.gradients(backend, "packed", MIXED), bench.true_gradients(backend, "packed", "bfloat16")
    error, where = gradient_error(grads, truth, least=1.0)
    limit = bench.gradient_limit(backend, "packed", "bfloat16")
    return [*rows, bench.row("trained", backend, "bfloat16", error, limit, f"float32 masters: gradient of {where}")]


def _model(bench: Bench) -> Model:
    assert isinstance(bench.spec, Model), "the law is about models"
    return bench.spec


def _trainer(bench: Bench, backend: str, policy: Policy) -> Trainer:
    return bench.backend(backend).trainer(
        _model(bench), weights=bench.weights, optimizer=DESCENT, clip=None, policy=policy
    )  # fmt: skip


def _step(bench: Bench, backend: str, batch: Batch, policy: Policy) -> tuple[float, Weights]:
    """The loss of a batch, and what a step of rate 1 moves the weights by."""
    one = _trainer(bench, backend, policy)
    loss = float(one.step(batch, 1.0).loss)
    return loss, {path: bench.weights[path] - new for path, new in one.weights().items()}


def _compared(
    bench: Bench, backend: str, found: tuple[float, Weights], truth: tuple[float, Weights], where: str
) -> list[Row]:
    error, path = gradient_error(found[1], truth[1])
    return [
        bench.row("trained", backend, "float64", relative(np.array(found[0]), np.array(truth[0])), tolerances.FORWARD,
                  f"{where}: loss"),
        bench.row("trained", backend, "float64", error, tolerances.GRADIENT, f"{where}: gradient of {path}"),
    ]  # fmt: skip


def _packed(bench: Bench, backend: str, policy: Policy) -> list[Row]:
    """Documents packed into rows, against a row of its own for each of them, filled up with padding."""
    inputs = bench.variants["packed"]
    if set(_model(bench).inputs()) != {"tokens"} or "prefix" in inputs or "padding" in bench.case.waived:
        return []
    length = inputs["tokens"].shape[1]
    rows = [_row(alone(bench.case, inputs, row, slice(a, b)), length) for row, a, b in documents(inputs["segments"])]
    single = {name: np.stack([row[name] for row in rows]) for name in rows[0]}
    packed: dict[str, np.ndarray] = {
        name: inputs[name] for name in ("tokens", "segments", "positions") if name in inputs
    }
    packed |= {"targets": np.full_like(inputs["tokens"], -1)}
    for (row, a, b), alone_row in zip(documents(inputs["segments"]), single["targets"], strict=True):
        packed["targets"][row, a:b] = alone_row[: b - a]
    return _compared(
        bench, backend, _step(bench, backend, packed, policy), _step(bench, backend, single, policy), "packed"
    )


def _row(document: Mapping[str, np.ndarray], length: int) -> dict[str, np.ndarray]:
    """A document's tokens in a row of its own: each asks for the next one, the last for nothing."""
    tokens = document["tokens"][0]
    fill = length - len(tokens)
    return {
        "tokens": np.pad(tokens, (0, fill)),
        "targets": np.pad(tokens[1:], (0, fill + 1), constant_values=-1).astype(np.int32),
        "segments": np.pad(np.ones_like(tokens), (0, fill)),
    }
