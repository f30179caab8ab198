"""Files that are whole: written in one step, read up to where a crash left them, compared by checksum."""

import hashlib
from pathlib import Path


def write_text(path: Path, text: str) -> None:
    """Write a file in one step, as UTF-8 and with the line ends of ``text``: it is whole or as before."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8", newline="")
    partial.replace(path)


def whole_lines(text: str) -> list[str]:
    """The lines of a text that is appended to; a last one that a crash cut off is left out."""
    return text[: text.rfind("\n") + 1].splitlines()


def sha256(path: Path) -> str:
    """The checksum of a file. Raises :class:`OSError` where it cannot be read."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
