"""What a model writes while it is trained."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archlab.config import Config
from archlab.files import whole_lines, write_text
from archlab.training.callbacks import Callback
from archlab.training.metrics import Row

if TYPE_CHECKING:
    from archlab.training.session import Session


class Samples(Config):
    """Text that is written after each evaluation, to ``samples.jsonl``.

    prompts
        What it goes on from.
    tokens, temperature
        How much, and how freely: 0 takes the most probable token.
    """

    prompts: tuple[str, ...]
    tokens: int = 64
    temperature: float = 0.8

    def check(self) -> None:
        self.require(len(self.prompts) > 0, "prompts", "is empty; give at least one")
        self.require(self.tokens > 0, "tokens", "must be > 0")
        self.require(self.temperature >= 0, "temperature", "must be ≥ 0")


class WriteSamples(Callback):
    """Appends lines ``{"step", "prompt", "text"}``; a resumed run drops those of later steps first."""

    def __init__(self, config: Samples) -> None:
        self.config = config

    def on_train_start(self, session: "Session") -> None:
        self.session = session
        self.path: Path = session.run.path / "samples.jsonl"
        if self.path.exists():
            kept = [line for line in read(self.path) if line["step"] <= session.step]
            write_text(self.path, "".join(map(_line, kept)))

    def on_eval(self, row: Row) -> None:
        from archlab.generation import generate
        from archlab.sampling import Sampling

        session = self.session
        config, prompts = session.run.config, list(self.config.prompts)
        written = generate(
            session.backend, config.model, session.trainer.weights(), session.data.tokenizer, prompts,
            max_new_tokens=self.config.tokens,
            sampling=Sampling(temperature=self.config.temperature, seed=row.step), policy=config.policy,
        )  # fmt: skip
        with self.path.open("a", encoding="utf-8") as file:
            for prompt, sample in zip(prompts, written, strict=True):
                file.write(_line({"step": row.step, "prompt": prompt, "text": sample.text}))


def read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a file of samples: a crash may have cut the last one."""
    return [json.loads(line) for line in whole_lines(path.read_text(encoding="utf-8"))]


def _line(sample: dict[str, Any]) -> str:
    return json.dumps(sample, ensure_ascii=False) + "\n"
