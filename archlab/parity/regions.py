"""Generated regions of Markdown files: what stands between two markers is a program's, the rest is its author's."""

from pathlib import Path

from archlab.errors import InputError


def empty(name: str) -> str:
    """A region with nothing in it yet, to be put into a file."""
    begin, end = _markers(name)
    return f"{begin}\n{end}\n"


def read(path: Path, name: str) -> str:
    """What stands in the region ``name`` of a file."""
    return _parts(path, name)[1]


def rewrite(path: Path, name: str, text: str) -> None:
    """Put ``text`` into the region ``name`` of a file, and leave everything else as it is."""
    before, _, after = _parts(path, name)
    path.write_text(f"{before}{text}{after}", encoding="utf-8")


def _parts(path: Path, name: str) -> tuple[str, str, str]:
    """Up to the region, the region, and from its end on."""
    begin, end = _markers(name)
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    head, found, rest = text.partition(f"{begin}\n")
    inside, ended, tail = rest.partition(end)
    if not found or not ended:
        raise InputError(f"{path} has no place for what is generated: put the lines {begin} and {end} into it")
    return head + found, inside, ended + tail


def _markers(name: str) -> tuple[str, str]:
    return f"<!-- {name}: begin (generated) -->", f"<!-- {name}: end -->"
