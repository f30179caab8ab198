"""A model with its weights, wherever they lie: in a run, a model folder or a Hugging Face folder."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archlab import weights as canonical
from archlab.errors import InputError
from archlab.hf.conversion import Held
from archlab.hf.tensors import SafeTensors, Tensors
from archlab.model import Model
from archlab.model_folder import TOKENIZER, is_model_folder, open_model_folder
from archlab.policy import Policy
from archlab.run_config import RunConfig
from archlab.tokenizers import TrainedTokenizer, load_tokenizer
from archlab.training.runs import Run, open_run
from archlab.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What was found.

    tensors
        The parameters by canonical path; those of a model folder stay where they lie until they are read.
    tokenizer
        Where its tokenizer lies; it is read by :meth:`read_tokenizer`.
    origin
        Of a model folder: what the Hugging Face checkpoint that it was made of held beside its tensors.
    run, step
        Of a run: itself, and how far its weights were trained.
    stop
        Tokens that end a text.
    """

    path: Path
    model: Model
    tensors: Tensors
    tokenizer: Path
    origin: Path | None = None
    run: Run | None = None
    step: int | None = None
    stop: tuple[int, ...] = ()

    @property
    def config(self) -> RunConfig | Model:
        """The run's configuration, or the model alone."""
        return self.run.config if self.run else self.model

    @property
    def policy(self) -> Policy:
        """How the run computes, or the policy of those who say nothing."""
        return self.run.config.policy if self.run else Policy()

    def weights(self) -> Weights:
        """The parameters, in the dtypes they are stored in."""
        return {name: self.tensors.read(name) for name in self.tensors.entries}

    def read_tokenizer(self) -> TrainedTokenizer:
        """Raises :class:`InputError` where there is none."""
        return load_tokenizer(self.tokenizer)

    def find_tokenizer(self) -> TrainedTokenizer | None:
        """The tokenizer; None where there is none, or in a Hugging Face folder none that archlab reads."""
        if self.tokenizer.is_dir():
            from archlab.hf.folders import tokenizer_in

            return tokenizer_in(self.tokenizer)
        return self.read_tokenizer() if self.tokenizer.exists() else None

    def backend_name(self, asked: str | None) -> str:
        """The backend that is ``asked`` for, or the one that trained it."""
        if asked is None and self.run is None:
            raise InputError(f"{self.path} was trained by no backend of archlab; say which is to run it: --backend jax")
        return asked or self.run.backend_name()  # type: ignore[union-attr]


def open_saved(path: str | Path, checkpoint: str = "last") -> Saved:
    """What lies at ``path``; ``checkpoint`` is that of a run: "last", "best" or a step."""
    path = Path(path)
    if is_model_folder(path):
        _check_alone(path, checkpoint)
        return _of_model_folder(path)
    if is_hugging_face(path):
        from archlab import hf

        _check_alone(path, checkpoint)
        model, weights = hf.load(path)
        return Saved(path=path, model=model, tensors=Held(weights), tokenizer=path, stop=stops(path))
    run = open_run(path)
    step, weights = run.weights(checkpoint)
    tokenizer = path / TOKENIZER
    return Saved(path=path, model=run.config.model, tensors=Held(weights), tokenizer=tokenizer, run=run, step=step)


def _of_model_folder(path: Path) -> Saved:
    folder = open_model_folder(path)
    tensors = SafeTensors([folder.weights_path])
    canonical.check(folder.model.root(), tensors.entries, str(folder.weights_path))
    origin = folder.origin if folder.origin.is_dir() else None
    return Saved(
        path=path, model=folder.model, tensors=tensors, tokenizer=folder.tokenizer_path, origin=origin,
        stop=stops(folder.origin),
    )  # fmt: skip


def _check_alone(path: Path, checkpoint: str) -> None:
    if checkpoint != "last":
        raise InputError(f"{path} is no run and has one set of weights; leave --checkpoint out")


def is_hugging_face(path: Path) -> bool:
    """Whether ``path`` is a folder with the config of a Hugging Face model."""
    return "model_type" in _json(path / "config.json")


def stops(folder: Path) -> tuple[int, ...]:
    """The tokens that end a text by ``generation_config.json``, or else by ``config.json``."""
    for name in ("generation_config.json", "config.json"):
        ids = _json(folder / name).get("eos_token_id")
        if ids is not None:
            return tuple(ids) if isinstance(ids, list) else (ids,)
    return ()


def _json(file: Path) -> dict[str, Any]:
    """A mapping in a file of JSON; empty where there is none."""
    try:
        data = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
