"""What is to be exported: a run's checkpoint, or a model folder whose tensors stay where they lie."""

from dataclasses import dataclass
from pathlib import Path

from archlab.errors import InputError
from archlab.hf.conversion import Held
from archlab.hf.tensors import SafeTensors, Tensors
from archlab.model import Model
from archlab.model_folder import is_model_folder, open_model_folder
from archlab.tokenizers import TrainedTokenizer, load_tokenizer
from archlab.training.runs import Run, open_run


@dataclass(frozen=True, kw_only=True)
class Source:
    """``run`` and ``step`` are those of a run; ``origin`` is what a model folder came with."""

    path: Path
    model: Model
    tensors: Tensors
    tokenizer: TrainedTokenizer | None = None
    origin: Path | None = None
    run: Run | None = None
    step: int | None = None


def open_source(path: Path, checkpoint: str = "last") -> Source:
    """The run or the model folder at ``path``."""
    if not is_model_folder(path):
        run = open_run(path)
        step, weights = run.weights(checkpoint)
        return Source(
            path=path, model=run.config.model, tensors=Held(weights), tokenizer=run.tokenizer(), run=run, step=step
        )
    if checkpoint != "last":
        raise InputError(f"{path} is a model folder, which has one set of weights; leave --checkpoint out")
    folder = open_model_folder(path)
    tokenizer = load_tokenizer(folder.tokenizer_path) if folder.has_tokenizer else None
    origin = folder.origin if folder.origin.is_dir() else None
    tensors = SafeTensors([folder.weights_path])
    return Source(path=path, model=folder.model, tensors=tensors, tokenizer=tokenizer, origin=origin)
