"""Kill a run again and again, resume it each time, and compare it with one that nobody touched.

    python parity_tests/kills.py --backend jax --kills 50

A child process trains; this one sends it SIGKILL in the middle of a step, of a row of metrics or of a checkpoint: it
watches the run's files and strikes when the moment comes. At the end all files must be readable, the metrics be those
of the other run but for times, and the weights and the optimiser's state equal bit for bit.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np

from archlab.activations import GELUTanh
from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.config_files import save
from archlab.data.config import DataConfig
from archlab.errors import InputError
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.optim.adamw import AdamW
from archlab.optim.schedules import WarmupCosine
from archlab.residuals import PreNorm
from archlab.run_config import RunConfig, TrainConfig
from archlab.stack import Stack
from archlab.tokenizers import ByteTokenizer
from archlab.training.metrics import read
from archlab.training.runs import Run, open_run

EVERY = 25  # steps between checkpoints; the model is large enough that most of that time no checkpoint is written
STEPS = 100  # for each kill
PATIENCE = 240.0  # seconds until a child has done its part, or something is wrong
POLL = 0.0005
MAIN = "import sys; from archlab.cli import main; sys.exit(main())"


def config(text: Path, steps: int) -> RunConfig:
    """A small model with dropout, so that randomness has to be taken up again too."""
    layer = Block(
        mixer=Attention(heads=2, kv_heads=2, visibility="causal", bias=False, out_bias=False, dropout=0.1),
        channel=MLP(hidden=256, activation=GELUTanh(), bias=True),
        residual=PreNorm(norm=RMSNorm(epsilon=1e-5), dropout=0.1),
    )
    model = LanguageModel(
        vocab=256, width=128, embedding_init=Normal(std=0.1), stack=Stack(pattern=(layer,), repeat=2),
        norm=RMSNorm(epsilon=1e-5), head=None,
    )  # fmt: skip
    train = TrainConfig(
        steps=steps, optimizer=AdamW(beta1=0.9, beta2=0.99, epsilon=1e-8, weight_decay=0.1),
        schedule=WarmupCosine(peak=1e-2, floor=1e-3, warmup=10, steps=steps), clip=1.0, log_every=2,
        eval_every=25, eval_batches=2, checkpoint_every=EVERY, keep=2,
    )  # fmt: skip
    data = DataConfig(dataset=str(text), tokenizer=ByteTokenizer(), length=64, batch=8)
    return RunConfig(model=model, data=data, train=train)


class Child:
    """A process that trains a run; ``start`` resumes it where there is a checkpoint."""

    def __init__(self, config_path: Path, out: Path, backend: str, log: Path) -> None:
        resumable = (out / "checkpoints").is_dir() and Run(path=out, config=None).checkpoints.steps()  # type: ignore[arg-type]
        what = ["--resume", str(out)] if resumable else [str(config_path), "--out", str(out)]
        if not resumable and out.exists():
            subprocess.run(["rm", "-r", str(out)], check=True)  # killed before its first checkpoint: begin anew
        with log.open("ab") as file:
            command = [sys.executable, "-c", MAIN, "train", *what, "--backend", backend]
            self.process = subprocess.Popen(command, stdout=file, stderr=file)
        self.out, self.log = out, log

    def wait_for(self, happens: Callable[[], bool]) -> bool:
        """Until something happens; False where the child ended before."""
        ends = time.monotonic() + PATIENCE
        while not happens():
            if self.process.poll() is not None:
                return False
            if time.monotonic() > ends:
                self.process.kill()
                raise RuntimeError(f"the child did nothing for {PATIENCE:.0f} s:\n{self.log.read_text()[-3000:]}")
            time.sleep(POLL)
        return True

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def last_step(out: Path) -> int:
    """The step of the last whole row of metrics, read as a stranger would."""
    path = out / "metrics.csv"
    lines = path.read_text().split("\n")[:-1] if path.exists() else []
    return int(lines[-1].split(",")[0]) if len(lines) > 1 else 0


def partial(out: Path) -> bool:
    """Whether a checkpoint is being written."""
    return any((out / "checkpoints").glob(".step-*.partial/*"))


def strike(child: Child, moment: str, target: int, draw: random.Random) -> str | None:
    """Kill the child at a moment once its run is past step ``target``; what it was in. None where the child ended."""
    if not child.wait_for(lambda: last_step(child.out) >= target):
        return None
    metrics = child.out / "metrics.csv"
    if moment == "checkpoint":
        if not child.wait_for(lambda: partial(child.out)):
            return None
        time.sleep(draw.uniform(0, 0.05))  # anywhere in it
    elif moment == "row":
        before = size(metrics)
        if not child.wait_for(lambda: size(metrics) != before):
            return None
    else:
        time.sleep(draw.uniform(0, 0.2))
    inside = "checkpoint" if partial(child.out) else moment
    child.kill()
    return inside


def abuse(config_path: Path, out: Path, backend: str, kills: int, steps: int, seed: int, log: Path) -> Counter:
    """Train to the end in spite of ``kills`` kills; how many struck in what."""
    draw, found = random.Random(seed), Counter()  # type: ignore[var-annotated]
    for k in range(kills):
        child = Child(config_path, out, backend, log)
        moment = ("step", "row", "checkpoint")[k % 3]
        inside = strike(child, moment, (k + 1) * steps // (kills + 2), draw)
        if inside is None:
            raise RuntimeError(f"the run ended after {k} kills of {kills}:\n{log.read_text()[-3000:]}")
        found[inside] += 1
        check_readable(out)
    child = Child(config_path, out, backend, log)
    if child.process.wait() != 0:
        raise RuntimeError(f"the last session failed:\n{log.read_text()[-3000:]}")
    return found


def check_readable(out: Path) -> None:
    """Every file that a run left must be whole, or not be there under its name."""
    run = open_run(out)
    run.manifest()
    run.tokenizer()
    read(run.metrics_path)
    for step in run.checkpoints.steps():
        run.checkpoints.verify(step)


def differences(one: Path, other: Path) -> list[str]:
    """What two runs differ in, but for times."""
    found = []
    rows = [
        [(r.step, r.split, r.loss, r.lr, r.grad_norm, r.tokens) for r in read(path / "metrics.csv")]
        for path in (one, other)
    ]
    if rows[0] != rows[1]:
        found.append("metrics")
    a, b = open_run(one), open_run(other)
    root, optimizer = a.config.model.root(), a.config.train.optimizer
    step = a.checkpoints.last()
    if b.checkpoints.last() != step:
        return [*found, "the last step"]
    pairs = [(a.weights()[1], b.weights()[1])]
    slots = [run.checkpoints.optimizer(step, root, optimizer).slots for run in (a, b)]
    pairs += [(slots[0][name], slots[1][name]) for name in slots[0]]
    unequal = sum(not np.array_equal(x[path], y[path]) for x, y in pairs for path in x)
    return [*found, f"{unequal} arrays"] if unequal else found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--backend", required=True, choices=("jax", "torch"))
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--steps", type=int, default=None, help=f"by default {STEPS} for each kill")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    steps = options.steps or STEPS * options.kills
    with tempfile.TemporaryDirectory() as folder:
        found, unequal, seconds = trial(Path(folder), options.backend, options.kills, steps, options.seed)
    struck = ", ".join(f"{count} in a {what}" for what, count in sorted(found.items()))
    verdict = f"differs: {', '.join(unequal)}" if unequal else "bit-equal; no unreadable file"
    print(f"| {options.backend} | {steps} | {sum(found.values())} ({struck}) | {seconds:.0f} s | {verdict} |")
    return 1 if unequal else 0


def trial(folder: Path, backend: str, kills: int, steps: int, seed: int) -> tuple[Counter, list[str], float]:
    """(kills by moment, what differs, seconds) of one abused run against one that was left alone."""
    began = time.monotonic()
    text = folder / "text.txt"
    text.write_text("".join(f"{n} bottles of beer on the wall, take {n} down.\n" for n in range(500, 0, -1)))
    save(config(text, steps), folder / "config.json")
    log = folder / "log.txt"
    calm = Child(folder / "config.json", folder / "calm", backend, log)
    if calm.process.wait() != 0:
        raise InputError(f"the run that nobody touched failed:\n{log.read_text()[-3000:]}")
    found = abuse(folder / "config.json", folder / "killed", backend, kills, steps, seed, log)
    return found, differences(folder / "calm", folder / "killed"), time.monotonic() - began


if __name__ == "__main__":
    sys.exit(main())
