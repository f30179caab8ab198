import numpy as np
import pytest

from archlab import weights as canonical
from archlab.errors import InputError
from archlab.optim.adamw import AdamW
from archlab.spec import schema
from archlab.testing.bigram import bigram_model
from archlab.training.checkpoints import Checkpoints, TrainState

MODEL = bigram_model(vocab=11)
ADAMW = AdamW(beta1=0.9, beta2=0.95, epsilon=1e-8, weight_decay=0.1)
WEIGHTS = canonical.initial(MODEL.root(), seed=0)
OPTIMIZER = ADAMW.initial(schema(MODEL.root()))


def save(checkpoints, step, val_loss=1.0, keep=2):
    state = TrainState(
        step=step, tokens=10 * step, seconds=0.1, val_loss=val_loss, backend="bigram", spec_hash=MODEL.hash()
    )
    checkpoints.save(state, WEIGHTS, OPTIMIZER, keep)
    return state


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints")


def test_what_is_saved_comes_back_bit_for_bit(checkpoints):
    state = save(checkpoints, 500)
    assert checkpoints.path(500).name == "step-000500"
    assert sorted(p.name for p in checkpoints.path(500).iterdir()) == [
        "optimizer.safetensors", "state.json", "weights.safetensors"]  # fmt: skip
    assert checkpoints.state(500) == state
    loaded = checkpoints.weights(500, MODEL.root())
    assert all(np.array_equal(loaded[path], value) for path, value in WEIGHTS.items())
    optimizer = checkpoints.optimizer(500, MODEL.root(), ADAMW)
    assert optimizer.step == OPTIMIZER.step
    assert set(optimizer.slots) == {"mu", "nu"}
    assert optimizer.slots["mu"].keys() == WEIGHTS.keys()


def test_the_last_ones_and_the_best_stay(checkpoints):
    for step, val_loss in ((10, 3.0), (20, 1.0), (30, 2.0), (40, 2.5), (50, 2.6)):
        save(checkpoints, step, val_loss)
    assert checkpoints.steps() == [20, 40, 50]
    assert (checkpoints.find("best"), checkpoints.find("last"), checkpoints.find("40")) == (20, 50, 40)
    with pytest.raises(InputError, match="last, best, 20, 40, 50"):
        checkpoints.find("30")


def test_a_crash_while_writing_leaves_no_checkpoint(checkpoints, monkeypatch):
    save(checkpoints, 10)
    monkeypatch.setattr(canonical, "save", lambda *a: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        save(checkpoints, 20)
    monkeypatch.undo()
    assert checkpoints.steps() == [10]
    save(checkpoints, 20)
    assert [p.name for p in sorted(checkpoints.folder.iterdir())] == ["step-000010", "step-000020"]


def test_no_checkpoint_yet(checkpoints):
    with pytest.raises(InputError, match="no checkpoint in"):
        checkpoints.last()


READERS = {
    "weights.safetensors": lambda checkpoints: checkpoints.weights(10, MODEL.root()),
    "optimizer.safetensors": lambda checkpoints: checkpoints.optimizer(10, MODEL.root(), ADAMW),
    "state.json": lambda checkpoints: checkpoints.state(10),
}


@pytest.mark.parametrize("name", READERS)
@pytest.mark.parametrize("damage", ["cut", "gone", "foreign"])
def test_damaged_files_are_refused_with_their_name(checkpoints, name, damage):
    save(checkpoints, 10)
    path = checkpoints.path(10) / name
    whole = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif damage == "foreign":
        path.write_bytes(b"PK\x03\x04 a zip file")
    with pytest.raises(InputError, match=name):
        READERS[name](checkpoints)


def test_another_architecture_is_refused(checkpoints):
    save(checkpoints, 10)
    with pytest.raises(InputError, match=r"embedding\.table"):
        checkpoints.weights(10, bigram_model(vocab=12).root())


def test_another_optimizers_state_is_refused(checkpoints):
    save(checkpoints, 10)
    path = checkpoints.path(10) / "optimizer.safetensors"
    arrays, metadata = canonical.load(path)
    canonical.save(path, {k: v for k, v in arrays.items() if k.startswith("mu/")}, metadata)
    with pytest.raises(InputError, match=r"\['mu'\], AdamW needs \['mu', 'nu'\]"):
        checkpoints.optimizer(10, MODEL.root(), ADAMW)
