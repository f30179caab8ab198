"""Safetensors files written tensor by tensor, as they come: what is larger than memory can be written too."""

import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archlab.files import write_text
from archlab.hf.tensors import DTYPES, INDEX, Entry

Progress = Callable[[int], None]
"""Hears how many bytes were written."""
PYTORCH = {"format": "pt"}
"""The metadata that transformers asks for."""


def silent(count: int) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A tensor to be written: what it is, and how its bytes come, in parts along the first axis."""

    name: str
    entry: Entry
    parts: Callable[[], Iterator[np.ndarray]]

    @property
    def nbytes(self) -> int:
        return math.prod(self.entry.shape) * self.entry.dtype.itemsize


def write(
    path: Path, pieces: Iterable[Piece], metadata: Mapping[str, str], on_bytes: Progress = silent
) -> None:  # fmt: skip
    """A safetensors file of ``pieces``, one after the other, whole or not there; ``on_bytes`` hears of each part.

    The next part is read and laid out while one is written.
    """
    pieces = list(pieces)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb") as stream:
        stream.write(_encoded(pieces, metadata))
        for part in _ahead(_parts(pieces)):
            stream.write(part.reshape(-1).view(np.uint8).data)
            on_bytes(part.nbytes)
    partial.replace(path)


def _parts(pieces: list[Piece]) -> Iterator[np.ndarray]:
    """The parts of all pieces, as they go into the file."""
    for piece in pieces:
        count = 0
        for part in piece.parts():
            assert part.dtype == piece.entry.dtype, f"{piece.name} is {part.dtype}, not {piece.entry.dtype}"
            count += part.nbytes
            yield in_rows(part)
        assert count == piece.nbytes, f"{piece.name} has {count} bytes, not {piece.nbytes}"


def _ahead(parts: Iterator[np.ndarray]) -> Iterator[np.ndarray]:
    """``parts``, each made in another thread while the one before is used."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, parts, None)
        while (part := waiting.result()) is not None:
            waiting = pool.submit(next, parts, None)
            yield part


PANEL = 16
"""Columns that a transposed matrix is copied by; NumPy alone takes some six times as long."""


def in_rows(array: np.ndarray) -> np.ndarray:
    """``array`` with its rows one after the other in memory."""
    if array.ndim != 2 or array.strides[0] >= array.strides[1]:
        return np.ascontiguousarray(array)
    out = np.empty(array.shape, array.dtype)
    for start in range(0, array.shape[1], PANEL):
        out[:, start : start + PANEL] = array[:, start : start + PANEL]
    return out


def write_shards(folder: Path, pieces: Iterable[Piece], largest: int, on_bytes: Progress = silent) -> None:
    """``model.safetensors`` in ``folder``, or several files of at most ``largest`` bytes with an index."""
    shards = sharded(pieces, largest)
    if len(shards) == 1:
        write(folder / "model.safetensors", shards[0], PYTORCH, on_bytes)
        return
    places: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        name = f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        write(folder / name, shard, PYTORCH, on_bytes)
        places |= {piece.name: name for piece in shard}
    total = sum(piece.nbytes for shard in shards for piece in shard)
    index = {"metadata": {"total_size": total}, "weight_map": places}
    write_text(folder / INDEX, json.dumps(index, indent=2) + "\n")


def held(name: str, array: np.ndarray) -> Piece:
    """An array in memory as a piece."""
    return Piece(name=name, entry=Entry(dtype=array.dtype, shape=array.shape), parts=lambda: iter([array]))


def _encoded(pieces: list[Piece], metadata: Mapping[str, str]) -> bytes:
    """The header, filled up with spaces so that the bytes after it begin at a multiple of 8."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    table: dict[str, Any] = {"__metadata__": dict(metadata)} if metadata else {}
    offset = 0
    for piece in pieces:
        end = offset + piece.nbytes
        table[piece.name] = {
            "dtype": names[piece.entry.dtype], "shape": list(piece.entry.shape), "data_offsets": [offset, end],
        }  # fmt: skip
        offset = end
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text


def sharded(pieces: Iterable[Piece], largest: int) -> list[list[Piece]]:
    """``pieces`` in order, in shards of at most ``largest`` bytes, or of one tensor where it is larger."""
    shards: list[list[Piece]] = [[]]
    size = 0
    for piece in pieces:
        if shards[-1] and size + piece.nbytes > largest:
            shards.append([])
            size = 0
        shards[-1].append(piece)
        size += piece.nbytes
    return shards
