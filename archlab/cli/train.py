"""``archlab train``: train a config, or continue a run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from archlab.cli import CheckFailed
from archlab.cli.arguments import Overrides
from archlab.errors import InputError

if TYPE_CHECKING:
    from archlab.training.callbacks import Callback
    from archlab.training.session import TrainResult

INTERRUPTED = 75
"""The exit status of a run that a signal stopped and that is saved: EX_TEMPFAIL of sysexits.h, to be tried again."""

EXAMPLES = (
    "archlab train configs/tiny_gpt.py --backend torch",
    "archlab train configs/tiny_gpt.py train.steps=100 data.batch=16 --backend jax --out runs/first",
    "archlab train --resume runs/first train.steps=200 --backend torch",
)


def command(
    config: Annotated[str | None, typer.Argument(help="A run config (.py, .yaml, .json).", show_default=False)] = None,
    overrides: Overrides = None,
    backend: Annotated[
        str | None, typer.Option(help="jax or torch; with --resume it may be another than before.", show_default=False)
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="The run directory, new or empty.", show_default="runs/<time>-<name>-<backend>")
    ] = None,
    resume: Annotated[
        Path | None, typer.Option(help="Continue this run from its last checkpoint.", show_default=False)
    ] = None,
    checkpoint: Annotated[
        str, typer.Option(help="With --resume: last, best, or a step; what came later is dropped.")
    ] = "last",
    peak_tflops: Annotated[
        float | None,
        typer.Option(
            help="What one device can do at most, in TFLOP/s: what the model does is shown as a share of it (MFU).",
            show_default="as published, of some accelerators",
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the result as one line of JSON.")] = False,
) -> None:
    """Train a model on text; metrics, checkpoints and a plot go to a run directory."""
    changes = list(overrides or [])
    if config is not None and "=" in config:  # archlab train --resume RUN key=value
        changes, config = [config, *changes], None
    from archlab.training.meter import NonFiniteLossError
    from archlab.training.progress import progress

    if peak_tflops is not None and not peak_tflops > 0:
        raise InputError(f"--peak-tflops {peak_tflops:g} must be > 0")
    shown = progress(peak_tflops)
    try:
        if resume is None:
            result = _train(config, changes, backend, out, shown)
        else:
            result = _resume(resume, config, changes, backend, out, checkpoint, shown)
    except NonFiniteLossError as error:
        raise CheckFailed(str(error)) from None
    typer.echo(_json(result) if as_json else f"{_profile(result)}{_summary(result)}")
    if result.interrupted:
        raise typer.Exit(INTERRUPTED)


def _train(
    config: str | None, changes: list[str], backend: str | None, out: Path | None, shown: "Callback"
) -> "TrainResult":
    from archlab.config_files import load_run
    from archlab.training import loop

    if config is None:
        raise InputError("no config is given; say which to train, or continue a run with --resume RUN")
    run_config = load_run(config, changes)
    name = Path(config).resolve().stem
    return loop.train(run_config, choose_backend(backend), out=out, name=name, callbacks=[shown])


def _resume(
    path: Path, config: str | None, changes: list[str], backend: str | None, out: Path | None, checkpoint: str,
    shown: "Callback",
) -> "TrainResult":  # fmt: skip
    from archlab.backends import find_backend
    from archlab.config_files import load_run
    from archlab.training import loop
    from archlab.training.runs import open_run

    if out is not None:
        raise InputError("--out and --resume exclude each other: a resumed run stays in its directory")
    run = open_run(path)
    run_config = load_run(config or path, changes)
    chosen = find_backend(backend or run.backend_name())
    return loop.resume(run, run_config, chosen, checkpoint=checkpoint, callbacks=[shown])


def choose_backend(name: str | None):  # noqa: ANN201 - Backend, which is costly to import
    """The backend called ``name``; without a name, the only one that is installed."""
    from archlab.backends import backend_names, find_backend

    if name is None:
        names = backend_names()
        if len(names) != 1:
            raise InputError(f"say which backend to train with: --backend {' or --backend '.join(names)}")
        name = names[0]
    return find_backend(name)


def _json(result: "TrainResult") -> str:
    import json
    from dataclasses import asdict

    return json.dumps(asdict(result), default=str)


def _profile(result: "TrainResult") -> str:
    """The table of a profile that this session made; nothing where it made none."""
    from archlab.training import profiles
    from archlab.training.runs import open_run

    run = open_run(result.run_dir)
    path = run.path / profiles.FOLDER / profiles.TEXT
    made = run.config.profile.steps is not None and run.sessions()[-1]["from_step"] < run.config.profile.range()[-1]
    return f"{path}\n{path.read_text(encoding='utf-8')}\n" if made and path.is_file() else ""


def _summary(result: "TrainResult") -> str:
    if result.interrupted:
        return (
            f"{result.backend}: stopped by {result.stopped} after step {result.steps}, which is saved\n"
            f"go on      archlab train --resume {result.run_dir}"
        )
    why = f" ({result.stopped})" if result.stopped else ""
    return (
        f"{result.backend}: {result.steps} steps{why}, training loss {result.train_loss:.4f}, "
        f"held-out loss {result.val_loss:.4f}, {result.tokens_per_second:,.0f} tokens/s\n"
        f"plot       {result.run_dir / 'loss.png'}\n"
        f"try it     archlab generate {result.run_dir} --prompt 'import '\n"
        f"go on      archlab train --resume {result.run_dir} train.steps={2 * result.steps}"
    )
