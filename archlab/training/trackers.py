"""Metrics for other tools to show: TensorBoard, Weights & Biases, MLflow, trackio."""

import importlib
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from archlab.errors import InputError
from archlab.training.callbacks import Callback
from archlab.training.metrics import Row

if TYPE_CHECKING:
    from archlab.training.session import Session


class TrackerCallback(Callback):
    """Hands every row's numbers on, under ``train/…`` and ``val/…``."""

    def log(self, step: int, values: dict[str, float]) -> None:
        """Take some numbers of a step."""
        raise NotImplementedError

    def on_log(self, row: Row) -> None:
        self.log(row.step, {f"{row.split}/{name}": value for name, value in numbers(row).items()})

    on_eval = on_log


def numbers(row: Row) -> dict[str, float]:
    """What a row says, by name."""
    own = {"loss": row.loss, "lr": row.lr, "grad_norm": row.grad_norm, "tokens_per_second": row.tokens_per_second}
    found = {name: value for name, value in own.items() if value is not None}
    return found | {"tokens": float(row.tokens)} | dict(row.noted)


class TensorBoard(TrackerCallback):
    """Event files in the run's folder ``tensorboard``: ``tensorboard --logdir runs``."""

    def on_train_start(self, session: "Session") -> None:
        # a resumed run hides what an earlier session wrote of later steps
        purge = session.step + 1 if session.step else None
        folder, suffix = str(session.run.path / "tensorboard"), f".{session.step}"
        self.writer = _summary_writer()(folder, purge_step=purge, filename_suffix=suffix)

    def log(self, step: int, values: dict[str, float]) -> None:
        for name, value in values.items():
            self.writer.add_scalar(name, value, step)

    def on_train_end(self) -> None:
        if hasattr(self, "writer"):
            self.writer.close()


def _summary_writer() -> Any:
    """tensorboardX's class. Where PyTorch is installed it imports that too, for a second; numbers do not need it."""
    unused = {} if "torch" in sys.modules else {"torch": None}
    sys.modules.update(unused)  # type: ignore[arg-type] # None stands for a module that cannot be imported
    try:
        from tensorboardX import SummaryWriter
    finally:
        for name in unused:
            del sys.modules[name]
    return SummaryWriter


class WandB(TrackerCallback):
    """Weights & Biases, in a project of the name of the folder that runs are in; offline where WANDB_MODE says so."""

    def on_train_start(self, session: "Session") -> None:
        wandb, path = _library("wandb"), session.run.path.resolve()
        self.run = wandb.init(
            project=path.parent.name, id=path.name, name=path.name, resume="allow", dir=str(path),
            config=session.run.config.to_dict(),
        )  # fmt: skip

    def log(self, step: int, values: dict[str, float]) -> None:
        self.run.log(values, step=step)

    def on_train_end(self) -> None:
        if hasattr(self, "run"):
            self.run.finish()


class MLflow(TrackerCallback):
    """MLflow, in an experiment of the name of the folder that runs are in."""

    def on_train_start(self, session: "Session") -> None:
        self.mlflow, path = _library("mlflow"), session.run.path.resolve()
        self.mlflow.set_experiment(path.parent.name)
        self.mlflow.start_run(run_name=path.name)
        self.mlflow.log_dict(session.run.config.to_dict(), "config.json")

    def log(self, step: int, values: dict[str, float]) -> None:
        self.mlflow.log_metrics(values, step=step)

    def on_train_end(self) -> None:
        if hasattr(self, "mlflow"):
            self.mlflow.end_run()


class Trackio(TrackerCallback):
    """trackio, in a project of the name of the folder that runs are in."""

    def on_train_start(self, session: "Session") -> None:
        self.trackio, path = _library("trackio"), session.run.path.resolve()
        self.trackio.init(project=path.parent.name, name=path.name, config=session.run.config.to_dict(), resume="allow")

    def log(self, step: int, values: dict[str, float]) -> None:
        self.trackio.log(values, step=step)

    def on_train_end(self) -> None:
        if hasattr(self, "trackio"):
            self.trackio.finish()


TRACKERS: dict[str, Callable[[], TrackerCallback]] = {
    "tensorboard": TensorBoard,
    "wandb": WandB,
    "mlflow": MLflow,
    "trackio": Trackio,
}


def tracker(name: str) -> TrackerCallback:
    """The tracker that ``train.trackers`` calls ``name``; its library is imported when training starts."""
    if name != "tensorboard":
        _library(name)
    return TRACKERS[name]()


def _library(name: str) -> Any:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise InputError(
            f"train.trackers: {name!r} cannot be imported ({error}); pip install 'archlab[{name}]' or leave it out"
        ) from None
