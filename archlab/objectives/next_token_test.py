import numpy as np
import pytest

from archlab.data.batches import Batches
from archlab.data.rows import BestFit, Packed, Padded
from archlab.errors import InputError
from archlab.mixers.attention import Attention
from archlab.model import tiny_model
from archlab.objectives import Draws, NextToken
from archlab.testing.documents import STEP, lengths, numbered
from archlab.testing.vocabulary import Words

DRAWS = Draws(0, "test")


def test_targets_are_the_next_tokens():
    batch = NextToken().make([{"tokens": np.arange(7, dtype=np.int32)}] * 2, DRAWS, Words("a"))
    assert batch.keys() == {"tokens", "targets"}
    np.testing.assert_array_equal(batch["targets"], batch["tokens"] + 1)
    assert batch["tokens"].shape == (2, 6)


def test_no_target_is_of_another_document():
    row = {"tokens": np.array([10, 11, 20, 21, 22, 0, 0]), "segments": np.array([1, 1, 2, 2, 2, 0, 0])}
    batch = NextToken().make([row], DRAWS, Words("a"))
    expected = {
        "tokens": [10, 11, 20, 21, 0, 0],
        "targets": [11, -1, 21, 22, -1, -1],
        "segments": [1, 1, 2, 2, 0, 0],
        "positions": [0, 1, 0, 1, 0, 1],
    }
    assert {name: array[0].tolist() for name, array in batch.items()} == expected


@pytest.mark.parametrize("rows", [Packed(), BestFit(), Padded()])
def test_every_token_but_the_first_of_a_document_is_asked_once_in_evaluation(rows):
    sizes = lengths(50, 40)
    store = numbered(sizes)
    batches = Batches(
        train=store,
        validation=store,
        rows=rows,
        objective=NextToken(),
        tokenizer=Words("a"),
        length=16,
        batch=4,
        seed=0,
    )
    asked = []
    for batch in batches.validation_pass():
        counted = batch["targets"] >= 0
        np.testing.assert_array_equal(batch["targets"][counted], batch["tokens"][counted] + 1)
        assert (batch["segments"][counted] > 0).all()
        asked.append(batch["targets"][counted])
    seen = np.sort(np.concatenate(asked))
    whole = np.concatenate([STEP * i + np.arange(1, n) for i, n in enumerate(sizes)])
    np.testing.assert_array_equal(seen, whole)


def test_models_that_do_not_fit_are_refused():
    from archlab import catalog

    words = Words(["a"] * 13)  # 19 with marks
    NextToken().check_model(tiny_model(), words)
    with pytest.raises(InputError, match=r"set model\.vocab=20"):
        NextToken().check_model(tiny_model(), Words(["a"] * 14))
    mixer = Attention(heads=4, kv_heads=4, visibility="bidirectional", bias=False, out_bias=False)
    layer = tiny_model().stack.pattern[0].replace(mixer=mixer)
    with pytest.raises(InputError, match=r"stack\.layers\.0\.mixer.*causal"):
        NextToken().check_model(tiny_model(layer=layer), words)
    for name, says in (("small-t5", "reads source_tokens too"), ("vit", "reads no tokens"), ("bert", "at once")):
        with pytest.raises(InputError, match=says):
            NextToken().check_model(catalog.model(name), words)
