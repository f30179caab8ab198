import dataclasses
import json
import math
from types import SimpleNamespace

import numpy as np
import pytest

from archlab import weights as canonical
from archlab.backends import StepMetrics
from archlab.errors import InputError
from archlab.optim.schedules import ConstantRate
from archlab.testing.bigram import BigramBackend, BigramTrainer, bigram_run
from archlab.training import loop, session
from archlab.training.callbacks import Callback
from archlab.training.meter import NonFiniteLossError
from archlab.training.metrics import read
from archlab.training.runs import open_run

TEXT = "".join(f"{n} bottles of beer on the wall, take {n} down, pass {n} around.\n" for n in range(200, 0, -1))


@pytest.fixture
def config(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    return bigram_run(str(text))


def test_training_lowers_the_loss_and_leaves_a_whole_run_directory(config, tmp_path):
    result = loop.train(config, BigramBackend(), out=tmp_path / "run")
    rows = read(tmp_path / "run/metrics.csv")
    train = [(r.step, r.loss) for r in rows if r.split == "train"]
    val = [(r.step, r.loss) for r in rows if r.split == "val"]
    assert [step for step, _ in train] == [1, 4, 8, 10, 12, 16, 20]
    assert [step for step, _ in val] == [0, 10, 20]
    assert val[0][1] == pytest.approx(math.log(96), abs=0.1)
    assert val[-1][1] < val[0][1] - 0.8
    assert result.train_loss == train[-1][1]
    assert result.val_loss == val[-1][1]
    assert result.tokens_per_second > 0
    assert rows[-1].tokens == 20 * 4 * 16
    names = {p.name for p in (tmp_path / "run").iterdir()}
    assert names - {"uncommitted-1.patch"} == {"config.json", "spec.json", "manifest.json", "tokenizer.json",
                     "train.log", "metrics.csv", "tensorboard", "loss.png", "checkpoints"}  # fmt: skip
    assert json.loads((tmp_path / "run/spec.json").read_text())["hash"] == config.model.hash()
    assert open_run(tmp_path / "run").config == config


def test_rows_hold_the_mean_of_the_steps_since_the_row_before(config, tmp_path):
    class Keep(Callback):
        losses: list = []

        def on_step_end(self, step, metrics):
            self.losses.append(float(metrics.loss))

    loop.train(config, BigramBackend(), out=tmp_path / "run", callbacks=[Keep()])
    rows = [r for r in read(tmp_path / "run/metrics.csv") if r.split == "train"]
    assert rows[0].loss == Keep.losses[0]
    assert rows[1].loss == pytest.approx(np.mean(Keep.losses[1:4]))
    assert rows[-1].loss == pytest.approx(np.mean(Keep.losses[16:20]))
    assert rows[1].lr == config.train.schedule.rate(3)


def test_the_loop_waits_for_the_device_only_where_it_writes(config, tmp_path):
    waits = []

    class Scalar(float):
        def __float__(self):
            waits.append(step[0])
            return super().__float__()

    step = [0]

    class Lazy(BigramTrainer):
        def step(self, batch, rate, **kwargs):
            step[0] += 1
            metrics = super().step(batch, rate, **kwargs)
            return StepMetrics(loss=Scalar(metrics.loss), grad_norm=Scalar(metrics.grad_norm))

    backend = BigramBackend()
    backend.trainer = lambda model, **k: Lazy(model, k["weights"], k["optimizer"], k["clip"])
    loop.train(config, backend, out=tmp_path / "run")
    assert sorted(set(waits)) == [1, 4, 8, 10, 12, 16, 20]


class Stop(Callback):
    """Kills training at a step, as a crash would."""

    def __init__(self, at):
        self.at = at

    def on_step_end(self, step, metrics):
        if step == self.at:
            raise KeyboardInterrupt


def losses(run):
    return [(r.step, r.split, r.loss, r.lr, r.grad_norm, r.tokens) for r in read(run / "metrics.csv")]


@pytest.mark.parametrize("killed_at", [11, 14, 19])
def test_a_killed_and_resumed_run_equals_one_that_was_not(config, tmp_path, killed_at):
    loop.train(config, BigramBackend(), out=tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        loop.train(config, BigramBackend(), out=tmp_path / "cut", callbacks=[Stop(killed_at)])
    loop.resume(open_run(tmp_path / "cut"), config, BigramBackend("other"))
    assert losses(tmp_path / "cut") == losses(tmp_path / "whole")
    final = "checkpoints/step-000020/weights.safetensors"
    whole, cut = (canonical.load(tmp_path / name / final)[0] for name in ("whole", "cut"))
    assert all(np.array_equal(whole[path], cut[path]) for path in whole)
    assert open_run(tmp_path / "cut").backend_name() == "other"


def test_a_run_can_go_on_beyond_its_first_end(config, tmp_path):
    loop.train(config, BigramBackend(), out=tmp_path / "run")
    longer = config.replace(train=config.train.replace(steps=30))
    assert loop.resume(open_run(tmp_path / "run"), longer, BigramBackend()).steps == 30
    steps = [r.step for r in read(tmp_path / "run/metrics.csv") if r.split == "val"]
    assert steps == [0, 10, 20, 30]
    assert open_run(tmp_path / "run").config.train.steps == 30


def test_resuming_refuses_what_would_not_be_the_same_run(config, tmp_path):
    loop.train(config, BigramBackend(), out=tmp_path / "run")
    run = open_run(tmp_path / "run")
    with pytest.raises(InputError, match="already at step 20"):
        loop.resume(run, config, BigramBackend())
    other = config.replace(model=config.model.replace(width=16), train=config.train.replace(steps=30))
    with pytest.raises(InputError, match="model: differs"):
        loop.resume(run, other, BigramBackend())


def test_resuming_refuses_a_text_that_has_changed(config, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text("to be or not to be, that is the question\n" * 40)
    config = config.replace(data=config.data.replace(dataset=str(text)))
    loop.train(config, BigramBackend(), out=tmp_path / "run")
    text.write_text("to be or not to be, this is the question\n" * 40)
    longer = config.replace(train=config.train.replace(steps=30))
    with pytest.raises(InputError, match="no longer the text"):
        loop.resume(open_run(tmp_path / "run"), longer, BigramBackend())


def test_a_checkpoint_of_another_architecture_is_refused_though_its_shapes_fit(config, tmp_path):
    loop.train(config, BigramBackend(), out=tmp_path / "run")
    run = open_run(tmp_path / "run")
    foreign = dataclasses.replace(run, config=config.replace(model=config.model.replace(softcap=30.0)))
    with pytest.raises(InputError, match="step-000020 belongs to the architecture"):
        foreign.weights()


def test_a_loss_that_is_not_finite_stops_training_and_names_the_step(config, tmp_path):
    class Exploding(BigramTrainer):
        def step(self, batch, rate, **kwargs):
            metrics = super().step(batch, rate, **kwargs)
            return dataclasses.replace(metrics, loss=math.nan if self._state.step >= 6 else metrics.loss)

    backend = BigramBackend()
    backend.trainer = lambda model, **k: Exploding(model, k["weights"], k["optimizer"], k["clip"])
    with pytest.raises(
        NonFiniteLossError,
        match=r"loss is nan .* at step 6; its batch is .*step-000006\.safetensors",
    ):
        loop.train(config, backend, out=tmp_path / "run")
    assert [r.step for r in read(tmp_path / "run/metrics.csv") if r.split == "train"] == [1, 4]


def test_a_held_out_loss_that_is_not_finite_stops_training(config, tmp_path):
    wild = config.replace(train=config.train.replace(schedule=ConstantRate(peak=1e30), clip=None))
    with pytest.raises(NonFiniteLossError), np.errstate(all="ignore"):
        loop.train(wild, BigramBackend(), out=tmp_path / "run")


def test_a_model_that_cannot_be_asked_is_refused_before_anything_is_written(config, tmp_path):
    small = config.replace(model=config.model.replace(vocab=5))
    with pytest.raises(InputError, match=r"set model\.vocab="):
        loop.train(small, BigramBackend(), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_mean_loss_counts_tokens_not_batches():
    trainer = SimpleNamespace(evaluate=lambda batch: batch)
    assert session.mean_loss(trainer, [(6.0, 3), (10.0, 1)]) == (4.0, 4)
    with pytest.raises(InputError, match="no token to predict"):
        session.mean_loss(trainer, [(0.0, 0)])
