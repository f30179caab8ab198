"""``archlab describe``: an architecture's parts, sizes and costs."""

from typing import Annotated

import typer

EXAMPLES = ("archlab describe configs/tiny_llama.yaml", "archlab describe x.yaml model.stack.pattern[0].mixer.heads=8")


def command(
    config: Annotated[str, typer.Argument(help="A config file or a run directory.")],
    overrides: Annotated[list[str] | None, typer.Argument(help="key=value")] = None,
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Show parts."""
    from archlab.errors import InputError

    raise InputError(f"{config} {overrides} {json} model.stack.pattern[0].mixer: no")
