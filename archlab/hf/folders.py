"""Whole folders: a Hugging Face checkpoint in, a model folder or weights out, and the other way."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archlab import weights as canonical
from archlab.errors import InputError
from archlab.files import write_text
from archlab.hf.conversion import Conversion, Held, collected
from archlab.hf.family import Family, of_fields
from archlab.hf.fields import Fields
from archlab.hf.matching import match, same_function
from archlab.hf.tensors import Tensors, has_tensors, open_folder
from archlab.hf.writing import SHARD, Piece, Progress, silent, write, write_shards
from archlab.model import Model
from archlab.model_folder import (
    ORIGIN,
    TOKENIZER,
    WEIGHTS,
    ModelFolder,
    check_new,
    write_spec,
)
from archlab.tokenizers import TrainedTokenizer, load_tokenizer

KEPT = (".json", ".txt", ".model", ".jinja", ".tiktoken")


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """A Hugging Face folder that was understood: what it holds, and the parameters that are made of it.

    These are read when they are asked for.
    """

    path: Path
    fields: Fields
    architecture: str
    conversion: Conversion
    pieces: tuple[Piece, ...]

    @property
    def family(self) -> Family:
        return self.conversion.family

    @property
    def model(self) -> Model:
        return self.conversion.model

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(piece.nbytes for piece in self.pieces)


def open_checkpoint(folder: str | Path) -> Checkpoint:
    """Read a folder's config and the names of its tensors; nothing else of them yet.

    Raises :class:`InputError` for a model that is not supported, a field that is not understood, and a tensor that is
    missing, of another shape, or left over.
    """
    folder = Path(folder)
    fields, family, architecture, model = _read_config(folder)
    tensors = open_folder(folder)
    if family.told:
        model = _understood(Fields(family.told(fields.data, tensors), fields.where))[2]
    conversion = Conversion(family, model)
    pieces = tuple(conversion.ours(tensors, str(folder)))
    return Checkpoint(path=folder, fields=fields, architecture=architecture, conversion=conversion, pieces=pieces)


def load_spec(folder: str | Path) -> Model:
    """The spec of a Hugging Face folder: what its config says and, where it holds tensors, what they tell."""
    folder = Path(folder)
    return open_checkpoint(folder).model if has_tensors(folder) else _read_config(folder)[3]


def spec_of(config: Mapping[str, Any], where: str = "config.json") -> Model:
    """The spec that the fields of a ``config.json`` describe."""
    return _understood(Fields(config, where))[2]


def _understood(fields: Fields) -> tuple[Family, str, Model]:
    family, architecture = of_fields(fields)
    model = family.model(fields, architecture)
    fields.done()
    return family, architecture, model


def _read_config(folder: Path) -> tuple[Fields, Family, str, Model]:
    file = folder / "config.json"
    if not file.is_file():
        raise InputError(f"{folder} is no Hugging Face folder: it has no config.json")
    fields = Fields.of(file)
    return (fields, *_understood(fields))


def load(folder: str | Path) -> tuple[Model, dict[str, np.ndarray]]:
    """The spec and the canonical weights of a Hugging Face folder, in the dtypes they are stored in."""
    checkpoint = open_checkpoint(folder)
    return checkpoint.model, collected(checkpoint.pieces)


def import_folder(folder: str | Path, out: str | Path, on_bytes: Progress = silent) -> ModelFolder:
    """Turn a Hugging Face folder into a model folder (:mod:`archlab.model_folder`), tensor by tensor.

    Config, generation config and tokenizer are kept beside it, in ``hf/``.
    """
    return converted(open_checkpoint(folder), Path(out), on_bytes)


def converted(checkpoint: Checkpoint, out: Path, on_bytes: Progress = silent) -> ModelFolder:
    """The model folder that is made of an open checkpoint, see :func:`import_folder`."""
    check_new(out)
    out.mkdir(parents=True, exist_ok=True)
    write(out / WEIGHTS, checkpoint.pieces, {"spec_hash": json.dumps(checkpoint.model.hash())}, on_bytes)
    _keep(checkpoint.path, out / ORIGIN)
    tokenizer = tokenizer_in(checkpoint.path)
    if tokenizer is not None:
        tokenizer.save(out / TOKENIZER)
    write_spec(out, checkpoint.model)
    return ModelFolder(path=out, model=checkpoint.model)


def _keep(folder: Path, out: Path) -> None:
    """Copy everything but tensors and pages."""
    out.mkdir(exist_ok=True)
    for file in sorted(folder.iterdir()):
        if file.is_file() and file.suffix in KEPT and not file.name.endswith(".index.json"):
            shutil.copyfile(file, out / file.name)


def tokenizer_in(folder: Path) -> TrainedTokenizer | None:
    """The tokenizer of a Hugging Face folder; None where it has none that archlab reads."""
    try:
        return load_tokenizer(folder)
    except InputError:
        return None


def why_no_tokenizer(folder: Path) -> str:
    """What :func:`tokenizer_in` found nothing for, in a sentence; empty where it finds one."""
    try:
        load_tokenizer(folder)
    except InputError as error:
        return str(error)
    return ""


# --- out ------------------------------------------------------------------------------------------------


def native(model: Model, origin: Path | None = None) -> tuple[Family, str, dict[str, Any]] | None:
    """The family that ``model`` is one of, the architecture, and its ``config.json``; None where it is of none.

    The config that it came with (in ``origin``) is kept word for word as long as it still says the same.
    """
    kept = _kept_config(model, origin)
    if kept is not None:
        return kept
    found = match(model)
    if found is None:
        return None
    family, architecture, fields = found
    head = {"architectures": [architecture], "model_type": family.model_type}
    return family, architecture, head | fields


def _kept_config(model: Model, origin: Path | None) -> tuple[Family, str, dict[str, Any]] | None:
    if origin is None or not (origin / "config.json").is_file():
        return None
    fields = Fields.of(origin / "config.json")
    family, architecture = of_fields(fields)
    if not same_function(family.model(fields, architecture), model):
        return None
    return family, architecture, dict(fields.data)


def export(
    out: str | Path,
    model: Model,
    tensors: Tensors | Mapping[str, np.ndarray],
    *,
    origin: Path | None = None,
    tokenizer: TrainedTokenizer | None = None,
    facts: Callable[[], Mapping[str, Any]] = dict,
    generated: bool = False,
    largest: int = SHARD,
    on_bytes: Progress = silent,
) -> str:
    """Write ``model`` as a Hugging Face folder, and say what it became: a class of transformers, or "generated".

    A spec of one of the families becomes that family's own format, which needs no code of ours; any other one, or any
    with ``generated``, a folder with its own modeling code (:mod:`archlab.hf.modeling`).

    tensors
        The weights by canonical path; their dtypes are kept.
    origin
        The folder of what the model came with, see :attr:`archlab.model_folder.ModelFolder.origin`.
    tokenizer
        Written where nothing of an origin is.
    facts
        Gives what the model card is to say of training and parity; called where there is one.
    largest
        Bytes of a shard at most.
    """
    out = Path(out)
    check_new(out)
    held = Held(tensors) if isinstance(tensors, Mapping) else tensors
    canonical.check(model.root(), held.entries)
    found = None if generated else native(model, origin)
    if found is None:
        from archlab.hf import modeling

        arrays = {name: held.read(name) for name in held.entries}
        modeling.write(out, model, arrays, tokenizer=tokenizer, facts=facts(), largest=largest)
        return "generated"
    out.mkdir(parents=True, exist_ok=True)
    family, architecture, config = found
    pieces = list(Conversion(family, model).theirs(held))
    write_shards(out, pieces, largest, on_bytes)
    if origin is not None and origin.is_dir():
        _keep(origin, out)
    elif tokenizer is not None:
        from archlab.hf.modeling import write_tokenizer

        write_tokenizer(out, tokenizer, model)
    dtype = {} if "dtype" in config or "torch_dtype" in config else {"dtype": pieces[0].entry.dtype.name}
    write_text(out / "config.json", json.dumps(dict(config) | dtype, indent=2, ensure_ascii=False) + "\n")
    return architecture
