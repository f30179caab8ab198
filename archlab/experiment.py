"""One experiment in three lines: a door to run configs."""

from pathlib import Path
from typing import Any

from archlab import catalog
from archlab.architecture import Architecture
from archlab.backends import find_backend
from archlab.builder import ModelBuilder
from archlab.config_files import is_file_name, load_model
from archlab.data.config import DataConfig
from archlab.data.corpus import prepare_batches
from archlab.errors import InputError
from archlab.model import Model
from archlab.optim.adamw import AdamW
from archlab.optim.schedules import WarmupCosine
from archlab.policy import Policy
from archlab.run_config import RunConfig, TrainConfig
from archlab.tokenizers import CharTokenizer, Tokenizer
from archlab.training import loop, plots
from archlab.training.progress import progress
from archlab.training.session import TrainResult


class Experiment:
    """Trains an architecture on a dataset.

        experiment = Experiment(architecture="mini-gpt", dataset="tiny-shakespeare", batch_size=32, max_steps=1000)
        results = experiment.run()
        experiment.plot_metrics()

    architecture
        A name of the catalogue ("mini-gpt", "llama-3"; see ``archlab catalog``), sized for the dataset's vocabulary
        and ``length``; a model spec; an :class:`~archlab.architecture.Architecture`; a
        :class:`~archlab.builder.ModelBuilder`; or a config file.
    dataset
        A named dataset, a text file or a folder of them.
    backend
        "torch" or "jax".
    batch_size, length, tokenizer
        Sequences a batch, tokens a sequence, and what a token is.
    max_steps, learning_rate
        The number of updates of AdamW, with the peak of a learning rate that warms up over a tenth of them
        (100 at most) and falls to a tenth along a cosine.
    seed, policy, out
        The seed of weights and data, how the model is computed, and the run directory (new or empty).
    """

    def __init__(
        self,
        architecture: str | Path | Model | Architecture | ModelBuilder,
        dataset: str = "tiny-shakespeare",
        *,
        backend: str = "torch",
        batch_size: int = 32,
        max_steps: int = 1000,
        length: int = 128,
        tokenizer: Tokenizer = CharTokenizer(),
        learning_rate: float = 1e-3,
        seed: int = 0,
        policy: Policy = Policy(),
        out: str | Path | None = None,
    ) -> None:
        if max_steps < 1:
            raise InputError(f"max_steps is {max_steps}; it must be > 0")
        if batch_size < 1:
            raise InputError(f"batch_size is {batch_size}; it must be > 0")
        self.backend = find_backend(backend)
        data = DataConfig(dataset=dataset, tokenizer=tokenizer, length=length, batch=batch_size)
        batches = prepare_batches(data, seed)
        self._tokenizer = batches.tokenizer
        model = _model(architecture, self._tokenizer.vocab_size, length)
        train = _train_config(max_steps, learning_rate, seed)
        self.config = RunConfig(model=model, data=data, train=train, policy=policy)
        loop.check_fits(self.config, batches)
        self.name = _name(architecture)
        self._out = None if out is None else Path(out)
        self.results: TrainResult | None = None

    def run(self) -> TrainResult:
        """Train in a new run directory; the result has the losses, the speed and the directory."""
        self.results = loop.train(
            self.config, self.backend, tokenizer=self._tokenizer, out=self._out, name=self.name, callbacks=[progress()]
        )
        return self.results

    def plot_metrics(self, path: str | Path | None = None) -> Path:
        """Draw the losses over steps, by default into the run directory; the path of the PNG."""
        if self.results is None:
            raise InputError("the experiment has not run yet; call run() before plot_metrics()")
        run_dir = self.results.run_dir
        return plots.plot_losses([run_dir], Path(path) if path else run_dir / "loss.png")


def _train_config(steps: int, rate: float, seed: int) -> TrainConfig:
    return TrainConfig(
        steps=steps,
        seed=seed,
        optimizer=AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.1),
        schedule=WarmupCosine(peak=rate, floor=rate / 10, warmup=min(100, steps // 10), steps=steps),
        clip=1.0,
        log_every=max(1, steps // 100),
        eval_every=max(1, steps // 10),
    )


def _model(architecture: Any, vocab: int, length: int) -> Model:
    if isinstance(architecture, Model):
        return architecture
    if isinstance(architecture, (Architecture, ModelBuilder)):
        return architecture.spec()
    if isinstance(architecture, Path) or (isinstance(architecture, str) and is_file_name(architecture)):
        return load_model(architecture)
    if isinstance(architecture, str):
        return catalog.model(architecture, vocab=vocab, length=length)
    raise InputError(
        f"architecture is a {type(architecture).__name__}; give a name of the catalogue "
        f"({', '.join(catalog.names())}), a model spec, an instance of an Architecture, a ModelBuilder or a config file"
    )


def _name(architecture: Any) -> str:
    if isinstance(architecture, (str, Path)):
        return Path(architecture).stem
    return type(architecture).__name__
