"""How a run of training begins: in a new directory, or where an earlier one stood."""

from collections.abc import Sequence
from pathlib import Path

from archlab.backends import Backend, Trainer
from archlab.data.batches import Batches
from archlab.data.corpus import prepare_batches
from archlab.errors import InputError
from archlab.run_config import RunConfig
from archlab.tokenizers import TrainedTokenizer
from archlab.training import runs
from archlab.training.callbacks import Callback
from archlab.training.extras import extras
from archlab.training.metrics import read
from archlab.training.runs import Run
from archlab.training.session import Session, TrainResult, first_weights, steps_of
from archlab.weights import Weights


def train(
    config: RunConfig,
    backend: Backend,
    *,
    tokenizer: TrainedTokenizer | None = None,
    out: Path | None = None,
    name: str = "run",
    callbacks: Sequence[Callback] = (),
) -> TrainResult:
    """Train from initial weights in a new run directory (see :func:`archlab.training.runs.create`).

    ``tokenizer`` is one that was trained before, where there is one; by default the data's is trained here.
    Raises :class:`~archlab.training.meter.NonFiniteLossError` when a loss is no finite number, unless the guard of
    ``config.train`` knows what to do.
    """
    runs.check_free(out)
    data = prepare_batches(config.data, config.train.seed, tokenizer)
    config = resolved(config, data)
    check_fits(config, data)
    trainer = make_trainer(config, backend, first_weights(config))
    extras(config)
    # All that can be wrong with the input is known by now: what follows writes.
    run = runs.create(config, data, out=out, name=name, backend=backend.name)
    run.add_session(backend, from_step=0)
    return Session(run, backend, trainer, data, callbacks).fit()


def resume(
    run: Run, config: RunConfig, backend: Backend, *, checkpoint: str = "last", callbacks: Sequence[Callback] = ()
) -> TrainResult:
    """Continue ``run`` under ``config`` from a checkpoint, whichever backend wrote it.

    Metrics and checkpoints of later steps are dropped first, so that ``metrics.csv`` has every step once.
    """
    _check_same_training(run.config, config)
    data = prepare_batches(config.data, config.train.seed, run.tokenizer())
    config = resolved(config, data)
    run = Run(path=run.path, config=config)
    step, weights = run.weights(checkpoint)
    if step >= steps_of(config):
        raise InputError(f"{run.path} is already at step {step}; to train on, give train.steps=… above that")
    run.check_data(data.digest())
    check_fits(config, data)
    optimizer = run.checkpoints.optimizer(step, config.model.root(), config.train.optimizer)
    trainer = make_trainer(config, backend, weights)
    trainer.restore(weights, optimizer)
    if run.metrics_path.exists():
        read(run.metrics_path)
    extras(config)
    # All that can be wrong with the input is known by now: what follows writes.
    run.checkpoints.drop_after(step)
    run.add_session(backend, from_step=step)
    run.write_config()
    return Session(run, backend, trainer, data, callbacks, run.checkpoints.state(step)).fit()


def resolved(config: RunConfig, data: Batches) -> RunConfig:
    """``config`` with epochs worked out in steps, and a schedule that knows when the run ends."""
    return config.replace(train=config.train.resolved(data.steps_per_epoch))


def _check_same_training(old: RunConfig, new: RunConfig) -> None:
    """What a checkpoint depends on must stay; steps, schedule, policy, readers and the like may change."""
    fixed = {
        "model": (old.model, new.model),
        "data": (old.data.replace(readers=0), new.data.replace(readers=0)),
        "train.seed": (old.train.seed, new.train.seed),
        "train.optimizer": (old.train.optimizer, new.train.optimizer),
    }
    for name, (before, after) in fixed.items():
        if before != after:
            raise InputError(f"{name}: differs from the run that is resumed; leave it as it was, or start a new run")


def check_fits(config: RunConfig, data: Batches) -> None:
    """Raise :class:`InputError` unless the model can be asked what the data's objective asks."""
    data.objective.check_model(config.model, data.tokenizer)


def make_trainer(config: RunConfig, backend: Backend, weights: Weights) -> Trainer:
    """The backend's trainer as ``config`` asks for it, starting from ``weights``."""
    train = config.train
    return backend.trainer(
        config.model,
        weights=weights,
        optimizer=train.optimizer,
        clip=train.clip,
        policy=config.policy,
        seed=train.seed,
        loss=train.loss,
    )
