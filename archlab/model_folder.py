"""Model folders: a spec with its weights and its tokenizer, in files that any backend and anything else reads.

``spec.json`` the architecture with its hash · ``weights.safetensors`` the parameters by canonical path, each in the
dtype it came in · ``tokenizer.json`` where there is one · ``hf/`` what else the
Hugging Face folder held that it was made of.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from archlab import weights as canonical
from archlab.config_files import RUN_CONFIG, SPEC
from archlab.errors import InputError
from archlab.files import write_text
from archlab.model import Model
from archlab.tokenizers import TrainedTokenizer

WEIGHTS, TOKENIZER, ORIGIN = "weights.safetensors", "tokenizer.json", "hf"


@dataclass(frozen=True, kw_only=True)
class ModelFolder:
    """An existing model folder and its spec."""

    path: Path
    model: Model

    @property
    def weights_path(self) -> Path:
        return self.path / WEIGHTS

    @property
    def tokenizer_path(self) -> Path:
        return self.path / TOKENIZER

    @property
    def has_tokenizer(self) -> bool:
        return self.tokenizer_path.is_file()

    @property
    def origin(self) -> Path:
        """The folder of what a Hugging Face checkpoint held beside its tensors; it need not be there."""
        return self.path / ORIGIN


def is_model_folder(path: Path) -> bool:
    """Whether there is a spec at ``path``, and no run."""
    return (path / SPEC).is_file() and not (path / RUN_CONFIG).is_file()


def open_model_folder(path: Path) -> ModelFolder:
    """The model folder at ``path``."""
    return ModelFolder(path=path, model=Model.from_dict(read_spec(path / SPEC)))


def read_spec(file: Path) -> Any:
    """The plain data of the spec in a ``spec.json``."""
    try:
        return json.loads(file.read_text(encoding="utf-8"))["spec"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{file} is no spec of archlab: {error!r}; it holds {{hash, spec}}") from None


def check_new(path: Path) -> None:
    """Raise :class:`InputError` unless ``path`` can become a folder of ours."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise InputError(f"{path} is not an empty folder; name another one")


def write_spec(path: Path, model: Model) -> None:
    """``spec.json`` in the folder ``path``."""
    text = json.dumps({"hash": model.hash(), "spec": model.to_dict()}, indent=2, ensure_ascii=False)
    write_text(path / SPEC, text + "\n")


def save_model(
    path: Path, model: Model, weights: Mapping[str, np.ndarray], tokenizer: TrainedTokenizer | None = None
) -> ModelFolder:
    """A new model folder at ``path``."""
    check_new(path)
    canonical.check(model.root(), weights)
    path.mkdir(parents=True, exist_ok=True)
    canonical.save(path / WEIGHTS, weights, {"spec_hash": model.hash()})
    if tokenizer is not None:
        tokenizer.save(path / TOKENIZER)
    write_spec(path, model)
    return ModelFolder(path=path, model=model)
