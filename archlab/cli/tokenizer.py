"""``archlab tokenizer``: train one, see what it makes of a text, and what it is."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from archlab.cli import epilog
from archlab.cli.arguments import Json

if TYPE_CHECKING:
    from rich.console import Console

    from archlab.tokenizers import Tokenizer, TrainedTokenizer
    from archlab.tokenizers.statistics import Statistics

TRAIN = (
    "archlab tokenizer train --kind bpe --vocab 500 --casing turkish_lower text.txt --out tokenizers/small",
    "archlab tokenizer train --kind unigram --vocab 8000 --special pad='<pad>' --special eos='</s>' corpus --out t5",
)
ENCODE = ("archlab tokenizer encode tokenizers/small 'köşedeki şişe'",)
DECODE = ("archlab tokenizer decode tokenizers/small 291 64 318",)
INSPECT = ("archlab tokenizer inspect tokenizers/small text.txt",)
EXAMPLES = (TRAIN[0], *ENCODE, *DECODE, *INSPECT)

KINDS = {
    "char": "CharTokenizer",
    "byte": "ByteTokenizer",
    "bpe": "BPETokenizer",
    "word": "WordTokenizer",
    "wordpiece": "WordPieceTokenizer",
    "unigram": "UnigramTokenizer",
}
WIDTH = 100  # of a file or a pipe, which has none of its own

command = typer.Typer(no_args_is_help=True, help="Train tokenizers, and see what they make of text.")

TokenizerArgument = Annotated[
    Path,
    typer.Argument(
        metavar="TOKENIZER",
        help="A tokenizer.json, a folder with one (a run directory too), or a .tiktoken file.",
        show_default=False,
    ),
]


@command.command("train", epilog=epilog(TRAIN))
def train(
    files: Annotated[
        list[str], typer.Argument(metavar="FILES", help="Text files, folders or named datasets.", show_default=False)
    ],
    kind: Annotated[str, typer.Option(help=f"{', '.join(KINDS)}.", show_default=False)],
    out: Annotated[Path, typer.Option(metavar="DIR", help="A folder for tokenizer.json.", show_default=False)],
    vocab: Annotated[
        int | None, typer.Option(help="Tokens in all; char and byte have as many as they need.", show_default=False)
    ] = None,
    min_count: Annotated[
        int | None, typer.Option(help="Of word: how often a word must stand in the text.", show_default="1")
    ] = None,
    form: Annotated[str | None, typer.Option(help="Unicode form: NFC or NFKC.", show_default="as it is")] = None,
    casing: Annotated[
        str | None, typer.Option(help="keep, lower, or turkish_lower (I to ı, İ to i).", show_default="keep")
    ] = None,
    special: Annotated[
        list[str] | None,
        typer.Option(metavar="ROLE=TOKEN", help="Of pad, bos, eos, unk, mask, sep, cls; may be repeated."),
    ] = None,
    sentinels: Annotated[int, typer.Option(help="How many of <extra_id_0> … for T5's objectives.")] = 0,
    as_json: Json = False,
) -> None:
    """Learn a tokenizer from texts; each file is a document, line ends included."""
    from archlab.errors import InputError

    normaliser = {key: value for key, value in (("form", form), ("casing", casing)) if value is not None}
    fields = {"vocab": vocab, "min_count": min_count, "normaliser": normaliser or None}
    given = {name: value for name, value in fields.items() if value is not None}
    config = _config(kind, given | {"special": _roles(special or ()), "sentinels": sentinels})
    if (out / "tokenizer.json").exists():
        raise InputError(f"{out} has a tokenizer.json already; give another --out, or remove it")
    trained = _learn(config, files)
    try:
        out.mkdir(parents=True, exist_ok=True)
        trained.save(out)
    except OSError as error:
        raise InputError(f"--out {out} cannot be written: {error}") from None
    if as_json:
        typer.echo(json.dumps(_facts(trained) | {"path": str(out)}, ensure_ascii=False))
        return
    typer.echo(f"{out / 'tokenizer.json'}: {type(config).__name__}, {trained.vocab_size:,} tokens")


@command.command("encode", epilog=epilog(ENCODE))
def encode(
    tokenizer: TokenizerArgument,
    text: Annotated[str, typer.Argument(help="The text, or - for what comes in on stdin.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Show the tokens of a text with their ids."""
    from archlab.cli import tokenizer_tables as tables
    from archlab.tokenizers import load_tokenizer

    trained = load_tokenizer(tokenizer)
    text = typer.get_text_stream("stdin", encoding="utf-8").read() if text == "-" else text
    ids = trained.encode(text).tolist()
    pieces = trained.pieces(ids)
    if as_json:
        typer.echo(json.dumps({"text": text, "ids": ids, "pieces": pieces}, ensure_ascii=False))
        return
    console = _console()
    for line in tables.token_lines(pieces, ids, console.width):
        console.print(line, soft_wrap=True)
    rate = f", {len(text) / len(ids):.2f} characters a token" if ids else ""
    console.print(f"{len(ids):,} tokens, {len(text):,} characters{rate}", style="dim")


@command.command("decode", epilog=epilog(DECODE))
def decode(
    tokenizer: TokenizerArgument,
    ids: Annotated[list[int], typer.Argument(help="Ids of tokens.", show_default=False)],
    as_json: Json = False,
) -> None:
    """Print the text of ids."""
    from archlab.tokenizers import load_tokenizer

    text = load_tokenizer(tokenizer).decode(ids)
    typer.echo(json.dumps({"text": text, "ids": ids}, ensure_ascii=False) if as_json else text)


@command.command("inspect", epilog=epilog(INSPECT))
def inspect(
    tokenizer: TokenizerArgument,
    files: Annotated[
        list[str] | None, typer.Argument(metavar="FILES", help="Texts to measure it on.", show_default=False)
    ] = None,
    top: Annotated[int, typer.Option(min=0, help="How many of the most frequent and longest tokens.")] = 10,
    as_json: Json = False,
) -> None:
    """Show a tokenizer's vocabulary and special tokens, and how it fares with texts."""
    from archlab.cli import tokenizer_tables as tables
    from archlab.data.datasets import load_text
    from archlab.tokenizers import load_tokenizer
    from archlab.tokenizers.statistics import measure

    trained = load_tokenizer(tokenizer)
    statistics = measure(trained, map(load_text, files)) if files else None
    if as_json:
        measured = {} if statistics is None else _measured(statistics, top)
        typer.echo(json.dumps(_facts(trained) | measured, ensure_ascii=False))
        return
    console = _console()
    console.print(tables.headline(trained))
    if statistics is not None:
        console.print(tables.rates(statistics))
    if trained.special or trained.sentinels:
        console.print(tables.special_table(trained))
    console.print(tables.tokens_table(trained, statistics, top))


# --- training -----------------------------------------------------------------------------------------


def _config(kind: str, fields: dict[str, Any]) -> "Tokenizer":
    from archlab.config import FieldError
    from archlab.errors import InputError, nearest
    from archlab.tokenizers import Tokenizer

    if kind not in KINDS:
        raise InputError(f"--kind {kind}: there is no such tokenizer; {nearest(kind, KINDS)}")
    try:
        return Tokenizer.from_dict({"type": KINDS[kind]} | fields)
    except FieldError as error:
        raise InputError(_as_option(error)) from None


def _as_option(error: Any) -> str:
    """A complaint about a field, as one about its option."""
    return f"--{error.path.split('.')[-1].replace('_', '-')}: {error.message}"


def _roles(given: Sequence[str]) -> dict[str, str]:
    from archlab.errors import InputError

    found = {}
    for entry in given:
        role, equals, token = entry.partition("=")
        if not equals:
            raise InputError(f"--special {entry}: not ROLE=TOKEN, as eos='</s>'")
        found[role] = token
    return found


def _learn(config: "Tokenizer", files: Sequence[str]) -> "TrainedTokenizer":
    """The tokenizer, with a bar for what is read and then a clock while it learns; on stderr, for terminals."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    from archlab.config import FieldError
    from archlab.data.datasets import load_text
    from archlab.errors import InputError
    from archlab.tokenizers.words import pieces

    texts = [load_text(file) for file in files]
    columns = (SpinnerColumn(), TextColumn("[bold]{task.description}"), BarColumn(bar_width=None), TimeElapsedColumn())
    console = Console(stderr=True)
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("reading", total=sum(map(len, texts)))

        def read() -> Iterator[str]:
            for text in texts:
                for piece in pieces(text):  # all kinds learn from pieces what they learn from the whole
                    yield piece
                    progress.advance(task, len(piece))
            progress.update(task, description="learning", total=None)

        try:
            return config.train(read())
        except FieldError as error:
            raise InputError(_as_option(error)) from None


# --- showing ------------------------------------------------------------------------------------------


def _console() -> "Console":
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = WIDTH
    return console


def _facts(trained: "TrainedTokenizer") -> dict[str, Any]:
    return {"vocab_size": trained.vocab_size, "special": trained.special, "sentinels": trained.sentinels}


def _measured(statistics: "Statistics", top: int) -> dict[str, Any]:
    from archlab.tokenizers.statistics import ratio

    trained, tokens = statistics.tokenizer, statistics.tokens
    frequent = statistics.most_frequent(top)
    pieces = trained.pieces([i for i, _ in frequent])
    return {
        "documents": statistics.documents,
        "characters": statistics.characters,
        "bytes": statistics.bytes,
        "words": statistics.words,
        "tokens": tokens,
        "tokens_per_character": ratio(tokens, statistics.characters),
        "tokens_per_byte": ratio(tokens, statistics.bytes),
        "tokens_per_word": ratio(tokens, statistics.words),
        "unknown": statistics.unknown,
        "vocabulary_used": statistics.used,
        "most_frequent": [
            {"id": i, "piece": piece, "count": count} for (i, count), piece in zip(frequent, pieces, strict=True)
        ],
    }
