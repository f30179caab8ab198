"""A third backend as its author would publish it: the reference, trained along random directions.

It implements what training and generation use of :class:`archlab.backends.Backend`.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from archlab import decoding, random, reference
from archlab.backends import Batch, StepMetrics
from archlab.losses import TokenLoss
from archlab.model import Model
from archlab.natives import Natives
from archlab.optim.optimizer import Optimizer, OptimizerState, clip
from archlab.policy import Policy
from archlab.spec import schema
from archlab.training.stores import Canonical
from archlab.weights import Weights

STEP = 1e-4


class Trainer:
    """Estimates the gradient as v · (∂loss along v), v a random direction."""

    def __init__(self, model: Model, weights: Weights, optimizer: Optimizer, limit: float | None, seed: int) -> None:
        self.model, self.optimizer, self.limit, self.seed = model, optimizer, limit, seed
        self.table = schema(model.root())
        self.restore(weights, optimizer.initial(self.table))

    def step(self, batch: Batch, rate: float, *, limit: float | None = None, detail: bool = False) -> StepMetrics:
        assert not detail, "it keeps no norms of single parameters"
        names = {path: f"direction/{self.state.step}/{path}" for path in self.params}
        v = {path: random.normal(self.seed, names[path], p.size).reshape(p.shape) for path, p in self.params.items()}
        ahead, behind = (self._loss(batch, {p: a + h * v[p] for p, a in self.params.items()}) for h in (STEP, -STEP))
        slope = (ahead - behind) / (2 * STEP)
        grads, norm = clip({path: slope * d for path, d in v.items()}, self.limit or np.inf)
        if limit is not None and not norm <= limit:
            self.pass_over()
            return StepMetrics(loss=(ahead + behind) / 2, grad_norm=norm)
        self.params, self.state = self.optimizer.apply(self.table, self.params, grads, self.state, rate)
        return StepMetrics(loss=(ahead + behind) / 2, grad_norm=norm)

    def pass_over(self) -> None:
        self.state = dataclasses.replace(self.state, skipped=self.state.skipped + 1)

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        count = int(np.count_nonzero(batch["targets"] >= 0))
        return self._loss(batch, self.params) * count, count

    def _loss(self, batch: Batch, params: Weights) -> float:
        inputs = {key: value for key, value in batch.items() if key != "targets"}
        logits = reference.run(self.model, params, inputs).output
        counted = batch["targets"] >= 0
        logits, targets = logits[counted], batch["targets"][counted]
        top = logits.max(axis=-1)
        losses = np.log(np.exp(logits - top[:, None]).sum(axis=-1)) + top - logits[np.arange(len(targets)), targets]
        return float(losses.mean())

    def weights(self) -> Weights:
        return {path: value.astype(np.float32) for path, value in self.params.items()}

    def optimizer_state(self) -> OptimizerState:
        return self.state

    def restore(self, weights: Mapping[str, np.ndarray], state: OptimizerState) -> None:
        self.params = {path: np.asarray(value, dtype=np.float64) for path, value in weights.items()}
        self.state = state


class Decoder(decoding.Decoder):
    """The definitions with their own state."""

    def __init__(self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int) -> None:
        super().__init__(model, batch=batch, length=length)
        self.weights = weights
        self.state = self.emptied()

    def logits(self, inputs: decoding.Inputs, *, every: bool = False) -> np.ndarray:
        result = reference.run(self.model, self.weights, inputs, state=self.state)
        self.state = result.state
        return result.output if every else result.output[:, -1]

    def empty(self, batch: int) -> Any:
        return reference.initial_state(self.model.root(), batch, self.length)

    def emptied(self) -> Any:
        return self.empty(self.batch)

    def placed(self, row: int, one: Any) -> Any:
        def put(whole: Any, single: Any) -> Any:
            if isinstance(whole, dict):
                return {name: put(whole[name], single[name]) for name in whole}
            if isinstance(whole, list):
                return [put(*pair) for pair in zip(whole, single, strict=True)]
            whole = whole.copy()
            whole[row] = single[0]
            return whole

        return put(self.state, one)


class NumpyBackend:
    """The definitions, and no native form of any."""

    name = "plain"
    natives = Natives("plain")
    store = Canonical()

    def trainer(
        self, model: Model, *, weights: Mapping[str, np.ndarray], optimizer: Optimizer, clip: float | None,
        policy: Policy = Policy(), seed: int = 0, loss: TokenLoss = TokenLoss(),
    ) -> Trainer:  # fmt: skip
        return Trainer(model, dict(weights), optimizer, clip, seed)

    def decoder(
        self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int, policy: Policy = Policy()
    ) -> Decoder:
        return Decoder(model, weights, batch=batch, length=length)

    def environment(self) -> dict[str, Any]:
        return {"numpy": np.__version__, "device": "cpu"}

    def memory(self) -> dict[str, int]:
        return {}


backend = NumpyBackend()
