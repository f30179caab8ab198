"""The configuration of a run: what is trained, on what, how."""

from archlab.config import Config, FieldError
from archlab.data.config import DataConfig
from archlab.model import Model
from archlab.optim.optimizer import Optimizer
from archlab.optim.schedules import Schedule
from archlab.policy import Policy


class TrainConfig(Config):
    """Steps and what happens between them.

    steps, seed
        The number of updates, and the seed of weights, data order and dropout.
    optimizer, schedule, clip
        The update rule, the learning rate of every step, and the gradient norm that is clipped to (or null).
    log_every, eval_every, checkpoint_every
        Steps between lines of metrics, evaluations, and checkpoints (the last step always does all three).
    eval_batches
        Batches of the held-out part in one evaluation.
    keep
        How many checkpoints stay; older ones are deleted, the best one never.
    """

    steps: int
    seed: int = 0
    optimizer: Optimizer
    schedule: Schedule
    clip: float | None
    log_every: int = 10
    eval_every: int = 250
    eval_batches: int = 20
    checkpoint_every: int = 500
    keep: int = 3

    def check(self) -> None:
        for name in ("steps", "log_every", "eval_every", "eval_batches", "checkpoint_every", "keep"):
            self.require(getattr(self, name) > 0, name, "must be > 0")
        self.require(0 <= self.seed < 2**32, "seed", "must lie in 0 … 2³² − 1")
        self.require(self.clip is None or self.clip > 0, "clip", "must be > 0 or null")


class RunConfig(Config):
    """Everything a run depends on."""

    model: Model
    data: DataConfig
    train: TrainConfig
    policy: Policy = Policy()

    def check(self) -> None:
        limit = self.model.limit()
        if limit is not None and self.data.length > limit:
            raise FieldError("data.length", f"{self.data.length} is longer than the model's table of {limit} positions")
        copies = self.policy.mesh.data * self.policy.mesh.fsdp
        if self.data.batch % copies:
            split = f"cannot be split over data × fsdp = {copies} of policy.mesh; give a multiple"
            raise FieldError("data.batch", f"{self.data.batch} {split}")
