import itertools
from collections import Counter

import numpy as np
import pytest

from archlab import weights as canonical
from archlab.errors import InputError
from archlab.generation import Draft, check_draft, generate
from archlab.sampling import Sampling
from archlab.speculation import Speculator
from archlab.testing.bigram import BigramBackend, E, W, bigram_model
from archlab.tokenizers import CharTokenizer

VOCAB = 4


def bigram(seed, sharpness=1.0):
    """A random bigram model: its weights, and the probabilities (V, V) of the token after each."""
    model = bigram_model(vocab=VOCAB, width=VOCAB)
    weights = canonical.initial(model.root(), seed=0)
    weights[E] = np.eye(VOCAB, dtype=np.float32)
    weights[W] = (sharpness * np.random.default_rng(seed).normal(size=(VOCAB, VOCAB))).astype(np.float32)
    return model, weights


def decoder(seed, batch, length=64):
    model, weights = bigram(seed, 1.5)
    made = BigramBackend().decoder(model, weights, batch=batch, length=length)
    made.prefill(np.zeros((batch, 1), np.int32))
    return made, weights[W]


def written(pair, batch, count):
    tokens, pieces = np.zeros(batch, np.int32), []
    while (left := count - sum(p.shape[1] for p in pieces)) > 0:
        pieces.append(pair.write(tokens, left))
        tokens = pieces[-1][:, -1]
    return np.concatenate(pieces, axis=1)


@pytest.mark.parametrize(("sampling", "lookahead"), [(Sampling(), 3), (Sampling(temperature=0.7, top_k=3), 1)])
def test_what_is_written_is_distributed_as_the_target_writes(sampling, lookahead):
    """Frequencies of all texts of 3 tokens, over batches of 2: none is off by more than 5 standard deviations."""
    rounds, batch, length = 1500, 2, 3
    counts: Counter = Counter()
    for i in range(rounds):
        target, table = decoder(1, batch)
        pair = Speculator(target, decoder(2, batch)[0], sampling.replace(seed=i), lookahead=lookahead)
        counts.update(map(tuple, written(pair, batch, length).tolist()))
    after = sampling.probabilities(table.astype(np.float64))
    for text in itertools.product(range(VOCAB), repeat=length):
        p = np.prod([after[a, b] for a, b in zip((0, *text), text, strict=False)])
        spread = np.sqrt(max(p * (1 - p), 1e-12) * rounds * batch)
        assert abs(counts[text] - p * rounds * batch) <= 5 * spread, (text, p, counts[text] / rounds / batch)


def test_a_draft_that_is_the_target_is_always_believed():
    pair = Speculator(decoder(1, 2)[0], decoder(1, 2)[0], Sampling(), lookahead=4)
    written(pair, 2, 20)
    assert pair.tally.kept == pair.tally.proposed > 0


def test_a_draft_that_knows_nothing_changes_no_greedy_text():
    greedy = Sampling(temperature=0.0)
    pair = Speculator(decoder(1, 2)[0], decoder(7, 2)[0], greedy, lookahead=3)
    alone, _ = decoder(1, 2)
    assert written(pair, 2, 12).tolist() == alone.write(np.zeros(2, np.int32), 12, greedy).tolist()
    assert pair.target.seen == 1 + 12


def test_generate_takes_a_draft():
    tokenizer = CharTokenizer().train(["abcd"])
    model, weights = bigram(1, 3.0)
    small, small_weights = bigram(2, 3.0)
    draft = Draft(model=small, weights=small_weights, lookahead=3)
    greedy = Sampling(temperature=0.0)

    def texts(**more):
        found = generate(
            BigramBackend(), model, weights, tokenizer, ["a", "cb"], max_new_tokens=9, sampling=greedy, **more
        )
        return [g.text for g in found]

    assert texts(draft=draft) == texts()


def test_a_draft_needs_the_same_vocabulary():
    with pytest.raises(InputError, match="the draft knows 5 tokens, the model 4; a draft needs the model's own tok"):
        check_draft(bigram_model(vocab=4, width=4), bigram_model(vocab=5, width=4))


def test_a_lookahead_of_nothing_is_refused():
    with pytest.raises(InputError, match="lookahead is 0; it must be > 0"):
        Speculator(decoder(1, 1)[0], decoder(1, 1)[0], Sampling(), lookahead=0)
