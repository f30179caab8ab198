"""A backend in NumPy for tests: it reads any language model as logits = E[token] W and ignores the rest."""

import contextlib
import cProfile
import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from archlab.activations import ReLU
from archlab.backends import Batch, Spent, StepMetrics
from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.data.config import DataConfig
from archlab.decoding import Decoder, Inputs
from archlab.inits import Normal
from archlab.losses import TokenLoss
from archlab.model import Head, LanguageModel, Model
from archlab.norms import RMSNorm
from archlab.optim.adamw import AdamW
from archlab.optim.optimizer import Arrays, Optimizer, OptimizerState, clip
from archlab.optim.schedules import WarmupCosine
from archlab.policy import Policy
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.run_config import RunConfig, TrainConfig
from archlab.spec import schema
from archlab.stack import Stack
from archlab.tokenizers import CharTokenizer
from archlab.training.stores import Canonical
from archlab.weights import Weights

E, W = "embedding.table", "head.kernel"


def bigram_model(*, vocab: int, width: int = 8, positions: int | None = None) -> LanguageModel:
    """A language model that has E and W, and one small layer that the backend here ignores."""
    block = Block(channel=MLP(hidden=4, activation=ReLU(), bias=False), residual=PreNorm(norm=RMSNorm(epsilon=1e-5)))
    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=Normal(std=0.1),
        positions=LearnedPositions(length=positions, init=Normal(std=0.02)) if positions else None,
        stack=Stack(pattern=(block,), repeat=1),
        norm=None,
        head=Head(bias=False, init=Normal(std=0.1)),
    )


def bigram_run(dataset: str, *, vocab: int = 96, **train: Any) -> RunConfig:
    """A run on characters that takes some milliseconds a step; ``train`` changes its :class:`TrainConfig`."""
    defaults: dict[str, Any] = {
        "steps": 20,
        "optimizer": AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1),
        "schedule": WarmupCosine(peak=0.05, floor=0.005, warmup=2, steps=20),
        "clip": 1.0,
        "log_every": 4,
        "eval_every": 10,
        "eval_batches": 2,
        "checkpoint_every": 10,
    }
    return RunConfig(
        model=bigram_model(vocab=vocab),
        data=DataConfig(dataset=dataset, tokenizer=CharTokenizer(), length=16, batch=4),
        train=TrainConfig(**(defaults | train)),
    )


class BigramTrainer:
    """Implements :class:`archlab.backends.Trainer`."""

    def __init__(
        self, model: Model, weights: Mapping[str, np.ndarray], optimizer: Optimizer, clip_to: float | None
    ) -> None:
        self._params: Arrays = {path: np.array(value) for path, value in weights.items()}
        self._optimizer, self._clip = optimizer, clip_to
        self._table = schema(model.root())
        self._state = optimizer.initial(self._table, np.float32)

    def step(self, batch: Batch, rate: float, *, limit: float | None = None, detail: bool = False) -> StepMetrics:
        losses, grads = self._losses(batch)
        grads, norm = clip(grads, self._clip or np.inf)
        if limit is not None and not norm <= limit:
            self.pass_over()
            return StepMetrics(loss=losses.mean(), grad_norm=norm)
        self._params, self._state = self._optimizer.apply(self._table, self._params, grads, self._state, rate)
        return StepMetrics(loss=losses.mean(), grad_norm=norm)

    def pass_over(self) -> None:
        self._state = dataclasses.replace(self._state, skipped=self._state.skipped + 1)

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        losses, _ = self._losses(batch)
        return float(losses.sum()), losses.size

    def _losses(self, batch: Batch) -> tuple[np.ndarray, Arrays]:
        counted = batch["targets"] >= 0
        tokens, targets = batch["tokens"][counted], batch["targets"][counted]
        x = self._params[E][tokens]
        p = np.exp(x @ self._params[W])
        p /= p.sum(axis=-1, keepdims=True)
        rows = np.arange(len(targets))
        losses = -np.log(p[rows, targets])
        p[rows, targets] -= 1.0
        p /= max(len(targets), 1)
        grads = {path: np.zeros_like(value) for path, value in self._params.items()}
        grads[W] = x.T @ p
        np.add.at(grads[E], tokens, p @ self._params[W].T)
        return losses, grads

    def weights(self) -> Weights:
        return dict(self._params)

    def optimizer_state(self) -> OptimizerState:
        return self._state

    def restore(self, weights: Mapping[str, np.ndarray], state: OptimizerState) -> None:
        self._params, self._state = dict(weights), state


class BigramDecoder(Decoder):
    """It remembers nothing: the last token is all it looks at."""

    def __init__(self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int) -> None:
        super().__init__(model, batch=batch, length=length)
        self._weights = weights

    def logits(self, inputs: Inputs, *, every: bool = False) -> np.ndarray:
        tokens = inputs["tokens"]
        assert tokens is not None
        return self._weights[E][tokens if every else tokens[:, -1]] @ self._weights[W]

    def empty(self, batch: int) -> None:
        return None

    def emptied(self) -> None:
        return None

    def placed(self, row: int, one: None) -> None:
        return None


class BigramBackend:
    """Implements what training and generation use of :class:`archlab.backends.Backend`."""

    store = Canonical()

    def __init__(self, name: str = "bigram") -> None:
        self.name = name

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
    ) -> BigramTrainer:
        return BigramTrainer(model, dict(weights), optimizer, clip)

    def decoder(
        self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int, policy: Policy = Policy()
    ) -> BigramDecoder:
        return BigramDecoder(model, weights, batch=batch, length=length)

    def environment(self) -> dict[str, str]:
        return {"numpy": np.__version__, "device": "cpu"}

    @contextlib.contextmanager
    def profile(self, folder: Path) -> Iterator[list[Spent]]:
        found: list[Spent] = []
        with cProfile.Profile() as profiler:
            yield found
        (folder / "trace").touch()
        for entry in profiler.getstats():
            name = getattr(entry.code, "co_name", str(entry.code))
            found.append(Spent(name=name, calls=entry.callcount, ms=1e3 * entry.inlinetime))

    def memory(self) -> dict[str, int]:
        return {}

    def bandwidth(self, policy: Policy) -> float:
        return 1e9

    def program_cache(self, policy: Policy) -> Path | None:
        return None
