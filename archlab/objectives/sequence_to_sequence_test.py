import numpy as np
import pytest

from archlab import catalog
from archlab.data.batches import Batches
from archlab.data.rows import Bucketed, Packed, Padded
from archlab.data.store import MemoryStore
from archlab.errors import InputError
from archlab.objectives import Draws, NextToken, SequenceToSequence
from archlab.testing.vocabulary import Words

WORDS = Words([f"w{i}" for i in range(30)])
BOS, EOS = WORDS.special["bos"], WORDS.special["eos"]
PAIRS = [([10, 11, 12], [20, 21]), ([13], [22, 23, 24, 25]), ([14] * 9, [26])]
STORE = MemoryStore({
    name: [np.array(pair[side], dtype=np.int32) for pair in PAIRS] for side, name in enumerate(("source", "target"))
})  # fmt: skip


def batches(rows, **fields):
    fields = {"objective": SequenceToSequence(), "tokenizer": WORDS, "length": 10, "batch": 2, "seed": 0} | fields
    return Batches(train=STORE, validation=STORE, rows=rows, **fields)


def test_the_decoder_reads_the_target_behind_a_start():
    row = {"source": np.array([10, 11, EOS, -1]), "target": np.array([20, 21, EOS, -1, -1])}
    short = {"source": np.array([12, EOS]), "target": np.array([EOS])}
    batch = SequenceToSequence().make([row, short], Draws(0, "0"), WORDS)
    expected = {
        "source_tokens": [[10, 11, EOS, 0], [12, EOS, 0, 0]],
        "source_segments": [[1, 1, 1, 0], [1, 1, 0, 0]],
        "tokens": [[BOS, 20, 21, 0, 0], [BOS, 0, 0, 0, 0]],
        "targets": [[20, 21, EOS, -1, -1], [EOS, -1, -1, -1, -1]],
        "segments": [[1, 1, 1, 0, 0], [1, 0, 0, 0, 0]],
    }
    assert {name: array.tolist() for name, array in batch.items()} == expected


@pytest.mark.parametrize("rows", [Padded(marks=("eos",)), Bucketed(lengths=(4, 6), marks=("eos",))])
def test_every_pair_is_asked_once_in_evaluation(rows):
    found = set()
    for batch in batches(rows).validation_pass():
        for i in range(2):
            source = batch["source_tokens"][i][batch["source_segments"][i] > 0]
            found.add((tuple(source.tolist()), tuple(batch["targets"][i][batch["targets"][i] >= 0].tolist())))
    assert found - {((), ())} == {((*source, EOS), (*target, EOS)) for source, target in PAIRS}


def test_what_does_not_fit_is_refused():
    marked = Padded(marks=("eos",))
    with pytest.raises(InputError, match=r"set data\.rows\.marks=\[eos\]"):
        batches(Padded())
    with pytest.raises(InputError, match="NextToken asks about texts, and the data are pairs; take SequenceToSequence"):
        batches(marked, objective=NextToken())
    with pytest.raises(InputError, match="Packed cuts rows from texts"):
        batches(Packed(marks=("eos",)))
    text = MemoryStore({"text": [np.arange(9, dtype=np.int32)]})
    with pytest.raises(InputError, match="asks about pairs, and the data are texts"):
        SequenceToSequence().check_rows(marked, text)
    with pytest.raises(InputError, match="no 'bos' token"):
        batches(marked, tokenizer=Words("a", roles=("eos",)))
    t5 = catalog.model("small-t5", vocab=36)
    SequenceToSequence(start="pad").check_model(t5, WORDS)
    with pytest.raises(InputError, match=r"set model\.start=1, or data\.objective\.start to the role of 0"):
        SequenceToSequence().check_model(t5, WORDS)
