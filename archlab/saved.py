"""A model with its weights, wherever they lie: in a run, a model folder or a Hugging Face folder."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from archlab.errors import InputError
from archlab.model import Model
from archlab.model_folder import ORIGIN, TOKENIZER, is_model_folder, open_model_folder
from archlab.policy import Policy
from archlab.tokenizers import TrainedTokenizer, load_tokenizer
from archlab.training.runs import open_run
from archlab.weights import Weights


@dataclass(frozen=True, kw_only=True)
class Saved:
    """What was found.

    tokenizer
        Where its tokenizer lies; it is read by :meth:`read_tokenizer`.
    backend, step, policy
        Of a run: what trained it last, how far, and how it is computed.
    stop
        Tokens that end a text.
    """

    path: Path
    model: Model
    weights: Weights
    tokenizer: Path
    backend: str | None = None
    step: int | None = None
    policy: Policy = field(default_factory=Policy)
    stop: tuple[int, ...] = ()

    def read_tokenizer(self) -> TrainedTokenizer:
        """Raises :class:`InputError` where there is none."""
        return load_tokenizer(self.tokenizer)

    def backend_name(self, asked: str | None) -> str:
        """The backend that is ``asked`` for, or the one that trained it."""
        name = asked or self.backend
        if name is None:
            raise InputError(f"{self.path} was trained by no backend of archlab; say which is to run it: --backend jax")
        return name


def open_saved(path: str | Path, checkpoint: str = "last") -> Saved:
    """What lies at ``path``; ``checkpoint`` is that of a run: "last", "best" or a step."""
    path = Path(path)
    if is_model_folder(path):
        folder = open_model_folder(path)
        return Saved(
            path=path,
            model=folder.model,
            weights=folder.weights(),
            tokenizer=path / TOKENIZER,
            stop=stops(path / ORIGIN),
        )
    if is_hugging_face(path):
        from archlab import hf

        model, weights = hf.load(path)
        return Saved(path=path, model=model, weights=weights, tokenizer=path, stop=stops(path))
    run = open_run(path)
    step, weights = run.weights(checkpoint)
    return Saved(
        path=path, model=run.config.model, weights=weights, tokenizer=path / TOKENIZER, step=step,
        backend=run.backend_name(), policy=run.config.policy,
    )  # fmt: skip


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
    try:
        data = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except ValueError:
        return {}
    return data if isinstance(data, dict) else {}
