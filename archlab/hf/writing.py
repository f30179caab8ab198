"""Safetensors files written tensor by tensor, as they come: what is larger than memory can be written too."""

import json
import math
import os
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np

from archlab.errors import InputError
from archlab.files import write_text
from archlab.hf.tensors import DTYPES, INDEX, Entry, Place, swapped
from archlab.weights import TRANSPOSED

Progress = Callable[[int], None]
"""Hears how many bytes were written."""
SHARD = 5 * 10**9
"""Bytes of a file of a checkpoint at most, as transformers writes them."""
PYTORCH = {"format": "pt"}
"""The metadata that transformers asks for."""


def silent(count: int) -> None:
    """Say nothing."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A tensor to be written: what it is, and how its bytes come, in parts along the first axis.

    place
        Where they lie in a file already, to be copied as they are.
    """

    name: str
    entry: Entry
    parts: Callable[[], Iterator[np.ndarray]]
    place: Place | None = None

    @property
    def nbytes(self) -> int:
        return math.prod(self.entry.shape) * self.entry.dtype.itemsize


def write(
    path: Path, pieces: Iterable[Piece], metadata: Mapping[str, str], on_bytes: Progress = silent
) -> None:  # fmt: skip
    """A safetensors file of ``pieces``, one after the other, whole or not there; ``on_bytes`` hears of each part.

    What lies in a file already is copied, and named in the metadata where it lies transposed. Of everything else the
    next part is read and laid out while one is written.
    """
    pieces = list(pieces)
    partial = path.with_name(path.name + ".partial")
    with partial.open("wb", buffering=0) as stream:
        _put(stream, _encoded(pieces, metadata))
        for piece in pieces:
            if piece.place is not None:
                _copy(stream, piece.place, piece.nbytes)
                on_bytes(piece.nbytes)
                continue
            for part in _ahead(_parts(piece)):
                _put(stream, part.reshape(-1).view(np.uint8).data)
                on_bytes(part.nbytes)
    partial.replace(path)


def _put(stream: FileIO, data: Any) -> None:
    """Write all of some bytes."""
    view = memoryview(data)
    while view:
        view = view[stream.write(view) :]


def _copy(stream: FileIO, place: Place, count: int) -> None:
    """``count`` bytes of another file, inside the kernel where it can."""
    with place.file.open("rb") as source:
        end = place.offset + count
        while (offset := end - count) < end:
            try:
                moved = os.copy_file_range(source.fileno(), stream.fileno(), count, offset)
            except (AttributeError, OSError):  # not on this system, or not between these files
                data = os.pread(source.fileno(), min(count, CHUNK), offset)
                _put(stream, data)
                moved = len(data)
            if moved == 0:
                raise InputError(f"{place.file} has become shorter while it was read; start again")
            count -= moved


CHUNK, PAGE = 1 << 24, 1 << 12


def _parts(piece: Piece) -> Iterator[np.ndarray]:
    """The parts of a piece, as they go into the file."""
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
    """The header, filled up with spaces so that the bytes after it begin at a page: copying is faster then."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    turned = [piece.name for piece in pieces if piece.place is not None and piece.place.transposed]
    said = dict(metadata) | ({TRANSPOSED: json.dumps(turned)} if turned else {})
    table: dict[str, Any] = {"__metadata__": said} if said else {}
    offset = 0
    for piece in pieces:
        end = offset + piece.nbytes
        shape = swapped(piece.entry.shape) if piece.name in turned else piece.entry.shape
        table[piece.name] = {
            "dtype": names[piece.entry.dtype], "shape": list(shape), "data_offsets": [offset, end],
        }  # fmt: skip
        offset = end
    text = json.dumps(table, separators=(",", ":")).encode()
    text += b" " * (-(8 + len(text)) % PAGE)
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
