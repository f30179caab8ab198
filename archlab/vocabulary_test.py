import numpy as np
import pytest

from archlab import reference
from archlab.errors import InputError
from archlab.model import Head, tiny_model
from archlab.parity.cases import drawn_weights
from archlab.vocabulary import extend


@pytest.mark.parametrize("head", [None, Head(bias=True)])
@pytest.mark.parametrize("rows", ["init", "mean"])
def test_old_tokens_keep_their_logits(head, rows):
    model = tiny_model(vocab=19, head=head)
    weights = drawn_weights(model.root(), 0)
    grown, more = extend(model, weights, 23, rows=rows)
    assert grown.vocab == 23
    tokens = np.arange(12)[None]
    before = reference.run(model, weights, {"tokens": tokens}).output
    after = reference.run(grown, more, {"tokens": tokens}).output
    assert after.shape[-1] == 23
    assert np.allclose(after[..., :19], before, rtol=0, atol=1e-13)
    if rows == "mean":
        assert np.allclose(after[..., 19:], before.mean(axis=-1, keepdims=True))


def test_dtypes_stay():
    model = tiny_model(vocab=19)
    weights = {path: array.astype(np.float16) for path, array in drawn_weights(model.root(), 0).items()}
    assert {array.dtype for array in extend(model, weights, 20)[1].values()} == {np.dtype(np.float16)}


def test_a_vocabulary_does_not_shrink():
    model = tiny_model(vocab=19)
    with pytest.raises(InputError, match="19 tokens and can only grow; 7"):
        extend(model, drawn_weights(model.root(), 0), 7)
