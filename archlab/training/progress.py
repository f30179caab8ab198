"""What a person sees of a training run, on stderr: a live table, or plain lines where there is no terminal."""

import time
from datetime import timedelta
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from archlab.accelerators import peak_flops
from archlab.accounting import account
from archlab.backends import StepMetrics
from archlab.training.callbacks import Callback
from archlab.training.metrics import Row

if TYPE_CHECKING:
    from archlab.training.session import Session

LINES = 10  # plain lines a run, about
FRAMES = 2  # of the table, a second: a thread of its own draws them, the loop only notes numbers
CONVENTION = "causal"  # how FLOPs a token are counted, see archlab.accounting.Flops


class LiveTable(Callback):
    """Progress, losses, speed and memory; for terminals.

    FLOP/s are those of the model, forward and backward, by the convention "causal"; recomputation does not count.
    Their share of the peak (MFU) is shown where the chip's peak is published or given: ``peak_tflops``, of one device.
    """

    def __init__(self, console: Console, peak_tflops: float | None = None) -> None:
        self._console, self._peak_tflops = console, peak_tflops
        self._live: Live | None = None
        self._row: Row | None = None
        self._held_out: list[Row] = []
        self._device: dict[str, int] = {}
        self._step = 0
        self._timed: tuple[int, float] | None = None  # where the session stood after its first step

    def on_train_start(self, session: "Session") -> None:
        import psutil

        config = session.run.config
        self._session, self._step = session, session.step
        self._process, self._began = psutil.Process(), time.perf_counter()
        counted = account(config.model, config.data.length)
        self._flops = counted.training_flops()[CONVENTION]
        device = session.backend.environment().get("device", "")
        known = peak_flops(device, config.policy)
        given = None if self._peak_tflops is None else 1e12 * self._peak_tflops * config.policy.mesh.size
        self._peak = known if given is None else given
        self._console.print(f"run directory {session.run.path}", highlight=False)
        self._live = Live(get_renderable=self._draw, console=self._console, refresh_per_second=FRAMES)
        self._live.start()

    def on_step_end(self, step: int, metrics: StepMetrics) -> None:
        self._step = step
        if self._timed is None:
            self._timed = step, time.perf_counter()

    def on_log(self, row: Row) -> None:
        self._row = row
        self._device = self._session.backend.memory()

    def on_eval(self, row: Row) -> None:
        self._held_out.append(row)

    def on_train_end(self) -> None:
        if self._live is not None:
            self._live.stop()

    def _draw(self) -> RenderableType:
        head = Table.grid(padding=(0, 2), expand=True)
        head.add_column(style="bold")
        head.add_column(ratio=1)
        head.add_column(justify="right")
        head.add_column(justify="right", style="dim")
        bar = ProgressBar(total=self._session.steps, completed=self._step)
        head.add_row(self._session.backend.name, bar, f"{self._step}/{self._session.steps}", self._time())
        body = Table.grid(padding=(0, 1))
        for _ in range(3):
            body.add_column(style="dim", no_wrap=True)
            body.add_column(justify="right", no_wrap=True)
            body.add_column(width=1)
        pairs = self._pairs()
        for start in range(0, len(pairs), 3):
            body.add_row(*(cell for name, value in pairs[start : start + 3] for cell in (name, value, "")))
        return Group(head, body)

    def _pairs(self) -> list[tuple[str, str]]:
        """What is in the table, row by row."""
        row, held_out = self._row, self._held_out
        best = min(held_out, key=lambda r: r.loss, default=None)
        noted = [(name, f"{value:.4g}") for name, value in row.noted.items()] if row else []
        return [
            ("loss", f"{row.loss:.4f}" if row else "–"),
            ("learning rate", f"{row.lr:.3g}" if row and row.lr is not None else "–"),
            ("memory", self._memory()),
            ("held-out", f"{held_out[-1].loss:.4f}" if held_out else "–"),
            ("gradient norm", f"{row.grad_norm:.4g}" if row and row.grad_norm is not None else "–"),
            ("accelerator", self._accelerator()),
            ("best", f"{best.loss:.4f}" if best else "–"),
            ("tokens/s", _speed(row) if row else "–"),
            ("FLOP/s", self._speed_of_model()),
            *noted,
        ]

    def _speed_of_model(self) -> str:
        from archlab.cli.describe import short

        speed = self._row.tokens_per_second if self._row else None
        if speed is None:
            return "–"
        flops = speed * self._flops
        return short(flops) + (f" = {flops / self._peak:.1%} MFU" if self._peak else "")

    def _memory(self) -> str:
        from archlab.cli.describe import size

        return size(self._process.memory_info().rss)

    def _accelerator(self) -> str:
        from archlab.cli.describe import size

        found = self._device
        return f"{size(found['allocated'])}, peak {size(found['peak'])}" if found else "–"

    def _time(self) -> str:
        now = time.perf_counter()
        spent = timedelta(seconds=round(now - self._began))
        if self._timed is None or self._step == self._timed[0]:
            return f"{spent}"
        each = (now - self._timed[1]) / (self._step - self._timed[0])
        return f"{spent}, {timedelta(seconds=round(each * (self._session.steps - self._step)))} left"


class PlainLines(Callback):
    """A line now and then; for files and pipes."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def on_train_start(self, session: "Session") -> None:
        self._say(f"run directory {session.run.path}")
        self._every = max(1, session.steps // LINES)
        self._steps, self._next = session.steps, session.step

    def on_log(self, row: Row) -> None:
        if row.step >= self._next or row.step == self._steps:
            self._next = row.step - row.step % self._every + self._every
            self._say(f"step {row.step}/{self._steps}  loss {row.loss:.4f}  {_speed(row)} tokens/s{_noted(row)}")

    def on_eval(self, row: Row) -> None:
        self._say(f"step {row.step}/{self._steps}  held-out loss {row.loss:.4f}")

    def _say(self, line: str) -> None:
        self._console.print(line, highlight=False, soft_wrap=True)


def progress(peak_tflops: float | None = None) -> Callback:
    """The callback that suits stderr; ``peak_tflops`` is what one device can do at most, where its user knows."""
    console = Console(stderr=True)
    return LiveTable(console, peak_tflops) if console.is_terminal else PlainLines(console)


def _noted(row: Row) -> str:
    """Auxiliary losses and statistics, each with its name; nothing where there are none."""
    return "".join(f"  {name} {value:.4g}" for name, value in row.noted.items())


def _speed(row: Row) -> str:
    return "–" if row.tokens_per_second is None else f"{row.tokens_per_second:,.0f}"
