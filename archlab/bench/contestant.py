"""One subject at work: it trains, is looked at, and decodes, and says how long that took."""

import gc
import tempfile
import time
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from archlab import weights as canonical
from archlab.backends import Backend, Spent, Trainer, find_backend
from archlab.bench.decoding import Decoded, Decoding
from archlab.bench.subject import Subject, random_batches
from archlab.training import memory
from archlab.training.loop import make_trainer

RATE = 1e-4  # the learning rate of every step: no step takes longer for it
WARM = 3  # steps after the first one that no round counts


@dataclass(frozen=True, kw_only=True)
class Cache:
    """The folder of compiled programs, and how many files it had before the first step and after it."""

    folder: str
    before: int
    after: int


@dataclass(frozen=True, kw_only=True)
class Begun:
    """How a subject began: seconds to make the trainer, of the first step (it compiles), and of a warm one."""

    environment: dict[str, str]
    build: float
    first: float
    warm: float
    cache: Cache | None


def start(subject: Subject) -> "Contestant":
    """The contestant of a subject, on the backend that it names."""
    return Contestant(subject, find_backend(subject.backend))


class Contestant:
    """A subject in this process, on ``backend``."""

    def __init__(self, subject: Subject, backend: Backend) -> None:
        self.run = subject.run()
        self.backend = backend
        self.weights = canonical.initial(self.run.model.root(), self.run.train.seed)
        self.batches = cycle(random_batches(self.run))
        self.trainer: Trainer | None = None
        self.decodings: dict[int, Decoding] = {}

    def begin(self) -> Begun:
        """Make the trainer and take the first steps."""
        folder = self.backend.program_cache(self.run.policy)
        before, began = _files(folder), time.perf_counter()
        self.trainer = make_trainer(self.run, self.backend, self.weights)
        build = time.perf_counter() - began
        first, after, warm = self.steps(1), _files(folder), self.steps(WARM)
        cache = None if folder is None else Cache(folder=str(folder), before=before, after=after)
        return Begun(environment=self.backend.environment(), build=build, first=first, warm=warm, cache=cache)

    def steps(self, count: int) -> float:
        """Seconds a step, over ``count`` steps and the wait for the last loss."""
        assert self.trainer is not None
        began = time.perf_counter()
        for _ in range(count):
            metrics = self.trainer.step(next(self.batches), RATE)
        float(metrics.loss)
        return (time.perf_counter() - began) / count

    def memory(self) -> dict[str, int]:
        """Bytes that training took so far, see :func:`archlab.training.memory.measure`."""
        return memory.measure(self.backend)

    def profile(self, count: int, folder: str | None) -> list[Spent]:
        """The operations of ``count`` steps, the dearest first; the trace stays in ``folder`` where there is one."""
        with tempfile.TemporaryDirectory() as passing:
            place = Path(folder or passing)
            place.mkdir(parents=True, exist_ok=True)
            with self.backend.profile(place) as spent:
                self.steps(count)
        return sorted(spent, key=lambda s: -s.ms)

    def stop_training(self) -> None:
        """Give the memory of training back."""
        self.trainer = None
        gc.collect()

    def decode(self, batch: int) -> Decoded:
        """One prompt and its continuation, for ``batch`` sequences at once."""
        if batch not in self.decodings:
            self.decodings = {batch: Decoding(self.backend, self.run, self.weights, batch)}
        return self.decodings[batch].round()

    def bandwidth(self) -> float:
        """See :meth:`archlab.backends.Backend.bandwidth`."""
        return self.backend.bandwidth(self.run.policy)


def _files(folder: Path | None) -> int:
    """How many files there are in a folder that may not be there."""
    return 0 if folder is None else sum(path.is_file() for path in folder.rglob("*"))
