import importlib
from pathlib import Path

import pytest


@pytest.fixture
def load(monkeypatch):
    monkeypatch.syspath_prepend(Path(__file__).parent)
    return importlib.import_module


def test_a_comparison_of_different_things_is_void(load):
    harness = load("harness")
    ours = (10, [2.0, 1.5])
    harness.agree({"ours": ours, "theirs": (10, [2.0 + 1e-5, 1.5 + 1e-4])}, 1e-5)
    for theirs in ((11, [2.0, 1.5]), (10, [2.0 + 1e-4, 1.5]), (10, [2.0, 1.5 + 1e-3]), (10, [2.0, float("nan")])):
        with pytest.raises(harness.VoidComparisonError, match="theirs"):
            harness.agree({"ours": ours, "theirs": theirs}, 1e-5)


def test_a_speedup_pairs_the_rounds(load):
    harness = load("harness")
    ours = [1.0, 2.0, 4.0, 8.0, 16.0]  # the machine slows down under both
    assert harness.speedup(ours, [1.5 * s for s in ours]) == harness.Summary(median=1.5, low=1.5, high=1.5)


def test_hand_written_nnx_takes_the_same_steps(load):
    case, harness = load("case"), load("harness")
    shape = case.Shape(name="tiny", layers=2, width=16, heads=2, length=8, batch=2, vocab=11, steps=1)
    tiny, data = case.Case(shape=shape, device="cpu", threads=1), case.batches(shape)

    def report(contestant):
        return contestant.parameters, [float(contestant.step(data[i])) for i in range(harness.CHECKED)]

    peers, ours = load("peers.plain_nnx"), load("peers.archlab_trainers")
    starts = (ours.in_torch, ours.in_jax, peers.pure, peers.lifted)
    harness.agree({start.__name__: report(start(tiny)) for start in starts}, harness.NOISE["cpu"])
