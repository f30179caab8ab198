"""The tensors of a checkpoint, one at a time, from where they lie: no file is held in memory whole."""

import json
import math
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import ml_dtypes
import numpy as np

from archlab.errors import InputError
from archlab.weights import TRANSPOSED

DTYPES = {
    "F64": np.dtype(np.float64), "F32": np.dtype(np.float32), "F16": np.dtype(np.float16),
    "BF16": np.dtype(ml_dtypes.bfloat16), "I64": np.dtype(np.int64), "I32": np.dtype(np.int32),
    "I16": np.dtype(np.int16), "I8": np.dtype(np.int8), "U64": np.dtype(np.uint64), "U32": np.dtype(np.uint32),
    "U16": np.dtype(np.uint16), "U8": np.dtype(np.uint8), "BOOL": np.dtype(np.bool_),
}  # fmt: skip
"""What safetensors calls them; float8 and narrower ones are quantised, which archlab does not read."""

INDEX = "model.safetensors.index.json"


@dataclass(frozen=True, kw_only=True)
class Entry:
    """What is known of a tensor before it is read."""

    dtype: np.dtype
    shape: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a tensor's bytes lie in a file, row by row; ``transposed`` with its last two axes swapped."""

    file: Path
    offset: int
    transposed: bool


class Tensors(Protocol):
    """Named tensors, read when they are asked for."""

    @property
    def entries(self) -> Mapping[str, Entry]:
        """What there is."""
        ...

    def read(self, name: str) -> np.ndarray:
        """The tensor bit for bit, in its own dtype."""
        ...

    def place(self, name: str) -> Place | None:
        """Where its bytes lie; None where they are in no file of their own."""
        ...


class SafeTensors:
    """Those of safetensors files; of ours too, which name matrices that lie transposed."""

    def __init__(self, files: Iterable[Path]) -> None:
        self.entries: dict[str, Entry] = {}
        self._places: dict[str, Place] = {}
        for file in files:
            self._add(file)

    def _add(self, file: Path) -> None:
        header, start = _header(file)
        transposed = json.loads(header.pop("__metadata__", {}).get(TRANSPOSED, "[]"))
        for name, item in header.items():
            if name in self.entries:
                raise InputError(f"{file}: the tensor {name!r} is also in {self._places[name].file}; keep one")
            if item["dtype"] not in DTYPES:
                known = ", ".join(DTYPES)
                raise InputError(f"{file}: {name!r} is stored as {item['dtype']}; archlab reads {known}")
            place = Place(file=file, offset=start + item["data_offsets"][0], transposed=name in transposed)
            shape = swapped(item["shape"]) if place.transposed else tuple(item["shape"])
            self.entries[name], self._places[name] = Entry(dtype=DTYPES[item["dtype"]], shape=shape), place

    def read(self, name: str) -> np.ndarray:
        place, entry = self._places[name], self.entries[name]
        if math.prod(entry.shape) == 0:
            return np.empty(entry.shape, entry.dtype)
        shape = swapped(entry.shape) if place.transposed else entry.shape
        # read when it is looked at; what is written to it stays here
        array = np.asarray(np.memmap(place.file, entry.dtype, "c", place.offset, shape))
        array = array if array.flags.aligned else array.copy()
        return array.swapaxes(-1, -2) if place.transposed else array

    def place(self, name: str) -> Place | None:
        return self._places[name]


def swapped(shape: Sequence[int]) -> tuple[int, ...]:
    """A shape with its last two axes swapped."""
    return (*shape[:-2], shape[-1], shape[-2])


def _header(file: Path) -> tuple[dict[str, Any], int]:
    """What a safetensors file says of its tensors, and where their bytes begin; the library checks it first."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(str(file), framework="numpy"):
            pass
        with file.open("rb") as stream:
            (length,) = struct.unpack("<Q", stream.read(8))
            return json.loads(stream.read(length)), 8 + length
    except (SafetensorError, OSError, ValueError) as error:
        raise InputError(f"{file} is not a whole safetensors file ({error}); it may be cut off or foreign") from None


class TorchFiles:
    """Those of ``pytorch_model.bin`` files, through PyTorch's reader of weights alone, which runs no code."""

    def __init__(self, files: Iterable[Path]) -> None:
        self._held: dict[str, Any] = {}
        for file in files:
            self._held |= _torch_file(file)
        self.entries = {
            name: Entry(dtype=_numpy_dtype(tensor), shape=tuple(tensor.shape)) for name, tensor in self._held.items()
        }

    def read(self, name: str) -> np.ndarray:
        import torch

        tensor = self._held[name].contiguous()
        if tensor.dtype == torch.bfloat16:
            return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
        return tensor.numpy()

    def place(self, name: str) -> Place | None:
        return None


def _torch_file(file: Path) -> dict[str, Any]:
    try:
        import torch
    except ImportError:
        raise InputError(
            f"{file} is a file of PyTorch; pip install 'archlab[torch]', or save it as safetensors"
        ) from None
    try:
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except Exception as error:  # the library raises what its pickle reader finds
        first = str(error).strip().splitlines()[0]
        raise InputError(f"{file} cannot be read as weights alone: {first}") from None
    return {name: value for name, value in state.items() if hasattr(value, "shape")}


def _numpy_dtype(tensor: Any) -> np.dtype:
    name = str(tensor.dtype).removeprefix("torch.")
    return np.dtype(ml_dtypes.bfloat16) if name == "bfloat16" else np.dtype(name)


FILES = (
    ("model.safetensors", INDEX, SafeTensors),
    ("pytorch_model.bin", "pytorch_model.bin.index.json", TorchFiles),
)


def has_tensors(folder: Path) -> bool:
    """Whether a folder holds some that :func:`open_folder` finds."""
    return any((folder / name).is_file() for whole, index, _ in FILES for name in (whole, index))


def open_folder(folder: Path) -> Tensors:
    """The tensors of a Hugging Face folder: one safetensors file, several with an index, or PyTorch's files."""
    for whole, index, kind in FILES:
        if (folder / index).is_file():
            return kind(_shards(folder / index))
        if (folder / whole).is_file():
            return kind([folder / whole])
    raise InputError(f"{folder} holds no weights: neither model.safetensors (or its index) nor pytorch_model.bin")


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_text(encoding="utf-8"))["weight_map"].values()))
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise InputError(f"{index} is no index of shards: {error!r}") from None
    for name in names:
        if Path(name).name != name or not (index.parent / name).is_file():
            raise InputError(f"{index} names the shard {name!r}, which is not beside it")
    return [index.parent / name for name in names]
