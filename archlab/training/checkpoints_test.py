import json
import shutil
import time
from pathlib import Path

import numpy as np
import pytest

from archlab import weights as canonical
from archlab.errors import InputError
from archlab.files import sha256
from archlab.optim.adamw import AdamW
from archlab.optim.optimizer import LossScale, OptimizerState
from archlab.spec import schema
from archlab.testing.bigram import bigram_model
from archlab.training import migrations
from archlab.training.checkpoints import Checkpoints, Keep, TrainState, Writer
from archlab.training.stores import Canonical

MODEL = bigram_model(vocab=11)
ADAMW = AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1)
WEIGHTS = canonical.initial(MODEL.root(), seed=0)
OPTIMIZER = ADAMW.initial(schema(MODEL.root()))
GOLDEN = Path(__file__).parent / "golden"


def state_of(step, **fields):
    defaults = {"tokens": 10 * step, "seconds": 0.1, "val_loss": 1.0, "backend": "bigram", "updates": step}
    return TrainState(**({"step": step, "spec_hash": MODEL.hash()} | defaults | fields))


def save(checkpoints, step, val_loss=1.0, keep=2, every=None, **fields):
    state = state_of(step, val_loss=val_loss, **fields)
    checkpoints.save(state, WEIGHTS, OPTIMIZER, Keep(last=keep, every=every), Canonical())
    return state


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


def test_what_is_saved_comes_back_bit_for_bit(checkpoints):
    noted = {"pending": [[499, 1.25, 0.1, {"z": 2.0}]], "guard": {"usual": 0.5, "bad": [7]}}
    state = save(checkpoints, 500, updates=498, skipped=2, scale=LossScale(value=8.0, good=3), **noted)
    assert checkpoints.path(500).name == "step-000500"
    assert sorted(p.name for p in checkpoints.path(500).iterdir()) == [
        "optimizer.safetensors", "state.json", "weights.safetensors"]  # fmt: skip
    found = checkpoints.state(500)
    assert found.files.keys() == {"optimizer.safetensors", "weights.safetensors"}
    assert vars(found) == vars(state) | {"files": found.files}
    loaded = checkpoints.weights(500, MODEL.root())
    assert all(np.array_equal(loaded[path], value) for path, value in WEIGHTS.items())
    optimizer = checkpoints.optimizer(500, MODEL.root(), ADAMW)
    assert (optimizer.step, optimizer.skipped, optimizer.scale) == (498, 2, LossScale(value=8.0, good=3))
    assert set(optimizer.slots) == {"mu", "nu"}
    assert optimizer.slots["mu"].keys() == WEIGHTS.keys()


def test_the_last_ones_and_the_best_stay(checkpoints):
    for step, val_loss in ((10, 3.0), (20, 1.0), (30, 2.0), (40, 2.5), (50, 2.6)):
        save(checkpoints, step, val_loss)
    assert checkpoints.steps() == [20, 40, 50]
    assert (checkpoints.find("best"), checkpoints.find("last"), checkpoints.find("40")) == (20, 50, 40)
    with pytest.raises(InputError, match="last, best, 20, 40, 50"):
        checkpoints.find("30")


def test_those_at_multiples_stay_and_one_without_a_loss_is_not_the_best(checkpoints):
    for step, val_loss in ((10, 3.0), (20, 2.0), (30, 5.0), (40, 4.0), (45, None)):
        save(checkpoints, step, val_loss, keep=1, every=30)
    assert checkpoints.steps() == [20, 30, 45]
    assert checkpoints.best() == 20


def test_a_crash_while_writing_leaves_no_checkpoint(checkpoints, monkeypatch):
    save(checkpoints, 10)
    monkeypatch.setattr(canonical, "save", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save(checkpoints, 20)
    monkeypatch.undo()
    assert checkpoints.steps() == [10]
    save(checkpoints, 20)
    assert [p.name for p in sorted(checkpoints.folder.iterdir())] == ["step-000010", "step-000020"]


def test_going_on_from_an_earlier_step_drops_what_came_later(checkpoints):
    for step in (10, 20, 30):
        save(checkpoints, step, keep=3)
    checkpoints._hidden(40).mkdir()  # what a crash leaves
    checkpoints.drop_after(10)
    assert [p.name for p in checkpoints.folder.iterdir()] == ["step-000010"]


def test_no_checkpoint_yet(checkpoints):
    with pytest.raises(InputError, match="no checkpoint in"):
        checkpoints.last()


READERS = {
    "weights.safetensors": lambda checkpoints: checkpoints.weights(10, MODEL.root()),
    "optimizer.safetensors": lambda checkpoints: checkpoints.optimizer(10, MODEL.root(), ADAMW),
    "state.json": lambda checkpoints: checkpoints.state(10),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", ["cut", "gone", "foreign", "flipped"])
def test_damaged_files_are_refused_with_their_name(checkpoints, name, damage):
    save(checkpoints, 5)
    save(checkpoints, 10)
    path = checkpoints.path(10) / name
    whole = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "foreign":
        path.write_bytes(b"PK\x03\x04 a zip file")
    elif damage == "flipped":  # still a file of its kind, but for one bit
        if name == "state.json":
            pytest.skip("state.json holds the checksums and has none of its own; what is no JSON is noticed")
        path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(InputError, match=name) as caught:
        READERS[name](checkpoints)
    if name != "state.json":
        assert "take another checkpoint: 5" in str(caught.value)


def test_another_architecture_is_refused(checkpoints):
    save(checkpoints, 10)
    with pytest.raises(InputError, match=r"embedding\.table"):
        checkpoints.weights(10, bigram_model(vocab=12).root())


def test_another_optimizers_state_is_refused(checkpoints):
    slots = {"mu": OPTIMIZER.slots["mu"]}
    checkpoints.save(state_of(10), WEIGHTS, OptimizerState(step=10, slots=slots), Keep(last=1), Canonical())
    with pytest.raises(InputError, match=r"\['mu'\], AdamW needs \['mu', 'nu'\]"):
        checkpoints.optimizer(10, MODEL.root(), ADAMW)


# --- writing beside training ------------------------------------------------------------------------------


def test_a_writer_works_beside_and_in_order():
    writer, done = Writer(), []

    def slow(n):
        time.sleep(0.05)
        done.append(n)

    began = time.perf_counter()
    writer.submit(lambda: slow(1))
    assert time.perf_counter() - began < 0.04, "submit waited for the disk"
    writer.submit(lambda: slow(2))
    assert done == [1]
    writer.close()
    assert done == [1, 2]


def test_an_error_while_writing_comes_out():
    writer = Writer()
    writer.submit(lambda: (_ for _ in ()).throw(OSError("no space left")))
    with pytest.raises(OSError, match="no space left"):
        writer.close()


# --- earlier versions -------------------------------------------------------------------------------------


def test_a_checkpoint_of_format_1_is_read(tmp_path):
    """It was written by the code of its time: three steps of AdamW from the weights of seed 0, all gradients 1."""
    shutil.copytree(GOLDEN / "format-1", tmp_path / "old")
    old = Checkpoints(tmp_path / "old")
    state = old.state(3)
    assert (state.format, state.step, state.updates, state.skipped, state.val_loss) == (1, 3, 3, 0, 1.5)
    assert state.spec_hash == MODEL.hash()
    table, weights = schema(MODEL.root()), dict(WEIGHTS)
    expected = ADAMW.initial(table, np.float32)
    for _ in range(3):
        weights, expected = ADAMW.apply(table, weights, {p: np.ones_like(a) for p, a in WEIGHTS.items()}, expected, 0.1)
    found, optimizer = old.weights(3, MODEL.root()), old.optimizer(3, MODEL.root(), ADAMW)
    assert optimizer.step == 3
    for path in weights:
        np.testing.assert_array_equal(found[path], weights[path].astype(np.float32))
        np.testing.assert_array_equal(optimizer.slots["nu"][path], expected.slots["nu"][path])


def test_parameters_that_were_renamed_are_found(checkpoints, monkeypatch):
    save(checkpoints, 10)
    path = checkpoints.path(10) / "weights.safetensors"
    old = {name.replace("embedding.", "wte."): array for name, array in WEIGHTS.items()}
    canonical.save(path, old)
    notes = json.loads((checkpoints.path(10) / "state.json").read_text())
    notes["files"]["weights.safetensors"] = sha256(path)
    (checkpoints.path(10) / "state.json").write_text(json.dumps(notes))
    with pytest.raises(InputError, match=r"'embedding\.table' is missing"):
        checkpoints.weights(10, MODEL.root())
    monkeypatch.setattr(migrations, "RENAMED", ((3, r"^wte\.", "embedding."),))
    assert checkpoints.weights(10, MODEL.root()).keys() == WEIGHTS.keys()
    monkeypatch.setattr(migrations, "RENAMED", ((2, r"^wte\.", "embedding."),))  # before it was written
    with pytest.raises(InputError, match=r"'embedding\.table' is missing"):
        checkpoints.weights(10, MODEL.root())


def test_a_format_of_the_future_is_refused(checkpoints):
    save(checkpoints, 10)
    path = checkpoints.path(10) / "state.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"format": 99}))
    with pytest.raises(InputError, match="format is 99, this version of archlab reads 1 … 2"):
        checkpoints.state(10)
