"""``archlab describe``: an architecture's parts, sizes and costs, from its spec alone."""

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archlab.cli.arguments import ConfigArgument, Json, Overrides
from archlab.errors import InputError

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from archlab.accounting import Account, PartAccount
    from archlab.model import Model
    from archlab.spec import Param

EXAMPLES = (
    "archlab describe configs/tiny_llama.yaml",
    "archlab describe configs/tiny_llama.yaml stack.repeat=8 width=256 --length 2048",
    "archlab describe configs/tiny_gemma.json --json",
)
LENGTH = 1024


def command(
    config: ConfigArgument,
    overrides: Overrides = None,
    length: Annotated[
        int | None,
        typer.Option(help="Tokens a sequence.", show_default=f"the run's; for a model alone {LENGTH} or its limit"),
    ] = None,
    batch: Annotated[
        int | None, typer.Option(help="Sequences a batch.", show_default="the run's; for a model alone 1")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show a model's parts with their shapes, parameters and FLOPs, and what it needs in memory."""
    from archlab.config_files import load

    model, account = _account(load(config, overrides or ()), length, batch)
    if as_json:
        typer.echo(json.dumps(as_data(model, account)))
        return
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 120  # a file or a pipe has no width of its own
    console.print(parts_table(account), summary(model, account), sep="\n")


def _account(config: Any, length: int | None, batch: int | None) -> tuple["Model", "Account"]:
    """The model of a config and its account, in the run's shapes and dtypes where there is a run."""
    from archlab.accounting import account
    from archlab.policy import Policy
    from archlab.run_config import RunConfig

    run = config if isinstance(config, RunConfig) else None
    model = run.model if run else config
    policy = run.policy if run else Policy()
    limit = model.limit()
    if length is None:
        length = run.data.length if run else min(limit or LENGTH, LENGTH)
    if batch is None:
        batch = run.data.batch if run else 1
    if limit is not None and length > limit:
        raise InputError(f"--length {length} is beyond the model's table of {limit} positions; give {limit} or less")
    return model, account(model, length, dtype=policy.compute, batch=batch, param_dtype=policy.param)


def as_data(model: "Model", account: "Account") -> dict[str, Any]:
    """What ``--json`` prints. FLOPs a token are those of training; those of one forward pass stand beside them."""
    memory = account.memory
    return {
        "type": account.root.type,
        "hash": model.hash(),
        "parameters": account.parameters,
        "parameters_non_embedding": account.non_embedding,
        "length": account.length,
        "batch": account.batch,
        "dtype": account.dtype,
        "param_dtype": account.param_dtype,
        "flops_per_token": account.training_flops(),
        "forward_flops_per_token": account.forward_flops(),
        "state_bytes": account.state_bytes,
        "training_memory_bytes": {
            "parameters": memory.parameters,
            "gradients": memory.gradients,
            "moments": memory.moments,
            "activations": memory.activations,
            "activations_remat": memory.activations_remat,
            "total": memory.total,
            "total_remat": memory.total_remat,
        },
        "parts": [_part_data(part) for part in account.root.walk()],
    }


def _part_data(part: "PartAccount") -> dict[str, Any]:
    return {
        "path": part.path,
        "type": part.type,
        "shared": part.shared,
        "params": {n: {"shape": list(p.shape), "axes": p.axes} for n, p in part.params.items()},
        "parameters": part.parameters,
        "forward_flops_per_token": part.flops.as_dict(),
    }


# --- tables -------------------------------------------------------------------------------------------


def parts_table(account: "Account") -> "RenderableType":
    """The tree of parts, identical turns of layers once."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, collapse_padding=True, header_style="bold")
    table.caption = f"FLOPs a token of one forward pass, T = {account.length:,}"
    table.caption_justify = "right"
    table.add_column("part", no_wrap=True)
    table.add_column("shapes", min_width=8)
    for name in ("params", *account.forward_flops()):
        table.add_column(name, justify="right", no_wrap=True)
    for guide, label, part, times in _rows(account.root, "", "", 1):
        line = Text.assemble((guide, "dim"), (label, "cyan"), " " if label else "", part.type)
        if times > 1:
            line.append(f" ×{times}", "bold magenta")
        if part.shared:
            line.append(f" → shared.{part.shared}", "yellow")
        shapes = Text("\n").join(_shape(*item) for item in part.params.items())
        counts = [short(part.parameters), *map(short, part.flops.as_dict().values())]
        table.add_row(line, shapes, *counts, style=None if part.parameters or part.flops.executed else "dim")
    return table


def _shape(name: str, param: "Param") -> "Text":
    from rich.text import Text

    return Text.assemble(name, " ", "×".join(map(str, param.shape)), (f" {param.axes}", "dim"))


def _rows(part: "PartAccount", guide: str, label: str, times: int) -> "Iterator[tuple[str, str, PartAccount, int]]":
    """(guide, label, part, times) of each line of the tree."""
    yield guide, label, part, times
    stem = guide.replace("├ ", "│ ").replace("└ ", "  ")
    lines = [line for turn in _turns(part.children) for line in _collapsed(turn)]
    for i, (name, child, count) in enumerate(lines):
        branch = "└ " if i == len(lines) - 1 else "├ "
        yield from _rows(child, stem + branch, name, count)


def _collapsed(turns: "list[Sequence[PartAccount]]") -> "Iterator[tuple[str, PartAccount, int]]":
    """(name, part, count) of each place in a run of equal turns: ``layers.0,2,4``, the layer, 3."""
    for place, part in enumerate(turns[0]):
        list_name, _, first = part.name.rpartition(".")
        numbers = [turn[place].name.rpartition(".")[2] for turn in turns]
        if len(turns) == 1:
            yield part.name, part, 1
        elif len(turns[0]) == 1:
            yield f"{list_name}.{first}–{numbers[-1]}", part, len(turns)
        else:
            few = numbers if len(numbers) < 4 else [*numbers[:2], "…", numbers[-1]]
            yield f"{list_name}.{','.join(few)}", part, len(turns)


def _turns(parts: "Sequence[PartAccount]") -> "Iterator[list[Sequence[PartAccount]]]":
    """``parts`` cut into runs of equal turns of layers, as many parts a run and as few a turn as there can be."""
    start = 0
    while start < len(parts):
        numbered = [p.name.rpartition(".")[2].isdigit() for p in parts[start:]]
        longest = (numbered + [False]).index(False) // 2
        runs = [(period, _repeats(parts, start, period)) for period in range(1, longest + 1)]
        runs = [(period, count) for period, count in runs if count > 1] or [(1, 1)]
        period, count = max(runs, key=lambda run: (run[0] * run[1], -run[0]))
        yield [parts[start + i * period : start + (i + 1) * period] for i in range(count)]
        start += period * count


def _repeats(parts: "Sequence[PartAccount]", start: int, period: int) -> int:
    """How often the ``period`` parts from ``start`` on come one after the other."""
    turn, count = parts[start : start + period], 1
    while parts[start + count * period : start + (count + 1) * period] == turn:
        count += 1
    return count


def summary(model: "Model", account: "Account") -> "RenderableType":
    """The totals."""
    from rich.padding import Padding
    from rich.table import Table

    memory = account.memory
    fixed = memory.total - memory.activations
    shape = f"{account.batch} × {account.length:,} tokens"
    table = Table.grid(padding=(0, 2))
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    rows = {
        "parameters": f"{account.parameters:,}, {account.non_embedding:,} without embeddings",
        "FLOPs/token, forward": _conventions(account.forward_flops()),
        "FLOPs/token, training": _conventions(account.training_flops()),
        "state": f"{size(account.state_bytes)} for {shape}, {account.dtype}",
        "training memory": f"{size(fixed)} parameters, gradients and AdamW's moments, {account.param_dtype}",
        "": f"+ {size(memory.activations)} activations of {shape}, {account.dtype} (estimate)",
        " ": f"or {size(memory.activations_remat)} of them with layers recomputed (policy.remat=full)",
        "hash": model.hash(),
    }
    for name, text in rows.items():
        table.add_row(name, text)
    return Padding(table, (0, 0, 1, 1))


def _conventions(flops: dict[str, float]) -> str:
    return "   ".join(f"{name} {short(count)}" for name, count in flops.items())


def short(count: float) -> str:
    """A count in four digits: 758.9k; – for nothing."""
    for factor, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= factor:
            return f"{count / factor:.4g}{unit}"
    return f"{count:.4g}" if count else "–"


def size(count: float) -> str:
    """A number of bytes with a binary unit."""
    units = ("B", "KiB", "MiB", "GiB", "TiB")
    step = 0
    while count >= 1024 and step < len(units) - 1:
        count, step = count / 1024, step + 1
    return f"{count:.4g} {units[step]}"
