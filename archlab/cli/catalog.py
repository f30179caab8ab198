"""``archlab catalog``: the architectures that are there by name, and each one's spec to save and edit."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archlab.cli.arguments import Json
from archlab.errors import InputError

if TYPE_CHECKING:
    from rich.table import Table

    from archlab.accounting import Account
    from archlab.catalog.entries import Entry

EXAMPLES = (
    "archlab catalog",
    "archlab catalog llama-3 --vocab 65 --length 128 > model.yaml",
    "archlab describe llama-3 stack.repeat=8",
)
REGION = "catalog"
"""The generated region of docs/catalog.md."""


def command(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="Print this one's spec as YAML.", show_default=False)
    ] = None,
    vocab: Annotated[int | None, typer.Option(help="Of NAME: another vocabulary.", show_default="its own")] = None,
    length: Annotated[int | None, typer.Option(help="Of NAME: another length.", show_default="its own")] = None,
    as_json: Json = False,
    markdown: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Rewrite the catalogue's region in a Markdown file.")
    ] = None,
) -> None:
    """List the architectures that every CONFIG can name, or print one as a config."""
    if name is None and (vocab is not None or length is not None):
        raise InputError("--vocab and --length belong to archlab catalog NAME; name an architecture or leave them out")
    if markdown is not None:
        _rewrite(markdown, alone=name is None and not as_json)
    elif name is not None:
        typer.echo(_spec(name, vocab, length, as_json), nl=as_json)
    elif as_json:
        typer.echo(json.dumps([row.as_data() for row in rows()]))
    else:
        _print(rows())


@dataclass(frozen=True, kw_only=True)
class Row:
    """An entry and what its model comes to in one sequence of its own length."""

    entry: "Entry"
    account: "Account"

    @property
    def flops(self) -> float:
        """A token, of one forward pass, counting the pairs of positions that see each other."""
        return self.account.forward_flops()["causal"]

    def as_data(self) -> dict[str, Any]:
        """What ``--json`` prints of it."""
        return _facts(self.entry) | {
            "parameters": self.account.parameters,
            "forward_flops_per_token": self.flops,
            "state_bytes": self.account.state_bytes,
        }


def rows() -> list[Row]:
    """All entries in order."""
    from archlab import catalog
    from archlab.accounting import account

    entries = [catalog.entry(name) for name in catalog.names()]
    return [Row(entry=entry, account=account(entry.model(), entry.sizes["length"])) for entry in entries]


def _facts(entry: "Entry") -> dict[str, Any]:
    return {"name": entry.name, "title": entry.title, "paper": entry.paper, "sizes": dict(entry.sizes)}


def _spec(name: str, vocab: int | None, length: int | None, as_json: bool) -> str:
    """The spec of an entry, as YAML under what the entry says about itself."""
    from archlab import catalog, yaml_text

    entry = catalog.entry(name)
    model = entry.model(vocab=vocab, length=length)
    if as_json:
        return json.dumps(_facts(entry) | {"model": model.to_dict()})
    given = {key: value for key, value in (("vocab", vocab), ("length", length)) if value is not None}
    sizes = ", ".join(f"{key} {value}" for key, value in {**entry.sizes, **given}.items())
    head = [f"{name}: {entry.title}, {entry.paper}", *entry.about.splitlines(), f"Sizes: {sizes}"]
    return "".join(f"# {line}".rstrip() + "\n" for line in head) + yaml_text.write(model.to_dict())


# --- tables -------------------------------------------------------------------------------------------


def _print(found: Sequence[Row]) -> None:
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 140  # a file or a pipe has no width of its own
    console.print(table(found))


def table(found: Sequence[Row]) -> "Table":
    """All entries, a line each."""
    from rich import box
    from rich.table import Table

    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    shown.caption = "FLOPs a token of one forward pass, and bytes of decoding state (float32), in sequences of length T"
    shown.caption_justify = "right"
    shown.add_column("name", style="cyan", no_wrap=True)
    shown.add_column("title", min_width=12)
    for name in ("params", "FLOPs", "state", "T"):
        shown.add_column(name, justify="right", no_wrap=True)
    shown.add_column("paper", style="dim", overflow="fold")
    for row in found:
        shown.add_row(row.entry.name, row.entry.title, *_counts(row), row.entry.paper)
    return shown


def _counts(row: Row) -> list[str]:
    from archlab.cli.describe import short, size

    account = row.account
    state = size(account.state_bytes) if account.state_bytes else "–"  # an encoder remembers nothing
    return [short(account.parameters), short(row.flops), state, f"{account.length:,}"]


def page_text(found: Sequence[Row]) -> str:
    """The table, and what each entry says about itself, in Markdown."""
    head = ["name", "title", "parameters", "FLOPs/token", "state", "length"]
    lines = [head, ["---", "---", *["--:"] * 4]]
    for row in found:
        title = f"[{row.entry.title}]({row.entry.paper})"
        lines.append([f"[`{row.entry.name}`](#{row.entry.name})", title, *_counts(row)])
    listed = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    return "\n".join([listed, *(f"## {row.entry.name}\n\n{_text(row.entry.about)}\n" for row in found)])


def _text(docstring: str) -> str:
    return docstring.replace("``", "`")


def _rewrite(path: Path, alone: bool) -> None:
    from archlab.parity import regions

    if not alone:
        raise InputError("--markdown writes the whole catalogue; give neither NAME nor --json beside it")
    regions.rewrite(path, REGION, page_text(rows()))
