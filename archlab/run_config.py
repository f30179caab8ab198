"""The configuration of a run: what is trained, on what, how."""

from typing import Literal

from archlab.config import Config, FieldError
from archlab.data.config import DataConfig
from archlab.losses import TokenLoss
from archlab.model import Model
from archlab.optim.optimizer import Optimizer
from archlab.optim.schedules import Schedule
from archlab.policy import Policy
from archlab.training.guard import Guard
from archlab.training.samples import Samples
from archlab.training.stopping import Budget, EarlyStopping

Tracker = Literal["tensorboard", "wandb", "mlflow", "trackio"]


class Epochs(Config):
    """As many steps as go through the training data ``epochs`` times."""

    epochs: int

    def check(self) -> None:
        self.require(self.epochs > 0, "epochs", "must be > 0")


class TrainConfig(Config):
    """Steps and what happens between them.

    steps, seed
        The number of updates, or of epochs (``{epochs: 3}``), and the seed of weights, data order and dropout.
    start
        Whose weights training begins with: a run, a model folder or a Hugging Face folder; null: first values by the
        seed.
    optimizer, schedule, clip, loss
        The update rule, the learning rate of every step, the gradient norm that is clipped to (or null), and what is
        asked of the probabilities of tokens.
    log_every, eval_every, checkpoint_every
        Steps between lines of metrics, evaluations, and checkpoints (the last step always does all three).
    eval_batches
        Batches of the held-out part in one evaluation.
    keep, keep_every
        How many of the last checkpoints stay, and the steps at whose multiples they do; the best one always stays.
    store
        "native" checkpoints are written by Orbax in JAX and torch.distributed.checkpoint in PyTorch; "canonical" ones
        are safetensors that any backend reads (``archlab runs export`` makes them of the others).
    guard, early_stopping, budget
        What happens after bad steps, and what ends a run early.
    detail_every
        Steps between norms of every parameter's gradient, weights and update, in ``layers.csv``; null: none.
    samples
        What is written now and then, to see what the model has learned; null: nothing.
    trackers
        Where metrics go beside ``metrics.csv``.
    """

    steps: int | Epochs
    seed: int = 0
    start: str | None = None
    optimizer: Optimizer
    schedule: Schedule
    clip: float | None
    loss: TokenLoss = TokenLoss()
    log_every: int = 10
    eval_every: int = 250
    eval_batches: int = 20
    checkpoint_every: int = 500
    keep: int = 3
    keep_every: int | None = None
    store: Literal["native", "canonical"] = "native"
    guard: Guard = Guard()
    early_stopping: EarlyStopping | None = None
    budget: Budget | None = None
    detail_every: int | None = None
    samples: Samples | None = None
    trackers: tuple[Tracker, ...] = ("tensorboard",)

    def check(self) -> None:
        for name in ("log_every", "eval_every", "eval_batches", "checkpoint_every", "keep"):
            self.require(getattr(self, name) > 0, name, "must be > 0")
        for name in ("keep_every", "detail_every"):
            self.require(getattr(self, name) is None or getattr(self, name) > 0, name, "must be > 0 or null")
        self.require(isinstance(self.steps, Epochs) or self.steps > 0, "steps", "must be > 0")
        self.require(0 <= self.seed < 2**32, "seed", "must lie in 0 … 2³² − 1")
        self.require(self.clip is None or self.clip > 0, "clip", "must be > 0 or null")

    def resolved(self, steps_per_epoch: int | None) -> "TrainConfig":
        """The same with epochs worked out in steps, and a schedule that ends with them."""
        steps = self.steps
        if isinstance(steps, Epochs):
            if steps_per_epoch is None:
                raise FieldError("train.steps", "the data has no epochs: its rows are drawn at random; give a number")
            steps = steps.epochs * steps_per_epoch
        try:
            return self.replace(steps=steps, schedule=self.schedule.over(steps))
        except FieldError as error:
            raise error.inside("train.schedule") from None


class Profile(Config):
    """Steps that are profiled, as ``first:last`` (``10:13``); null: none. See :mod:`archlab.training.profiles`."""

    steps: str | None = None

    def check(self) -> None:
        if self.steps is not None:
            parts = self.steps.split(":")
            numbers = [int(part) for part in parts if part.isdigit()]
            fits = len(parts) == len(numbers) == 2 and 0 < numbers[0] <= numbers[1]
            self.require(fits, "steps", "is no range of steps; write first:last, for example 10:13")

    def range(self) -> range:
        """The numbers of the steps, from 1."""
        first, last = (int(part) for part in (self.steps or "1:0").split(":"))
        return range(first, last + 1)


class RunConfig(Config):
    """Everything a run depends on."""

    model: Model
    data: DataConfig
    train: TrainConfig
    policy: Policy = Policy()
    profile: Profile = Profile()

    def check(self) -> None:
        for sequence, length in self.data.objective.sequences(self.data.length).items():
            limit, which = self.model.limit(sequence), "source" if sequence == "S" else "sequence"
            if limit is not None and length > limit:
                of = f"a {which} of {length} tokens is longer than the model's table of {limit} positions"
                raise FieldError("data.length", of)
        copies = self.policy.mesh.data * self.policy.mesh.fsdp * self.policy.accumulate
        if self.data.batch % copies:
            split = f"cannot be split over data × fsdp × accumulate = {copies} of policy; give a multiple"
            raise FieldError("data.batch", f"{self.data.batch} {split}")
