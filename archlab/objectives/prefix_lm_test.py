import numpy as np
import pytest

from archlab.errors import InputError
from archlab.mixers.attention import Attention
from archlab.model import tiny_model
from archlab.objectives import Draws, NextToken, PrefixLM
from archlab.testing.vocabulary import Words

WORDS = Words(["a"] * 13)


def test_what_counts_is_what_follows_the_prefix():
    segments = np.array([1, 1, 1, 1, 1, 2, 3, 3, 3, 0, 0])
    row = {"tokens": np.arange(20, 31, dtype=np.int32), "segments": segments}
    for step in range(50):
        draws = Draws(0, f"{step}")
        batch = PrefixLM().make([row, row], draws, WORDS)
        plain = NextToken().make([row, row], draws, WORDS)
        np.testing.assert_array_equal(batch["tokens"], plain["tokens"])
        assert batch["prefix"].dtype == np.int32 and batch["prefix"].shape == (2, 10)
        for i in range(2):
            for segment, size in ((1, 5), (2, 1), (3, 3)):
                inside = batch["segments"][i] == segment
                (k,) = set(batch["prefix"][i][inside])
                assert 1 <= k <= max(size - 1, 1)
                expected = np.where(np.arange(inside.sum()) >= k - 1, plain["targets"][i][inside], -1)
                np.testing.assert_array_equal(batch["targets"][i][inside], expected)
                assert (expected >= 0).sum() == size - k


def test_every_split_is_as_likely():
    row = {"tokens": np.arange(10, dtype=np.int32)}
    found = [PrefixLM().make([row] * 64, Draws(1, f"{i}"), WORDS)["prefix"][:, 0] for i in range(50)]
    counts = np.bincount(np.concatenate(found), minlength=10)
    assert counts[0] == 0 and len(counts) == 10
    expected = 64 * 50 / 9
    assert np.sum((counts[1:] - expected) ** 2 / expected) < 31.8  # chi², 8 degrees of freedom: once in 10,000


def test_a_model_must_see_the_prefix():
    with pytest.raises(InputError, match="set the visibility of its attention to 'prefix'"):
        PrefixLM().check_model(tiny_model(), WORDS)
    mixer = Attention(heads=4, kv_heads=4, visibility="prefix", bias=False, out_bias=False)
    layer = tiny_model().stack.pattern[0].replace(mixer=mixer)
    PrefixLM().check_model(tiny_model(layer=layer), WORDS)
