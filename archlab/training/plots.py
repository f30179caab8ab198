"""Loss curves as PNG files."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab.errors import InputError
from archlab.training.metrics import Row, read
from archlab.training.runs import open_run

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")  # Okabe and Ito: colour-blind safe
INK, GRID = "#222222", "#DDDDDD"


def plot_losses(runs: Sequence[Path], out: Path, title: str | None = None) -> Path:
    """Draw training and held-out losses of one or several run directories over steps into ``out``.

    Earlier runs are drawn broader and paler, so that a later one that coincides does not hide them.
    """
    if not runs:
        raise InputError("no run to plot: give at least one run directory")
    labelled = [(_label(path, len(runs)), path) for path in runs]
    out.parent.mkdir(parents=True, exist_ok=True)
    _figure(labelled, title or (runs[0].name if len(runs) == 1 else "Loss")).savefig(out)
    return out


def losses_png(labelled: Sequence[tuple[str, Path]], title: str) -> bytes:
    """The same picture of run directories under given labels, as the bytes of a PNG file."""
    picture = io.BytesIO()
    _figure(labelled, title).savefig(picture, format="png")
    return picture.getvalue()


def _figure(labelled: Sequence[tuple[str, Path]], title: str) -> "Figure":
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.8), dpi=150, facecolor="white", layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for index, (label, path) in enumerate(labelled):
        _draw_run(axes, path, label, index, len(labelled))
    _dress(axes, title)
    return figure


def _draw_run(axes: "Axes", path: Path, label: str, index: int, count: int) -> None:
    colour = COLOURS[index % len(COLOURS)]
    behind = count - 1 - index
    rows = read(path / "metrics.csv")
    train, held_out = ([r for r in rows if r.split == split] for split in ("train", "val"))
    axes.plot(*_points(train), color=colour, linewidth=1.4 + 2.6 * behind, alpha=0.9 if not behind else 0.45)
    axes.plot(
        *_points(held_out),
        color=colour,
        linestyle="none",
        marker="os^Dv<"[index % 6],
        markersize=5.5 + 3.5 * behind,
        markerfacecolor="white" if not behind else colour,
        markeredgewidth=1.5,
    )
    ends = f"train {train[-1].loss:.3f}" if train else "no step yet"
    ends += f", held-out {held_out[-1].loss:.3f}" if held_out else ""
    axes.plot([], [], color=colour, linewidth=4, label=f"{label}   {ends}")


def _points(rows: list[Row]) -> tuple[list[int], list[float]]:
    return [row.step for row in rows], [row.loss for row in rows]


def _label(path: Path, count: int) -> str:
    backend = open_run(path).backend_name()
    return backend if count == 1 or backend in path.name else f"{path.name} ({backend})"


def _dress(axes: "Axes", title: str) -> None:
    axes.plot([], [], color=INK, linewidth=1.4, label="line: training")
    points: dict[str, Any] = {"linestyle": "none", "marker": "o", "markerfacecolor": "white", "markeredgewidth": 1.5}
    axes.plot([], [], color=INK, label="points: held-out text", **points)
    axes.set_title(title, loc="left", color=INK, fontsize=12, fontweight="bold")
    axes.set_xlabel("step", color=INK)
    axes.set_ylabel("loss (nats per token)", color=INK)
    axes.grid(color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=INK, length=0)
    axes.margins(x=0.01)
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(INK)
    axes.legend(facecolor="white", edgecolor="none", framealpha=1.0, labelcolor=INK, fontsize=9)
