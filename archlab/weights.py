"""Canonical weights: a flat mapping from parameter path to NumPy array, the same for every backend."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import ml_dtypes
import numpy as np

from archlab.errors import InputError, nearest
from archlab.spec import Part, schema

TRANSPOSED = "transposed"
"""The key of a file's metadata that lists the matrices that lie with their last two axes swapped, as (out, in)."""

Weights = dict[str, np.ndarray]

DTYPES = {
    "float64": np.dtype(np.float64),
    "float32": np.dtype(np.float32),
    "bfloat16": np.dtype(ml_dtypes.bfloat16),
    "float16": np.dtype(np.float16),
}


class Drawn(Mapping[str, np.ndarray]):
    """First values of all parameters: a pure function of the seed and each parameter's path.

    Each is drawn when it is asked for and not kept, so that a model takes the memory of its own arrays.
    """

    def __init__(self, part: Part, seed: int, dtype: str = "float32") -> None:
        self.table, self.seed, self.dtype = schema(part), seed, DTYPES[dtype]

    def __getitem__(self, path: str) -> np.ndarray:
        param = self.table[path]
        return param.init.draw(self.seed, path, param.shape, param.fan_in, self.dtype)

    def __iter__(self) -> Iterator[str]:
        return iter(self.table)

    def __len__(self) -> int:
        return len(self.table)


def initial(part: Part, seed: int, dtype: str = "float32") -> Weights:
    """All of :class:`Drawn`, in memory."""
    return dict(Drawn(part, seed, dtype))


def check(part: Part, weights: Mapping[str, Any], where: str = "weights") -> None:
    """Raise :class:`InputError` unless ``weights`` holds exactly the parameters of ``part``."""
    check_shapes({path: param.shape for path, param in schema(part).items()}, weights, where)


def check_shapes(shapes: Mapping[str, tuple[int, ...]], arrays: Mapping[str, Any], where: str) -> None:
    """Raise :class:`InputError` unless ``arrays`` has exactly the names and shapes of ``shapes``."""
    for path in shapes:
        if path not in arrays:
            raise InputError(f"{where}: the parameter {path!r} is missing; is this another architecture's file?")
    for path, value in arrays.items():
        if path not in shapes:
            raise InputError(f"{where}: {path!r} is no parameter of this architecture; {nearest(path, shapes)}")
        if tuple(value.shape) != shapes[path]:
            found = f"{path!r} has the shape {tuple(value.shape)}"
            raise InputError(f"{where}: {found}, this architecture needs {shapes[path]}")


def save(path: str | Path, weights: Mapping[str, np.ndarray], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a safetensors file atomically; ``metadata`` values are stored as JSON."""
    from safetensors.numpy import save_file

    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(path.name + ".partial")
    text = {key: json.dumps(value) for key, value in (metadata or {}).items()}
    save_file({k: np.ascontiguousarray(v) for k, v in weights.items()}, str(partial), metadata=text)
    partial.replace(path)


def load(path: str | Path) -> tuple[Weights, dict[str, Any]]:
    """The arrays of a safetensors file bit for bit, and the metadata that :func:`save` was given.

    They are mapped: read where they are looked at, and what is written to them stays in this process. Matrices that a
    file names as :data:`TRANSPOSED` are turned back: views, whose columns lie together.
    """
    from safetensors import SafetensorError, safe_open

    from archlab.hf.tensors import SafeTensors

    path = Path(path)
    if not path.is_file():
        raise InputError(f"no such weights file: {path}")
    try:
        with safe_open(str(path), framework="numpy") as file:
            metadata = {k: _json(v) for k, v in (file.metadata() or {}).items() if k != TRANSPOSED}
    except (SafetensorError, OSError) as error:
        raise InputError(f"{path} is not a whole safetensors file ({error}); it may be cut off or foreign") from None
    tensors = SafeTensors([path])
    return {name: tensors.read(name) for name in tensors.entries}, metadata


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        return text
