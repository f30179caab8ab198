import numpy as np
import pytest

from archlab.config import FieldError
from archlab.errors import InputError
from archlab.objectives import Draws, MaskedTokens
from archlab.testing.vocabulary import Words

WORDS = Words([f"w{i}" for i in range(94)])  # 100 tokens, from 6 on words
MASK = WORDS.special["mask"]
B, T = 8, 100


def made(objective, step, rows=None):
    rows = rows or [{"tokens": np.arange(T, dtype=np.int32) % 94 + 6}] * B
    return objective.make(rows, Draws(0, f"{step}"), WORDS), np.stack([r["tokens"] for r in rows])


def test_exactly_a_share_of_each_row_is_asked_and_the_rest_is_as_it_was():
    batch, tokens = made(MaskedTokens(), 0)
    asked = batch["targets"] >= 0
    np.testing.assert_array_equal(asked.sum(axis=1), 15)
    np.testing.assert_array_equal(batch["targets"][asked], tokens[asked])
    np.testing.assert_array_equal(batch["tokens"][~asked], tokens[~asked])
    assert {v.dtype for v in batch.values()} == {np.dtype(np.int32)}


def test_every_place_is_chosen_as_often_and_hidden_as_published():
    places, kinds = np.zeros(T), np.zeros(3)
    others = np.zeros(100)
    steps = 200
    for step in range(steps):
        batch, tokens = made(MaskedTokens(), step)
        asked = batch["targets"] >= 0
        places += asked.sum(axis=0)
        masked, kept = batch["tokens"] == MASK, batch["tokens"] == tokens
        kinds += [(asked & masked).sum(), (asked & ~masked & ~kept).sum(), (asked & kept).sum()]
        others += np.bincount(batch["tokens"][asked & ~masked & ~kept], minlength=100)
    total = steps * B * 15
    expected = total / T
    # Without replacement: the variance of a place is smaller by 1 − rate.
    assert np.sum((places - expected) ** 2 / (expected * 0.85)) < 99 * 1.6  # chi², 99 degrees: once in 10,000
    hit = 0.1 / 100  # a random token is the mask, or the token itself, in one case of 100
    shares = np.array([0.8 + hit, 0.1 - 2 * hit, 0.1 + hit]) * total
    assert np.sum((kinds - shares) ** 2 / shares) < 18.4  # 2 degrees: once in 10,000
    drawn = np.delete(others, MASK)  # nearly even: a token is rarer by those of itself
    assert np.sum((drawn - drawn.mean()) ** 2 / drawn.mean()) < 99 * 1.6
    assert (others[:6].sum() > 0) and others[MASK] == 0


def test_marks_and_filling_are_left_alone():
    tokens = np.array([1, 10, 11, 12, 2, 1, 13, 2, 0, 0], dtype=np.int32)
    row = {"tokens": tokens, "segments": np.array([1, 1, 1, 1, 1, 2, 2, 2, 0, 0])}
    seen = set()
    for step in range(60):
        batch, _ = made(MaskedTokens(rate=0.3), step, [row])
        (places,) = np.nonzero(batch["targets"][0] >= 0)
        assert len(places) == 1  # round(0.3 · 4)
        seen |= set(places.tolist())
        np.testing.assert_array_equal(batch["positions"][0][:8], [0, 1, 2, 3, 4, 0, 1, 2])
    assert seen == {1, 2, 3, 6}


def test_a_row_without_text_asks_nothing_and_a_short_one_asks_one():
    empty = {"tokens": np.zeros(5, np.int32), "segments": np.zeros(5, np.int32)}
    short = {"tokens": np.array([9, 2, 0, 0, 0], dtype=np.int32), "segments": np.array([1, 1, 0, 0, 0])}
    batch, _ = made(MaskedTokens(), 0, [empty, short])
    np.testing.assert_array_equal(batch["targets"], [[-1] * 5, [9, -1, -1, -1, -1]])


def test_without_random_tokens():
    batch, tokens = made(MaskedTokens(mask=1.0, random=0.0), 0)
    np.testing.assert_array_equal(batch["tokens"], np.where(batch["targets"] >= 0, MASK, tokens))
    batch, tokens = made(MaskedTokens(mask=0.0, random=0.0), 0)
    np.testing.assert_array_equal(batch["tokens"], tokens)


def test_what_does_not_fit_is_refused():
    from archlab import catalog

    with pytest.raises(FieldError, match=r"random.*must lie in \[0, 1 − mask\]"):
        MaskedTokens(mask=0.95)
    with pytest.raises(InputError, match="no 'mask' token; add it"):
        MaskedTokens().check_tokenizer(Words("a", roles=("pad",)), 8)
    MaskedTokens().check_model(catalog.model("mini-bert"), WORDS)
    with pytest.raises(InputError, match="to 'bidirectional', or take an Encoder"):
        MaskedTokens().check_model(catalog.model("mini-gpt"), WORDS)
    headless = catalog.model("mini-bert").replace(head=None)
    with pytest.raises(InputError, match="answers with 64 numbers and not with tokens"):
        MaskedTokens().check_model(headless, WORDS)
