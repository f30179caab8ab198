import numpy as np
import pytest

from archlab.errors import InputError
from archlab.sampling import Sampling

LOGITS = np.log(np.array([[0.1, 0.4, 0.05, 0.3, 0.15]]))


def test_temperature_zero_takes_the_largest_logit():
    assert Sampling(temperature=0.0).draw(LOGITS, 0).tolist() == [1]


def test_temperature_sharpens():
    squared = np.exp(LOGITS) ** 2
    np.testing.assert_allclose(Sampling(temperature=0.5).probabilities(LOGITS), squared / squared.sum(), rtol=1e-12)


@pytest.mark.parametrize(
    ("sampling", "kept"),
    [
        (Sampling(top_k=2), [1, 3]),
        (Sampling(top_k=99), [0, 1, 2, 3, 4]),
        (Sampling(top_p=0.69), [1, 3]),
        (Sampling(top_p=0.71), [1, 3, 4]),
        (Sampling(top_p=1e-9), [1]),
        (Sampling(top_k=2, top_p=0.5), [1]),
    ],
)
def test_what_stays_possible(sampling, kept):
    p = sampling.probabilities(LOGITS)[0]
    assert np.flatnonzero(p).tolist() == kept
    assert p.sum() == pytest.approx(1.0)


def test_equal_logits_keep_exactly_k():
    assert np.count_nonzero(Sampling(top_k=3).probabilities(np.zeros((1, 8)))) == 3


def test_draws_follow_the_probabilities():
    counts = np.zeros(5)
    for step in range(100):
        np.add.at(counts, Sampling(seed=3).draw(np.repeat(LOGITS, 200, axis=0), step), 1)
    np.testing.assert_allclose(counts / counts.sum(), np.exp(LOGITS[0]), atol=0.012)  # 3.5 standard deviations


def test_a_draw_depends_on_seed_and_step_only():
    logits = np.zeros((4, 1000))
    first = Sampling(seed=1).draw(logits, 5)
    assert first.tolist() == Sampling(seed=1).draw(logits.astype(np.float32), 5).tolist()
    assert first.tolist() != Sampling(seed=1).draw(logits, 6).tolist()
    assert first.tolist() != Sampling(seed=2).draw(logits, 5).tolist()


def test_a_hidden_token_is_never_drawn():
    logits = np.array([[-np.inf, 0.0, -np.inf]])
    assert {int(Sampling().draw(logits, step)[0]) for step in range(50)} == {1}


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"top_k": 0}, {"top_p": 0.0}, {"top_p": 1.5}])
def test_bad_values_are_refused(bad):
    with pytest.raises(InputError, match=next(iter(bad))):
        Sampling(**bad)
