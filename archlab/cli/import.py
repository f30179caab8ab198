"""``archlab import``: a Hugging Face checkpoint as a model folder of archlab."""

from pathlib import Path
from typing import Annotated

import typer

from archlab.cli.arguments import Json

EXAMPLES = (
    "archlab import downloads/Llama-3.2-1B models/llama",
    "archlab generate models/llama --backend jax --prompt 'The sea'",
)


def command(
    source: Annotated[
        str,
        typer.Argument(
            metavar="HF_DIR", help="A Hugging Face folder, or a model's name on the hub.", show_default=False
        ),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new folder.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Read a Hugging Face checkpoint: config to spec, tensors to canonical weights, tokenizer and settings kept."""
    import json
    import time

    from archlab.cli.data_progress import Progress
    from archlab.hf import hub
    from archlab.hf.folders import converted, open_checkpoint, why_no_tokenizer

    folder = hub.folder(source)
    checkpoint = open_checkpoint(folder)
    total, done, began = checkpoint.nbytes, 0, time.monotonic()
    with Progress() as progress:

        def count(size: int) -> None:
            nonlocal done
            done += size
            progress.show("converting", done, total)

        made = converted(checkpoint, out, count)
    result = {
        "model": str(out), "family": checkpoint.family.model_type, "architecture": checkpoint.architecture,
        "parameters": len(checkpoint.conversion.shapes), "bytes": total, "tokenizer": made.has_tokenizer,
        "seconds": round(time.monotonic() - began, 3),
    }  # fmt: skip
    if as_json:
        typer.echo(json.dumps(result))
        return
    typer.echo(
        f"{checkpoint.architecture}: {result['parameters']:,} parameters' arrays, {total / 1e6:,.1f} MB in {out}"
    )
    if not made.has_tokenizer:
        typer.echo(f"no tokenizer for archlab: {why_no_tokenizer(folder)}")
