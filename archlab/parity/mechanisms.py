"""The table of mechanisms in the README: what there is, where it is, and how exactly it agrees.

``python -m archlab.parity.mechanisms README.md`` measures every mechanism and rewrites the table there.
"""

import inspect
import sys
from collections.abc import Iterable
from pathlib import Path

from archlab.backends import Backend, backend_names, find_backend
from archlab.config import registered
from archlab.errors import InputError
from archlab.parity.bench import Bench, Row
from archlab.parity.cases import cases_of
from archlab.parity.laws import forward, gradients
from archlab.spec import Spec

BEGIN, END = "<!-- mechanisms: begin (generated) -->", "<!-- mechanisms: end -->"
ROOT = Path(__file__).parents[2]


def files(cls: type[Spec], backends: Iterable[Backend]) -> list[str]:
    """Markdown links to the definition and to each backend's native form, where it has one."""
    natives = [backend.natives.find_class(cls) for backend in backends]
    return [link(cls, source(cls))] + [link(found, "native") if found else "definition" for found in natives]


def source(cls: type) -> str:
    """The file that defines ``cls``, relative to the project."""
    return str(Path(inspect.getfile(cls)).relative_to(ROOT))


def link(cls: type, text: str) -> str:
    """A link to the file that defines ``cls``."""
    return f"[{text}]({source(cls)})"


def measured(cls: type[Spec], backends: Iterable[Backend]) -> tuple[float, float]:
    """The largest float64 errors of the forward pass and of gradients, over examples, variants and backends."""
    rows: list[Row] = []
    for case in cases_of(cls):
        bench = Bench(case)
        before: list[str] = []
        for backend in backends:
            rows += forward(bench, backend.name, before) + gradients(bench, backend.name, before)
            before.append(backend.name)
    between = [row.error for row in rows if row.item == "gradients" and "against" in row.where]
    return max(row.error for row in rows if row.item == "forward"), max(between)


def mechanisms() -> dict[str, type[Spec]]:
    """Every spec a config can name."""
    return {name: cls for name, cls in registered(Spec).items() if issubclass(cls, Spec)}


def table() -> str:
    """The whole table, measured now."""
    backends = [find_backend(name) for name in backend_names()]
    names = " | ".join(backend.name for backend in backends)
    lines = [f"| mechanism | definition | {names} | forward | gradient |", "|---" * (len(backends) + 4) + "|"]
    for name, cls in mechanisms().items():
        errors = " | ".join(f"{error:.0e}" if error else "0" for error in measured(cls, backends))
        lines.append(f"| `{name}` | {' | '.join(files(cls, backends))} | {errors} |")
    return "\n".join(lines)


def rewrite(path: Path) -> None:
    """Put the table between its markers in ``path``."""
    text = path.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        raise InputError(f"{path} has no place for the table: put {BEGIN} and {END} into it")
    head, rest = text.split(BEGIN)
    path.write_text(f"{head}{BEGIN}\n{table()}\n{END}{rest.split(END)[1]}", encoding="utf-8")


if __name__ == "__main__":
    rewrite(Path(sys.argv[1]))
