"""Subjects side by side: each in a process of its own, timed in turns."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from archlab.bench import decoding
from archlab.bench.figures import Measured
from archlab.bench.rounds import in_turn
from archlab.bench.subject import Subject
from archlab.bench.workers import OutOfMemory, Worker
from archlab.errors import InputError
from archlab.run_config import RunConfig
from archlab.training import memory

START = "archlab.bench.contestant:start"
ROUND = 0.5  # seconds that a round takes, about, where its steps are not given
LARGEST = 200  # steps of such a round
PROFILED = 3  # steps that are profiled
DECODED = 5  # rounds of decoding at most: each is a whole prompt and its continuation

Say = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How to measure.

    rounds, steps
        How many rounds count, and the steps of each; None: as many as take some half a second.
    convention, peak_tflops
        How FLOPs are counted, and what one device can do at most where its user says so.
    decode
        Whether decoding is timed too, at batch 1 and at the run's.
    trace
        The folder where traces stay; None: nowhere.
    threads
        Cores of the processor that each process may use, with as many threads.
    apart
        Whether a process ends before the next one begins, instead of all taking turns.
    """

    rounds: int
    steps: int | None
    convention: str
    peak_tflops: float | None
    decode: bool
    trace: Path | None
    threads: int
    apart: bool


def measure(subjects: Sequence[Subject], plan: Plan, say: Say = lambda text: None) -> list[Measured]:
    """All subjects, in their order; ``say`` is told what is going on."""
    runs = {subject: subject.run() for subject in subjects}  # what can be wrong with a config is found here
    if plan.decode:
        for run in runs.values():
            decoding.check(run)
    groups = [[subject] for subject in subjects] if plan.apart else [list(subjects)]
    return [measured for group in groups for measured in _measure_together(group, runs, plan, say)]


def _measure_together(
    subjects: Sequence[Subject], runs: dict[Subject, RunConfig], plan: Plan, say: Say
) -> list[Measured]:  # fmt: skip
    """Each phase for all subjects before the next, round by round in turns."""
    with ExitStack() as stack:
        pairs = []
        for subject in subjects:  # one after the other: compilations do not disturb each other
            say(f"{subject.name}: the first steps")
            worker = stack.enter_context(Worker(START, subject, _environment(plan, len(subjects)), plan.threads))
            pairs.append((_begun(subject, runs[subject], worker, plan), worker))
            if len(subjects) > 1 and pairs[0][0].device.startswith("TPU"):
                raise InputError("one process at a time can hold a TPU: give --apart, or one config and one backend")
        for turn in range(plan.rounds + 1):
            say(f"training, round {turn} of {plan.rounds}")
            for measured, worker in in_turn(pairs, turn):
                seconds = _ask(measured, worker, "steps", measured.steps)
                if turn:  # the first one does not count
                    measured.rounds.append(seconds)
        for measured, worker in pairs:
            say(f"{measured.name}: profile")
            measured.memory = _ask(measured, worker, "memory")
            measured.profiled = PROFILED
            measured.spent = _ask(measured, worker, "profile", PROFILED, _trace(plan, measured))
        if plan.decode:
            _decode(pairs, plan, say)
        return [measured for measured, _ in pairs]


def _begun(subject: Subject, run: RunConfig, worker: Worker, plan: Plan) -> Measured:
    with _told(subject, run):
        begun = worker.ask("begin")
    steps = plan.steps or max(1, min(LARGEST, round(ROUND / begun.warm)))
    return Measured(
        subject=subject, run=run, begun=begun, convention=plan.convention, peak_tflops=plan.peak_tflops, steps=steps
    )


def _decode(pairs: list[tuple[Measured, Worker]], plan: Plan, say: Say) -> None:
    for measured, worker in pairs:
        worker.ask("stop_training")
        measured.bandwidth = _ask(measured, worker, "bandwidth")
    rounds = min(plan.rounds, DECODED)
    for place in ("one", "batch"):
        for turn in range(rounds + 1):
            say(f"decoding, round {turn} of {rounds}")
            for measured, worker in in_turn(pairs, turn):
                batch = 1 if place == "one" else measured.run.data.batch
                if place == "batch" and batch == 1:
                    continue
                decoded = _ask(measured, worker, "decode", batch)
                if turn:  # the first one compiles
                    measured.decoded.setdefault(batch, []).append(decoded)


def _ask(measured: Measured, worker: Worker, method: str, *arguments: Any) -> Any:
    with _told(measured.subject, measured.run):
        return worker.ask(method, *arguments)


@contextmanager
def _told(subject: Subject, run: RunConfig) -> Iterator[None]:
    """What there was no memory for, what that is estimated at, and what to lower, in one sentence."""
    try:
        yield
    except OutOfMemory as error:
        from archlab.cli.describe import size

        parts = {name: size(count) for name, count in memory.estimate(run).items()}
        total = parts.pop("total")
        raise InputError(
            f"{subject.name}: no memory for {run.data.batch} × {run.data.length} tokens ({error}); training is "
            f"estimated at {total} ({', '.join(f'{name} {count}' for name, count in parts.items())}): lower --batch or "
            "--length, or set policy.accumulate, policy.remat=full or policy.loss_chunk"
        ) from None


def _trace(plan: Plan, measured: Measured) -> str | None:
    return None if plan.trace is None else str(plan.trace / measured.name.replace("/", "-").replace(", ", "-"))


def _environment(plan: Plan, count: int) -> dict[str, str]:
    """The same threads for every framework, and room for one another where several share an accelerator."""
    found = dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(plan.threads))
    shared = count > 1 and not plan.apart
    return found | ({"XLA_PYTHON_CLIENT_PREALLOCATE": "false"} if shared else {})
