"""One stretch of training: the order of events, the same for every backend."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from archlab import mup
from archlab import weights as canonical
from archlab.backends import Backend, Batch, Trainer
from archlab.data.batches import Batches
from archlab.errors import InputError
from archlab.model import Model
from archlab.optim.averaged import Averaged, averaged_weights
from archlab.optim.optimizer import OptimizerState, find
from archlab.run_config import Epochs, RunConfig
from archlab.spec import schema
from archlab.training import plots
from archlab.training.callbacks import Callback, CallbackList
from archlab.training.checkpoints import Keep, TrainState, Writer
from archlab.training.extras import extras
from archlab.training.guard import Watch
from archlab.training.meter import Meter, NonFiniteLossError, Taken
from archlab.training.metrics import MetricsFile, Row, read
from archlab.training.runs import Run
from archlab.training.stopping import Signals
from archlab.training.stores import Canonical
from archlab.weights import Weights


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a run ended: the last row's training loss, the last held-out loss, and this session's speed.

    steps
        Updates so far.
    stopped
        Why the run ended before its last step; None where it did not.
    interrupted
        Whether a signal did it: the run is saved where it stood, and waits to be resumed.
    """

    run_dir: Path
    backend: str
    steps: int
    train_loss: float
    val_loss: float
    tokens_per_second: float
    stopped: str | None = None
    interrupted: bool = False

    def losses(self, split: str = "train") -> list[tuple[int, float]]:
        """(step, loss) of every row of metrics of "train" or "val"."""
        return [(row.step, row.loss) for row in read(self.run_dir / "metrics.csv") if row.split == split]


def first_weights(config: RunConfig) -> Weights:
    """The weights that a run starts from, float32: those of ``train.start``, or first values."""
    if config.train.start is not None:
        return _given_weights(config.train.start, config.model)
    return mup.starting(config.model, config.train.optimizer, config.train.seed)


def _given_weights(path: str, model: Model) -> Weights:
    from archlab.saved import open_saved

    weights = {name: array.astype(np.float32) for name, array in open_saved(path).weights().items()}
    canonical.check(model.root(), weights, f"train.start: {path}")
    return weights


def steps_of(config: RunConfig) -> int:
    """The number of steps of a resolved config."""
    steps = config.train.steps
    assert not isinstance(steps, Epochs), "the config is not resolved"
    return steps


def mean_loss(trainer: Trainer, batches: Iterable[Batch]) -> tuple[float, int]:
    """The mean loss of a target token over ``batches``, and the number of those tokens."""
    total, count = 0.0, 0
    for batch in batches:
        loss, tokens = trainer.evaluate(batch)
        total, count = total + loss, count + tokens
    if count == 0:
        raise InputError("the held-out text has no token to predict; give a longer text or a larger data.validation")
    return total / count, count


class Session:
    """One stretch of training, from a start or a checkpoint to the last step or an earlier end."""

    def __init__(
        self,
        run: Run,
        backend: Backend,
        trainer: Trainer,
        data: Batches,
        callbacks: Sequence[Callback] = (),
        start: TrainState | None = None,
    ) -> None:
        self.run, self.config, self.backend = run, run.config.train, backend
        self.trainer, self.data = trainer, data
        self.callbacks = CallbackList([*extras(run.config), *callbacks])
        self.steps = steps_of(run.config)
        self.first = start.step if start else 0
        self.reason: str | None = None
        self.interrupted = False
        self.saved: int | None = None  # the step of the last checkpoint
        self.writer = Writer()
        self._stand(start)

    def _stand(self, start: TrainState | None) -> None:
        """Go on from a checkpoint, or from the beginning."""
        self.step = start.step if start else 0
        self.meter = Meter(start.tokens, start.seconds, start.pending) if start else Meter()
        self.watch = Watch(self.config.guard, start.guard if start else {})
        self.train_loss = self.val_loss = math.nan

    # --- what callbacks and signals ask for ---------------------------------------------------------------

    def stop(self, reason: str) -> None:
        """End the run after this step, with its row, evaluation and checkpoint, as if it were the last one."""
        self.reason = self.reason or reason

    def interrupt(self, reason: str) -> None:
        """End the session after this step: what was done is saved as it is, to be resumed."""
        self.stop(reason)
        self.interrupted = True

    # --- the course of events ------------------------------------------------------------------------------

    def fit(self) -> TrainResult:
        """Train to the end."""
        try:
            with Signals(self):
                self.callbacks.on_train_start(self)
                self._train()
        except BaseException as error:
            self.callbacks.on_exception(error)
            raise
        finally:
            try:
                self.writer.close()
            finally:
                self.callbacks.on_train_end()
        if not self.interrupted:
            plots.plot_losses([self.run.path], self.run.plot_path)
        return TrainResult(
            run_dir=self.run.path, backend=self.backend.name, steps=self.step, train_loss=self.train_loss,
            val_loss=self.val_loss, tokens_per_second=self.meter.speed(), stopped=self.reason,
            interrupted=self.interrupted,
        )  # fmt: skip

    def _train(self) -> None:
        """Steps in order; after a rollback from where it led."""
        again = True
        while again:
            with MetricsFile(self.run.metrics_path, keep_until=self.step) as metrics:
                again = self._stretch(metrics)

    def _stretch(self, metrics: MetricsFile) -> bool:
        """Train until the end, or until the run was rolled back, which is true."""
        if metrics.empty:
            self._evaluate(metrics)
        passed = set(self.watch.bad) if self.config.guard.action == "rollback" else set()
        for batch in self.data.train_batches(self.step, self.steps - self.step):
            self.meter.start()
            self._one(batch, passed)
            if self._row_due() and self._settle(metrics):
                return True
            if self._epoch_ends():
                self.callbacks.on_epoch_end(self.step // (self.data.steps_per_epoch or 1), self.step)
            if self.reason is not None:
                break
        self.interrupted = self.interrupted and self.step < self.steps
        if self.interrupted and self.saved != self.step:
            self._save(None)
        return False

    def _one(self, batch: Batch, passed: set[int]) -> None:
        """One step; those that were bad before a rollback only count."""
        self.step += 1
        if self.step in passed:
            self.trainer.pass_over()
            return
        every = self.config.detail_every
        rate = self.config.schedule.rate(self.step - 1)
        detail = every is not None and self.step % every == 0
        result = self.trainer.step(batch, rate, limit=self.watch.limit(), detail=detail)
        self.meter.add(self.step, result, int(np.count_nonzero(batch["targets"] >= 0)))
        budget = self.config.budget
        if budget is not None:
            spent = budget.spent(self.meter.elapsed(), self.meter.tokens)
            self.reason = self.reason or spent
        self.callbacks.on_step_end(self.step, result)

    def _settle(self, metrics: MetricsFile) -> bool:
        """What is due after a step: its row, evaluation and checkpoint; whether the run was rolled back instead."""
        taken = self.meter.read()
        bad = [t for t in taken if self.watch.is_bad(t.loss, t.norm)]
        if bad and self._rolled_back(bad):
            return True
        good = [t for t in taken if t not in bad]
        self.watch.learn([t.norm for t in good])
        row = self.meter.row(self.step, self.config.schedule.rate(self.step - 1), good)
        if row is not None:
            self.train_loss = row.loss
            metrics.write(row)
            self.callbacks.on_log(row)
        if self._evaluation_due():
            self.val_loss = self._evaluate(metrics)
        if self._checkpoint_due():
            self._save(self.val_loss)
        return False

    # A checkpoint is always evaluated, so that the best is known; and whatever happens at a step, its row
    # is written first, so that a resumed run has the rows of one that was never stopped. One that a signal
    # asks for has neither: the steps since the last row are part of it.

    def _last(self) -> bool:
        return self.step == self.steps or (self.reason is not None and not self.interrupted)

    def _checkpoint_due(self) -> bool:
        return self.step % self.config.checkpoint_every == 0 or self._last()

    def _evaluation_due(self) -> bool:
        return self.step % self.config.eval_every == 0 or self._checkpoint_due()

    def _row_due(self) -> bool:
        return self.step == 1 or self.step % self.config.log_every == 0 or self._evaluation_due()

    def _epoch_ends(self) -> bool:
        return self.data.steps_per_epoch is not None and self.step % self.data.steps_per_epoch == 0

    def _evaluate(self, metrics: MetricsFile) -> float:
        loss, _ = mean_loss(self.trainer, self._held_out())
        if not math.isfinite(loss):
            raise NonFiniteLossError(f"the held-out loss is {loss} at step {self.step}; try a lower learning rate")
        row = Row(
            step=self.step, split="val", loss=loss, lr=None, grad_norm=None, tokens=self.meter.tokens,
            seconds=self.meter.seconds, tokens_per_second=None, noted=self._of_average(),
        )  # fmt: skip
        metrics.write(row)
        self.callbacks.on_eval(row)
        return loss

    def _held_out(self) -> Sequence[Batch]:
        return self.data.validation_batches(self.config.eval_batches)

    def _of_average(self) -> dict[str, float]:
        """The held-out loss of the averaged weights, where the optimiser keeps an average."""
        if find(self.config.optimizer, Averaged) is None or self.step == 0:
            return {}
        weights, state = self.trainer.weights(), self.trainer.optimizer_state()
        self.trainer.restore(averaged_weights(self.config.optimizer, state), state)
        loss, _ = mean_loss(self.trainer, self._held_out())
        self.trainer.restore(weights, state)
        return {"averaged_loss": loss}

    def _save(self, val_loss: float | None) -> None:
        """Hand a checkpoint to the disk; training goes on while it is written."""
        weights, optimizer = self.trainer.weights(), self.trainer.optimizer_state()
        state = TrainState(
            step=self.step, tokens=self.meter.tokens, pending=self.meter.pending(), seconds=self.meter.seconds,
            val_loss=val_loss, backend=self.backend.name, spec_hash=self.run.config.model.hash(),
            updates=optimizer.step, skipped=optimizer.skipped, scale=optimizer.scale, guard=self.watch.memory(),
        )  # fmt: skip
        keep = Keep(last=self.config.keep, every=self.config.keep_every)
        store = Canonical() if self.config.store == "canonical" else self.backend.store
        self.writer.submit(lambda: self.run.checkpoints.save(state, weights, optimizer, keep, store))
        self.saved = self.step
        self.callbacks.on_checkpoint(self.step)

    # --- bad steps ---------------------------------------------------------------------------------------

    def _rolled_back(self, bad: list[Taken]) -> bool:
        """Do what the guard says about bad steps; whether the run stands elsewhere now."""
        first = bad[0]
        saved = self.run.save_batch(first.step, self.data.train_batch(first.step - 1))
        self.watch.note([t.step for t in bad])
        what = f"the training loss is {first.loss} and the gradient norm {first.norm:.4g} at step {first.step}"
        if self.config.guard.action == "stop" or self.watch.worn_out:
            often = f" ({len(self.watch.bad)} bad steps so far)" if self.watch.worn_out else ""
            raise NonFiniteLossError(f"{what}{often}; its batch is {saved}; try a lower learning rate, or train.guard")
        self.run.log(f"{what}; its batch is {saved}")
        if self.config.guard.action == "skip":
            return False
        self._go_back()
        return True

    def _go_back(self) -> None:
        """Stand at the last checkpoint again, or at the beginning."""
        bad, root, checkpoints = self.watch.bad, self.run.config.model.root(), self.run.checkpoints
        self.writer.wait()
        start = checkpoints.state(checkpoints.last()) if checkpoints.steps() else None
        if start:
            weights = checkpoints.weights(start.step, root)
            optimizer = checkpoints.optimizer(start.step, root, self.config.optimizer)
        else:
            weights = first_weights(self.run.config)
            optimizer = self._untouched()
        self.trainer.restore(weights, optimizer)
        self._stand(start)
        self.watch.note(bad)
        self.run.log(f"back to step {self.step}")

    def _untouched(self) -> OptimizerState:
        return self.config.optimizer.initial(schema(self.run.config.model.root()), np.float32)
