"""``archlab export``: a run or a model folder as a Hugging Face folder."""

from pathlib import Path
from typing import Annotated

import typer

from archlab.cli.arguments import Json

EXAMPLES = (
    "archlab export runs/first exported",
    "archlab export models/llama exported --shard-size 2000",
)


def command(
    source: Annotated[
        Path, typer.Argument(metavar="RUN", help="A run, a model folder or a Hugging Face folder.", show_default=False)
    ],
    out: Annotated[Path, typer.Argument(metavar="HF_DIR", help="A new folder.", show_default=False)],
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best, or a step.")] = "last",
    generated: Annotated[
        bool, typer.Option("--generated", help="With code of its own, even where transformers has the architecture.")
    ] = False,
    shard_size: Annotated[int, typer.Option(metavar="MB", min=1, help="Of a file of tensors at most.")] = 5000,
    parity: Annotated[
        bool, typer.Option("--parity/--no-parity", help="Measure both backends for the model card of generated code.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Write what transformers loads: a family's own format, or for any other architecture a folder with its code."""
    import json

    from archlab import hf
    from archlab.hf.facts import facts_of
    from archlab.saved import open_saved

    opened = open_saved(source, checkpoint)
    became = hf.export(
        out,
        opened.model,
        opened.tensors,
        origin=opened.origin,
        tokenizer=opened.find_tokenizer(),
        facts=lambda: facts_of(opened, parity=parity),
        generated=generated,
        largest=shard_size * 10**6,
    )
    how = "AutoModel….from_pretrained(…, trust_remote_code=True)" if became == "generated" else f"transformers.{became}"
    if as_json:
        typer.echo(json.dumps({"folder": str(out), "architecture": became, "step": opened.step}))
    else:
        typer.echo(f"{out}: {how}")
