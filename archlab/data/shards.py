"""Token shards on disk: documents that were made into tokens once, mapped into memory when they are read.

``index.json`` in a folder of shards says what is in it; docs/data.md describes the format, and
:mod:`archlab.data.prepare` writes it. Every file is compared with its checksum before its first number is used.
"""

import hashlib
import json
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from archlab.data.documents.shards import INDEX
from archlab.data.joined import Joined
from archlab.errors import InputError
from archlab.files import sha256 as checksum_of
from archlab.tokenizers import TrainedTokenizer, load_tokenizer

TOKENIZER = "tokenizer.json"
VERSION = 1
_MAPPED = 512  # files that one store holds open at once

_verified: set[tuple[str, int, int, str]] = set()
_verifying = threading.Lock()


@dataclass(frozen=True, kw_only=True)
class ShardEntry:
    """What the index says of a shard.

    name, piece
        The beginning of its files' names, and the piece of input that it is made of.
    documents, tokens
        How many there are, tokens by field.
    files
        By file name ``bytes`` and ``sha256``.
    """

    name: str
    piece: int
    documents: int
    tokens: dict[str, int]
    files: dict[str, dict[str, Any]]


class ShardStore(Joined):
    """The documents in a folder of shards. Opening reads the index alone, however much data there is.

    Raises :class:`InputError` that names the file where one is not what was written, before any of it is used.
    """

    def __init__(self, folder: str | Path) -> None:
        self.folder = Path(folder).expanduser()
        self.index = read_index(self.folder)
        self.entries = entries(self.folder, self.index)
        if not self.entries:
            raise InputError(f"{self.folder} has no documents; prepare it again from data with some text")
        mapped = lru_cache(_MAPPED)(self._map)
        fields = tuple(self.index["fields"])
        self._shards = [_Shard(entry, fields, mapped) for entry in self.entries]
        super().__init__(self._shards)

    def keys(self) -> np.ndarray:
        """(N,) uint64: what decides which documents are held out, see :func:`archlab.data.split.key`."""
        return np.concatenate([shard.keys() for shard in self._shards])

    def bytes(self) -> int:
        """The size of all its arrays."""
        return sum(file["bytes"] for entry in self.entries for file in entry.files.values())

    def tokenizer(self) -> TrainedTokenizer:
        """The tokenizer that made the tokens."""
        for name, expected in self.index["tokenizer"]["files"].items():
            _verify(self.folder / name, expected["sha256"])
        return load_tokenizer(self.folder / TOKENIZER)

    def digest(self) -> str:
        """sha256 over the checksums of all files; it does not read them."""
        sums = [file["sha256"] for entry in self.entries for file in entry.files.values()]
        sums += [file["sha256"] for file in self.index["tokenizer"]["files"].values()]
        return hashlib.sha256("".join(sums).encode()).hexdigest()

    def _map(self, name: str, sha256: str) -> np.ndarray:
        path = self.folder / name
        _verify(path, sha256)
        return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))


class _Shard:
    """The documents of one shard."""

    def __init__(self, entry: ShardEntry, fields: tuple[str, ...], mapped: Callable[[str, str], np.ndarray]) -> None:
        self.field_names = fields
        self._entry, self._mapped = entry, mapped

    def __len__(self) -> int:
        return self._entry.documents

    def lengths(self, field: str) -> np.ndarray:
        return np.diff(self._array(f"{field}.offsets"))

    def total(self, field: str) -> int:
        return self._entry.tokens[field]

    def document(self, index: int, field: str) -> np.ndarray:
        start, stop = self._array(f"{field}.offsets")[index : index + 2]
        return self.tokens(field, start, stop)

    def tokens(self, field: str, start: int, stop: int) -> np.ndarray:
        return self._array(f"{field}.tokens")[start:stop].astype(np.int32)

    def keys(self) -> np.ndarray:
        return self._array("keys")

    def digest(self) -> str:
        return hashlib.sha256("".join(file["sha256"] for file in self._entry.files.values()).encode()).hexdigest()

    def _array(self, what: str) -> np.ndarray:
        name = file_name(self._entry.name, what)
        return self._mapped(name, self._entry.files[name]["sha256"])


def file_name(shard: str, what: str) -> str:
    """The file of a shard that holds its ``keys``, a field's ``….tokens`` or a field's ``….offsets``."""
    return f"{shard}.{what}.npy"


def read_index(folder: Path) -> dict[str, Any]:
    """The index of a folder of shards."""
    path = folder / INDEX
    if not path.is_file():
        again = "; it was not finished, run archlab data prepare again" if (folder / "plan.json").is_file() else ""
        raise InputError(f"{folder} is no folder of token shards: it has no {INDEX}{again}")
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        version = index["version"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise InputError(f"{path} cannot be read as the index of shards: {error!r}; prepare them again") from None
    if version != VERSION:
        raise InputError(f"{path} has the version {version}, this archlab reads {VERSION}; prepare the shards again")
    return index


def entries(folder: Path, index: dict[str, Any]) -> list[ShardEntry]:
    """The shards that an index lists, in order."""
    try:
        return [ShardEntry(**entry) for entry in index["shards"]]
    except (LookupError, TypeError) as error:
        raise InputError(f"{folder / INDEX} does not list shards: {error!r}; prepare them again") from None


def all_files(folder: Path) -> Iterator[tuple[str, int, str]]:
    """(name, bytes, sha256) of every file that the index of ``folder`` lists."""
    index = read_index(folder)
    tables = [index["tokenizer"]["files"], *(entry.files for entry in entries(folder, index))]
    for table in tables:
        yield from ((name, file["bytes"], file["sha256"]) for name, file in table.items())


def fault(path: Path, sha256: str) -> str | None:
    """What is wrong with a file that should have this checksum, or None."""
    try:
        found = checksum_of(path)
    except OSError as error:
        return f"cannot be read ({error.strerror})"
    return None if found == sha256 else f"has the sha256 {found[:12]}…, {sha256[:12]}… was written"


def _verify(path: Path, sha256: str) -> None:
    """Raise unless the file is what was written. Its checksum is computed once as long as size and time stay."""
    try:
        status = path.stat()
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); {_REMEDY}") from None
    known = str(path.resolve()), status.st_size, status.st_mtime_ns, sha256
    with _verifying:
        if known in _verified:
            return
        if wrong := fault(path, sha256):
            raise InputError(f"{path} {wrong}; {_REMEDY}")
        _verified.add(known)


_REMEDY = "delete that file and run the same archlab data prepare again, which makes it anew"
