"""``archlab extend``: more tokens for a model that is there."""

from pathlib import Path
from typing import Annotated

import typer

EXAMPLES = (
    "archlab extend runs/first models/chat --special pad='<pad>' --token '<user>' --token '<assistant>'",
    "archlab extend models/llama models/llama-tr --vocab 130000 --rows mean",
)


def command(
    source: Annotated[
        Path,
        typer.Argument(metavar="MODEL", help="A run, a model folder or a Hugging Face folder.", show_default=False),
    ],
    out: Annotated[Path, typer.Argument(metavar="OUT", help="A new model folder.", show_default=False)],
    token: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A special token without a role.", show_default=False)
    ] = None,
    special: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ROLE=TEXT", help="A special token: pad, bos, eos, unk, mask, sep, cls.", show_default=False
        ),
    ] = None,
    vocab: Annotated[
        int | None, typer.Option(min=1, help="Tokens in all.", show_default="as many as the tokenizer then has")
    ] = None,
    rows: Annotated[str, typer.Option(help="New entries: init draws them, mean takes the old ones' mean.")] = "init",
    seed: Annotated[int, typer.Option(help="Of drawn entries.")] = 0,
    checkpoint: Annotated[str, typer.Option(help="Of a run: last, best, or a step.")] = "last",
) -> None:
    """Give a model more tokens: its tables grow, and everything it knows stays as it is."""
    from archlab.errors import InputError, nearest
    from archlab.model_folder import check_new, save_model
    from archlab.saved import open_saved
    from archlab.vocabulary import extend

    if rows not in ("init", "mean"):
        raise InputError(f"--rows {rows}: {nearest(rows, ('init', 'mean'))}")
    check_new(out)
    opened = open_saved(source, checkpoint)
    tokenizer = opened.find_tokenizer()
    if token or special:
        if tokenizer is None:
            raise InputError(f"{source} has no tokenizer to give tokens to; leave --token and --special out")
        tokenizer = tokenizer.extend(_roles(special or []), 0) if special else tokenizer
        tokenizer = tokenizer.extend(token) if token else tokenizer
    known = opened.model.vocabulary() or 0
    wanted = vocab or max(known, tokenizer.vocab_size if tokenizer else known)
    if tokenizer is not None and wanted < tokenizer.vocab_size:
        raise InputError(
            f"--vocab {wanted} is fewer than the tokenizer's {tokenizer.vocab_size} tokens; give at least that"
        )
    model, weights = extend(opened.model, opened.weights(), wanted, rows=rows, seed=seed)  # type: ignore[arg-type]
    save_model(out, model, weights, tokenizer)
    typer.echo(f"{known:,} → {wanted:,} tokens in {out}")


def _roles(texts: list[str]) -> dict[str, str]:
    from archlab.errors import InputError

    roles = {}
    for text in texts:
        role, equals, token = text.partition("=")
        if not equals or not token:
            raise InputError(f"--special {text}: write ROLE=TEXT, for example pad='<pad>'")
        roles[role] = token
    return roles
