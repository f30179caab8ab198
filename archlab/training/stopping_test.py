"""How runs end early, and go on: signals, budgets, early stopping, bad steps."""

import dataclasses
import math
import signal

import numpy as np
import pytest

from archlab import weights as canonical
from archlab.data.rows import Packed
from archlab.errors import InputError
from archlab.optim.averaged import Averaged
from archlab.optim.schedules import WarmupCosine
from archlab.run_config import Epochs
from archlab.testing.bigram import BigramBackend, BigramTrainer, bigram_run
from archlab.training import loop
from archlab.training.callbacks import Callback, CallbackList
from archlab.training.guard import Guard, Watch
from archlab.training.meter import NonFiniteLossError
from archlab.training.metrics import read
from archlab.training.runs import open_run
from archlab.training.stopping import Budget, EarlyStopping

TEXT = "".join(f"{n} bottles of beer on the wall, take {n} down, pass {n} around.\n" for n in range(200, 0, -1))


@pytest.fixture
def config(tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(TEXT)
    return bigram_run(str(text))


def told(path):
    """The metrics of a run but for times."""
    rows = read(path / "metrics.csv")
    return [(r.step, r.split, r.loss, r.lr, r.grad_norm, r.tokens, tuple(r.noted.items())) for r in rows]


def final(path):
    return open_run(path).weights()[1]


def same_runs(one, other):
    assert told(one) == told(other)
    a, b = final(one), final(other)
    assert all(np.array_equal(a[p], b[p]) for p in a)


class Kill(Callback):
    """Sends this process signals at some steps."""

    def __init__(self, *at, number=signal.SIGTERM):
        self.at, self.number = list(at), number

    def on_step_end(self, step, metrics):
        while step in self.at:
            self.at.remove(step)
            signal.raise_signal(self.number)  # handled before it returns: two that wait would be one


@pytest.fixture(autouse=True)
def hearing():
    """Signals as in a terminal: a shell starts what runs in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("at", [1, 6, 10, 13])
def test_a_signal_saves_after_the_step_and_the_run_goes_on_as_if_nothing_was(config, tmp_path, at, number):
    """Also between rows: the steps since the last one are part of what is saved."""
    loop.train(config, BigramBackend(), out=tmp_path / "whole")
    result = loop.train(config, BigramBackend(), out=tmp_path / "cut", callbacks=[Kill(at, number=number)])
    assert (result.steps, result.interrupted, result.stopped) == (at, True, number.name)
    assert open_run(tmp_path / "cut").checkpoints.last() == at
    result = loop.resume(open_run(tmp_path / "cut"), config, BigramBackend())
    assert (result.steps, result.interrupted, result.stopped) == (20, False, None)
    same_runs(tmp_path / "cut", tmp_path / "whole")


def test_a_signal_at_the_last_step_changes_nothing(config, tmp_path):
    result = loop.train(config, BigramBackend(), out=tmp_path / "run", callbacks=[Kill(20)])
    assert not result.interrupted
    assert result.val_loss == read(tmp_path / "run/metrics.csv")[-1].loss


def test_a_second_signal_ends_at_once_and_harms_nothing(config, tmp_path):
    loop.train(config, BigramBackend(), out=tmp_path / "whole")
    kill = Kill(13, 13, number=signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        loop.train(config, BigramBackend(), out=tmp_path / "cut", callbacks=[kill])
    loop.resume(open_run(tmp_path / "cut"), config, BigramBackend())
    same_runs(tmp_path / "cut", tmp_path / "whole")


def test_what_is_ignored_stays_ignored(config, tmp_path):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    result = loop.train(config, BigramBackend(), out=tmp_path / "run", callbacks=[Kill(13, number=signal.SIGINT)])
    assert (result.interrupted, result.steps) == (False, config.train.steps)


def test_handlers_are_put_back(config, tmp_path):
    before = [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)]
    loop.train(config, BigramBackend(), out=tmp_path / "run", callbacks=[Kill(3)])
    assert [signal.getsignal(n) for n in (signal.SIGTERM, signal.SIGINT)] == before


def test_a_budget_ends_a_run_like_its_last_step(config, tmp_path):
    config = config.replace(train=config.train.replace(budget=Budget(tokens=6 * 64)))
    result = loop.train(config, BigramBackend(), out=tmp_path / "run")
    assert (result.steps, result.interrupted) == (6, False)
    assert "train.budget.tokens=384 is reached" in result.stopped
    assert [(r.step, r.split) for r in read(tmp_path / "run/metrics.csv")][-2:] == [(6, "train"), (6, "val")]
    assert open_run(tmp_path / "run").checkpoints.state(6).val_loss == result.val_loss
    assert Budget(seconds=2.0).spent(2.5, 0) == "train.budget.seconds=2 is reached"
    assert Budget(seconds=2.0, tokens=9).spent(1.5, 8) is None


def test_early_stopping_counts_evaluations_without_improvement():
    rule = EarlyStopping(patience=2, least=0.1)
    assert [rule.waited(losses) for losses in ([3.0], [3.0, 2.95], [3.0, 2.95, 2.8], [3.0, 2.95, 2.91])] == [0, 1, 0, 2]


def test_early_stopping_remembers_over_sessions(config, tmp_path):
    """No improvement is large enough: of the evaluations at steps 0, 4, 8 and 10 the last one ends it."""
    rule = EarlyStopping(patience=3, least=1e6)
    stopping = config.replace(train=config.train.replace(eval_every=4, early_stopping=rule))
    whole = loop.train(stopping, BigramBackend(), out=tmp_path / "whole")
    assert whole.steps == 10
    assert "has not fallen for 3 evaluations" in whole.stopped
    loop.train(stopping, BigramBackend(), out=tmp_path / "cut", callbacks=[Kill(9)])
    assert loop.resume(open_run(tmp_path / "cut"), stopping, BigramBackend()).steps == 10
    same_runs(tmp_path / "cut", tmp_path / "whole")


def test_random_crops_have_no_epochs(config, tmp_path):
    epochs = config.replace(train=config.train.replace(steps=Epochs(epochs=3)))
    with pytest.raises(InputError, match=r"train\.steps: the data has no epochs"):
        loop.train(epochs, BigramBackend(), out=tmp_path / "run")


def test_an_earlier_checkpoint_can_be_resumed(config, tmp_path):
    config = config.replace(train=config.train.replace(checkpoint_every=5))
    loop.train(config, BigramBackend(), out=tmp_path / "whole")
    loop.train(config, BigramBackend(), out=tmp_path / "again")
    loop.resume(open_run(tmp_path / "again"), config, BigramBackend(), checkpoint="15")
    same_runs(tmp_path / "again", tmp_path / "whole")


# --- bad steps ------------------------------------------------------------------------------------------


class Exploding(BigramTrainer):
    """The gradient norm of some batches is not finite, or a thousand times what it is."""

    at: dict = {}

    def step(self, batch, rate, *, limit=None, detail=False):
        step = self._state.step + self._state.skipped + 1
        norm = self.at.get(step, 0.0)
        if norm and limit is not None and not norm <= limit:
            self.pass_over()
            return dataclasses.replace(super_metrics(self, batch), grad_norm=norm)
        metrics = super().step(batch, rate)
        return dataclasses.replace(metrics, grad_norm=norm or metrics.grad_norm)


def super_metrics(trainer, batch):
    losses, _ = trainer._losses(batch)
    from archlab.backends import StepMetrics

    return StepMetrics(loss=losses.mean(), grad_norm=0.0)


def exploding(**at):
    class Now(Exploding):
        pass

    Now.at = {int(step.removeprefix("step_")): norm for step, norm in at.items()}
    backend = BigramBackend()
    backend.trainer = lambda model, **k: Now(model, k["weights"], k["optimizer"], k["clip"])
    return backend


def guarded(config, **fields):
    return config.replace(train=config.train.replace(guard=Guard(**fields)))


def test_a_bad_step_is_skipped_and_its_batch_saved(config, tmp_path):
    config = guarded(config, action="skip", spike=50.0)
    result = loop.train(config, exploding(step_7=math.inf, step_11=1e5), out=tmp_path / "run")
    run = open_run(tmp_path / "run")
    state = run.checkpoints.state(20)
    assert (result.steps, state.updates, state.skipped, state.guard["bad"]) == (20, 18, 2, [7, 11])
    assert all(math.isfinite(r.loss) and (r.grad_norm or 0) < 1e5 for r in read(run.metrics_path))
    saved, _ = canonical.load(run.path / "bad/step-000011.safetensors")
    batch = loop.prepare_batches(config.data, config.train.seed).train_batch(10)
    assert all(np.array_equal(saved[name], array) for name, array in batch.items())
    assert "at step 7; its batch is" in (run.path / "train.log").read_text()


def test_a_bad_step_is_rolled_back_and_passed_over(config, tmp_path):
    config = guarded(config, action="rollback")
    loop.train(config, exploding(step_7=math.inf, step_13=math.nan), out=tmp_path / "run")
    run = open_run(tmp_path / "run")
    state = run.checkpoints.state(20)
    assert (state.updates, state.skipped, state.guard["bad"]) == (18, 2, [7, 13])
    rows = [(r.step, r.split) for r in read(run.metrics_path)]
    assert rows == sorted(set(rows), key=lambda row: (row[0], row[1] == "val"))
    skip = guarded(config, action="skip")
    loop.train(skip, exploding(step_7=math.inf, step_13=math.nan), out=tmp_path / "skip")
    a, b = final(tmp_path / "run"), final(tmp_path / "skip")
    assert all(np.array_equal(a[p], b[p]) for p in a), "to leave a step out is the same either way"


@pytest.mark.parametrize("action", ["skip", "rollback"])
def test_a_guarded_run_goes_on_as_if_nothing_was(config, tmp_path, action):
    config = guarded(config, action=action, spike=50.0)
    blasts = {"step_7": math.inf, "step_11": 1e5}
    loop.train(config, exploding(**blasts), out=tmp_path / "whole")
    loop.train(config, exploding(**blasts), out=tmp_path / "cut", callbacks=[Kill(13)])
    loop.resume(open_run(tmp_path / "cut"), config, exploding(**blasts))
    same_runs(tmp_path / "cut", tmp_path / "whole")


@pytest.mark.parametrize("action", ["skip", "rollback"])
def test_too_many_bad_steps_end_a_run(config, tmp_path, action):
    config = guarded(config, action=action, most=2)
    with pytest.raises(NonFiniteLossError, match=r"\(3 bad steps so far\)"):
        loop.train(config, exploding(step_3=math.inf, step_7=math.inf, step_11=math.inf), out=tmp_path / "run")


def test_what_is_usual_moves_slowly():
    watch = Watch(Guard(spike=4.0), {})
    assert not watch.is_bad(1.0, 1e9)  # nothing is usual yet
    watch.learn([1.0, 3.0])
    assert watch.usual == 2.0
    assert watch.is_bad(1.0, 8.1)
    assert not watch.is_bad(1.0, 7.9)
    watch.learn([12.0])
    assert watch.usual == pytest.approx(3.0)
    again = Watch(Guard(spike=4.0), watch.memory())
    assert again.usual == watch.usual


# --- callbacks ------------------------------------------------------------------------------------------


class Note(Callback):
    def __init__(self, notes, name):
        self.notes, self.name = notes, name

    def __getattribute__(self, event):
        if event.startswith("on_"):
            notes, name = object.__getattribute__(self, "notes"), object.__getattribute__(self, "name")
            return lambda *args: notes.append((name, event))
        return object.__getattribute__(self, event)


def test_events_come_in_order_to_all(config, tmp_path):
    notes = []
    short = config.replace(train=config.train.replace(steps=2))
    loop.train(short, BigramBackend(), out=tmp_path / "run", callbacks=[Note(notes, "a"), Note(notes, "b")])
    events = [event for name, event in notes if name == "a"]
    assert events == ["on_train_start", "on_eval", "on_step_end", "on_log", "on_step_end", "on_log", "on_eval",
                      "on_checkpoint", "on_train_end"]  # fmt: skip
    assert notes[1::2] == [("b", event) for event in events]


def test_all_hear_of_an_error_and_of_the_end():
    notes = []

    class Failing(Callback):
        def on_train_end(self):
            raise OSError("full")

    both = CallbackList([Failing(), Note(notes, "after")])
    both.on_exception(ValueError())
    with pytest.raises(OSError, match="full"):
        both.on_train_end()
    assert notes == [("after", "on_exception"), ("after", "on_train_end")]


# --- what a run works out before it begins ------------------------------------------------------------------


def test_epochs_and_a_schedule_without_an_end(config, tmp_path):
    rows = config.replace(data=config.data.replace(rows=Packed()))
    open_end = WarmupCosine(peak=1.0, floor=0.1, warmup=2)
    train = rows.train.replace(steps=Epochs(epochs=2), schedule=open_end, checkpoint_every=1000, eval_every=1000)
    epochs = []

    class Count(Callback):
        def on_epoch_end(self, epoch, step):
            epochs.append((epoch, step))

    result = loop.train(rows.replace(train=train), BigramBackend(), out=tmp_path / "run", callbacks=[Count()])
    per_epoch = loop.prepare_batches(rows.data, 0).steps_per_epoch
    assert result.steps == 2 * per_epoch
    assert epochs == [(1, per_epoch), (2, 2 * per_epoch)]
    saved = open_run(tmp_path / "run").config.train
    assert saved.steps == saved.schedule.steps == result.steps


def test_averaged_weights_are_evaluated_beside_the_others(config, tmp_path):
    averaged = Averaged(optimizer=config.train.optimizer, average=0.5)
    config = config.replace(train=config.train.replace(optimizer=averaged))
    loop.train(config, BigramBackend(), out=tmp_path / "run")
    run = open_run(tmp_path / "run")
    rows = [row for row in read(run.metrics_path) if row.split == "val"]
    assert "averaged_loss" not in rows[0].noted
    assert 0 < abs(rows[-1].noted["averaged_loss"] - rows[-1].loss) < 0.2


def test_a_run_goes_on_with_other_readers(config, tmp_path):
    loop.train(config, BigramBackend(), out=tmp_path / "whole")
    loop.train(config, BigramBackend(), out=tmp_path / "cut", callbacks=[Kill(13)])
    read_ahead = config.replace(data=config.data.replace(readers=3))
    loop.resume(open_run(tmp_path / "cut"), read_ahead, BigramBackend())
    same_runs(tmp_path / "cut", tmp_path / "whole")
