"""What ``archlab tokenizer`` shows on a terminal."""

from collections.abc import Iterator, Sequence

from rich import box
from rich.cells import cell_len, set_cell_size
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from archlab.tokenizers import TrainedTokenizer
from archlab.tokenizers.statistics import Statistics, longest, ratio

COLOURS = ("cyan", "magenta", "green", "yellow", "bright_blue")


def visible(piece: str) -> str:
    """A piece with its white space to be seen: spaces as ·, others escaped."""
    return "".join("·" if c == " " else c if c.isprintable() else c.encode("unicode_escape").decode() for c in piece)


def token_lines(pieces: Sequence[str], ids: Sequence[int], width: int) -> Iterator[Text]:
    """Pieces side by side with their ids under them, in as many pairs of lines as it takes."""
    above, below = Text(), Text()
    for i, (piece, number) in enumerate(zip(map(visible, pieces), map(str, ids), strict=True)):
        cell = max(cell_len(piece), len(number))
        if above.cell_len and above.cell_len + cell > width:
            yield from (above, below)
            above, below = Text(), Text()
        colour = COLOURS[i % len(COLOURS)]
        above.append(set_cell_size(piece, cell), style=f"bold {colour}").append(" ")
        below.append(number.ljust(cell), style=f"dim {colour}").append(" ")
    if above.cell_len:
        yield from (above, below)


def headline(trained: TrainedTokenizer) -> Text:
    """How many tokens there are, and of what model."""
    model = type(trained.rules.model).__name__
    return Text.assemble((f"{trained.vocab_size:,} tokens", "bold"), f" ({model} in Hugging Face's terms)")


def rates(statistics: Statistics) -> Table:
    """How many tokens a text's characters, bytes, words and documents take."""
    shown = _table("", "count", "tokens for each", "in a token", right=range(1, 4))
    tokens = statistics.tokens
    for name in ("characters", "bytes", "words", "documents"):
        count = getattr(statistics, name)
        per_token = f"{ratio(count, tokens):,.2f}" if name != "documents" else ""
        shown.add_row(name, f"{count:,}", f"{ratio(tokens, count):,.2f}", per_token)
    shown.add_row("tokens", f"{tokens:,}")
    shown.caption = f"{statistics.unknown:.2%} of the tokens are unk; {statistics.used:.1%} of the vocabulary is used"
    return shown


def special_table(trained: TrainedTokenizer) -> Table:
    """The tokens that have a role, and the sentinels."""
    shown = _table("role", "token", "id", right=[2])
    for role, i in trained.special.items():
        shown.add_row(role, _name(trained, i), str(i))
    if trained.sentinels:
        first, last = trained.sentinels[0], trained.sentinels[-1]
        names = f"{_name(trained, first)} … {_name(trained, last)}" if first != last else _name(trained, first)
        shown.add_row("sentinels", names, f"{first} … {last}" if first != last else str(first))
    return shown


def _name(trained: TrainedTokenizer, i: int) -> str:
    return escape(visible(trained.pieces([i])[0]))


def tokens_table(trained: TrainedTokenizer, statistics: Statistics | None, top: int) -> Table:
    """The longest tokens, and where there are texts the most frequent ones beside them."""
    columns = [[(f"[cyan]{_name(trained, i)}[/]", str(i)) for i in longest(trained, top)]]
    heads, right = ["longest", "id"], [1]
    if statistics is not None:
        total = statistics.tokens
        found = statistics.most_frequent(top)
        frequent = [
            (f"[cyan]{_name(trained, i)}[/]", str(i), f"{count:,}", f"{count / total:.2%}") for i, count in found
        ]
        columns = [frequent, *columns]  # type: ignore[list-item]
        heads, right = ["most frequent", "id", "count", "share", "", *heads], [1, 2, 3, 6]
    shown = _table(*heads, right=right)
    for row in range(max(map(len, columns), default=0)):
        cells: list[str] = []
        for column in columns:
            empty = ("",) * len(column[0]) if column else ()
            cells += [*(column[row] if row < len(column) else empty), ""]
        shown.add_row(*cells[:-1])
    return shown


def _table(*heads: str, right: Sequence[int]) -> Table:
    shown = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold", caption_justify="left")
    for i, head in enumerate(heads):
        shown.add_column(head, justify="right" if i in right else "left", overflow="fold")
    return shown
