"""One model on every backend, layer by layer: what ``archlab parity`` prints."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from archlab.backends import backend_names
from archlab.errors import InputError
from archlab.model import Model
from archlab.parity import tolerances
from archlab.parity.bench import Bench, Row, named
from archlab.parity.cases import Case
from archlab.parity.slopes import slope_error
from archlab.parity.tolerances import gradient_errors, relative
from archlab.parity.training import training_rows
from archlab.policy import Policy
from archlab.spec import Example

if TYPE_CHECKING:
    from rich.table import Table

DTYPES = ("float64", "float32")
SHORTEST = 8
VARIANTS = ("plain", "packed")  # a document a row, as in training; and several with padding
WORDS = {
    "forward": "outputs against the reference",
    "gradients": "gradients against each other and the reference's slope",
    "training": "20 AdamW steps from equal weights",
}


@dataclass(frozen=True)
class Report:
    """All comparisons of one model."""

    rows: tuple[Row, ...]

    @property
    def passed(self) -> bool:
        return all(row.passed for row in self.rows)

    @property
    def worst(self) -> Row:
        """The row that uses up most of its limit."""
        return max(self.rows, key=share)

    def tables(self) -> Iterator["Table"]:
        """A Rich table for each item: a line a layer or parameter, worst first."""
        for item in WORDS:
            rows = [row for row in self.rows if row.item == item]
            if rows:
                yield _table(item, rows)


def compare_backends(
    model: Model, *, length: int = 64, batch: int = 2, seed: int = 0, backends: Sequence[str] | None = None
) -> Report:
    """Compare all backends, or those named, with the reference and with each other.

    The weights are drawn so that none is degenerate, from ``seed``; forward, gradients and 20 training steps are
    computed in float64 and float32. Raises :class:`InputError` for a length that the model cannot take.
    """
    names = list(backend_names() if backends is None else backends)
    if not names:
        raise InputError("no backend is installed; pip install 'archlab[jax]' or 'archlab[torch]'")
    limit = model.limit()
    if length < SHORTEST or (limit is not None and length > limit):
        longest = "any number" if limit is None else f"{limit}"
        raise InputError(f"--length {length} is not possible here: at least {SHORTEST}, at most {longest} tokens")
    kind = type(model).__name__
    case = Case(name=kind, spec_name=kind, example=Example(spec=model, width=model.width, length=length, batch=batch))
    bench = Bench(case, seed=seed)
    rows = [row for name in names for dtype in DTYPES for row in _forward(bench, name, dtype)]
    rows += [row for i, name in enumerate(names) for row in _gradients(bench, name, names[:i])]
    if len(names) > 1:
        for dtype in DTYPES:
            rows += training_rows(model, bench.weights, names, dtype=dtype, length=length, batch=batch)
    return Report(tuple(rows))


def _forward(bench: Bench, backend: str, dtype: str) -> list[Row]:
    """A row for each named intermediate, the worse of the variants."""
    worst: dict[str, Row] = {}
    for variant in VARIANTS:
        got = named(bench.forward(backend, variant, Policy.exact(dtype)))  # type: ignore[arg-type]
        truth = named(bench.truth(variant, dtype))
        for path in truth.keys() | got.keys():
            both = path in truth and path in got
            error = relative(got[path], truth[path]) if both else float("inf")
            limit = bench.forward_limit(variant, dtype, path)
            row = bench.row("forward", backend, dtype, error, limit, path)
            worst[path] = max(worst.get(path, row), row, key=share)
    return list(worst.values())


def _gradients(bench: Bench, backend: str, before: Sequence[str]) -> list[Row]:
    """Float64 against the reference's slope and, by parameter, the first backend; float32 against float64."""
    exact = bench.gradients(backend, "packed", Policy.exact())
    slope = slope_error(bench, "packed", exact)
    rows = [bench.row("gradients", backend, "float64", slope, tolerances.DIFFERENCE, "slope of the reference")]
    if before:
        errors = gradient_errors(exact, bench.gradients(before[0], "packed", Policy.exact()))
        rows += [bench.row("gradients", backend, "float64", e, tolerances.GRADIENT, p) for p, e in errors.items()]
    truth = bench.true_gradients(backend, "packed", "float32")
    errors = gradient_errors(bench.gradients(backend, "packed", Policy.exact("float32")), truth, least=1.0)
    limit = bench.gradient_limit(backend, "packed", "float32")
    return rows + [bench.row("gradients", backend, "float32", e, limit, p) for p, e in errors.items()]


def share(row: Row) -> float:
    """The share of its limit that an error uses up; infinite for NaN."""
    value = row.error / row.limit if row.limit > 0 else (0.0 if row.error == 0 else float("inf"))
    return value if value == value else float("inf")


def summary(rows: Sequence[Row]) -> "Table":
    """A line for each law of each mechanism on each backend: its worst row, worst first."""
    from rich import box
    from rich.table import Table

    worst: dict[tuple[str, str, str], Row] = {}
    for row in rows:
        key = (row.spec.rpartition("-")[0], row.item, row.backend)
        worst[key] = max(worst.get(key, row), row, key=share)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("mechanism", "law", "backend", "dtype"):
        table.add_column(name)
    for name in ("error", "share\nof limit"):
        table.add_column(name, justify="right")
    table.add_column("at", overflow="fold")
    for (name, item, backend), row in sorted(worst.items(), key=lambda line: -share(line[1])):
        table.add_row(name, item, backend, row.dtype, _cell(row), f"{share(row):.2g}", f"{row.spec} {row.where}")
    return table


def _table(item: str, rows: list[Row]) -> "Table":
    from rich import box
    from rich.table import Table

    columns = sorted({(row.dtype, row.backend) for row in rows}, key=lambda c: (DTYPES.index(c[0]), c[1]))
    lines: dict[str, dict[tuple[str, str], Row]] = {}
    for row in rows:
        lines.setdefault(row.where, {})[row.dtype, row.backend] = row
    table = Table(title=f"{item}: {WORDS[item]}", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    table.add_column("where", overflow="fold")
    for dtype, backend in columns:
        table.add_column(f"{backend}\n{dtype}", justify="right")
    table.add_column("share\nof limit", justify="right")
    for where, cells in sorted(lines.items(), key=lambda line: -max(map(share, line[1].values()))):
        table.add_row(where, *(_cell(cells.get(c)) for c in columns), f"{max(map(share, cells.values())):.2g}")
    return table


def _cell(row: Row | None) -> Any:
    from rich.text import Text

    if row is None:
        return ""
    return Text(f"{row.error:.1e}", style="" if row.passed else "bold red")
