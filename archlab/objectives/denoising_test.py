import numpy as np
import pytest

from archlab import catalog
from archlab.config import FieldError
from archlab.errors import InputError
from archlab.objectives import Denoiser, Draws, MixtureOfDenoisers, SpanCorruption
from archlab.objectives.corruption import noise_counts, noise_mask
from archlab.testing.vocabulary import Words

SENTINELS = 60
WORDS = Words(["[R]", "[S]", "[X]", *(f"w{i}" for i in range(1000))], sentinels=SENTINELS)
EOS, PAD, FIRST = WORDS.special["eos"], WORDS.special["pad"], WORDS.sentinels[0]
TEXT = WORDS.vocab_size - 1000


def text_rows(count, length):
    return [{"tokens": TEXT + np.arange(length, dtype=np.int32)}] * count


def restored(source, target):
    """The text of a source and a target, each with its end; raises where they do not fit each other."""
    source, target = list(source), list(target)
    assert source.pop() == target.pop() == EOS
    spans, at = [], -1
    for token in target:
        if token in WORDS.sentinels:
            assert token == FIRST + len(spans)  # in order
            spans.append([])
        else:
            spans[at].append(token)
    assert all(spans)
    found = [t for t in source if t in WORDS.sentinels]
    assert found == list(range(FIRST, FIRST + len(spans)))
    out = []
    for token in source:
        out += spans[token - FIRST] if token in WORDS.sentinels else [token]
    return out


def pairs(batch):
    """Source and target of each row, without filling."""
    for i in range(len(batch["targets"])):
        asked = batch["targets"][i] >= 0
        if "source_tokens" in batch:
            source = batch["source_tokens"][i]
            there = batch.get("source_segments", np.ones_like(batch["source_tokens"]))[i] > 0
            yield source[there], batch["targets"][i][asked]
        else:
            prefix = batch["prefix"][i, 0]
            assert (batch["prefix"][i] == prefix).all() and not asked[: prefix - 1].any()
            yield batch["tokens"][i][:prefix], batch["targets"][i][asked]


def test_lengths_are_the_published_ones():
    """T5: 568 tokens become 512 and 114 (https://arxiv.org/abs/1910.10683, released configurations)."""
    assert SpanCorruption().row_length(512) == 568
    assert [int(n) for n in SpanCorruption().widths(568)[:2]] == [512, 114]
    batch = SpanCorruption().make(text_rows(4, 568), Draws(0, "0"), WORDS)
    assert {k: v.shape for k, v in batch.items()} == {
        "source_tokens": (4, 512), "tokens": (4, 114), "targets": (4, 114),
    }  # fmt: skip
    assert (batch["targets"] >= 0).all() and (batch["source_tokens"][:, -1] == EOS).all()
    np.testing.assert_array_equal(batch["tokens"][:, 0], PAD)
    np.testing.assert_array_equal(batch["tokens"][:, 1:], batch["targets"][:, :-1])


@pytest.mark.parametrize("layout", ["encoder_decoder", "decoder"])
@pytest.mark.parametrize("objective", [SpanCorruption(), SpanCorruption(rate=0.5, span=1.5), MixtureOfDenoisers()])
@pytest.mark.parametrize("length", [30, 97])
def test_source_and_target_give_the_text(layout, objective, length):
    objective = objective.replace(layout=layout)
    raw = objective.row_length(length)
    rows = text_rows(16, raw)
    rows += [
        {"tokens": rows[0]["tokens"], "segments": (np.arange(raw) < n).astype(np.int32)} for n in (0, 1, 2, 3, raw - 1)
    ]
    for step in range(10):
        batch = objective.make(rows, Draws(0, f"{step}"), WORDS)
        width = batch["source_tokens" if layout == "encoder_decoder" else "tokens"].shape[1]
        assert width <= length
        for row, (source, target) in zip(rows, pairs(batch), strict=True):
            size = int(row["segments"].sum()) if "segments" in row else raw
            if size < 2:  # nothing can be taken from it
                assert len(target) == 0
            else:
                assert restored(source, target) == (TEXT + np.arange(size)).tolist()
    longer = objective.widths(raw + 1)
    assert (longer[0] if layout == "encoder_decoder" else longer[2] - 1) > length, "a longer row would fit"


def test_the_decoder_reads_what_it_is_asked_for():
    batch = SpanCorruption(layout="decoder").make(text_rows(3, 60), Draws(0, "0"), WORDS)
    np.testing.assert_array_equal(
        batch["tokens"][:, 1:][batch["targets"][:, :-1] >= 0], batch["targets"][:, :-1][batch["targets"][:, :-1] >= 0]
    )
    assert "segments" not in batch
    padded = [{"tokens": text_rows(1, 60)[0]["tokens"], "segments": (np.arange(60) < 40).astype(np.int32)}]
    batch = SpanCorruption(layout="decoder").make(padded, Draws(0, "0"), WORDS)
    end = int(batch["segments"][0].sum())
    assert batch["targets"][0, end - 1] == EOS and (batch["targets"][0, end:] == -1).all()


@pytest.mark.parametrize(("rate", "span"), [(0.15, 3.0), (0.15, 8.0), (0.5, 3.0), (0.5, 64.0), (0.9, 1.0)])
def test_counts_are_the_published_formula(rate, span):
    for n in range(2, 200):
        noise = min(max(round(n * rate), 1), n - 1)
        spans = min(max(round(noise / span), 1), noise, n - noise)
        found = noise_counts(np.array([n]), rate, span)
        assert [int(found[0][0]), int(found[1][0])] == [noise, spans]


@pytest.mark.parametrize(("length", "noise", "divisions"), [(7, 3, 3 * 2), (8, 4, 3 * 3)])
def test_all_divisions_are_as_likely(length, noise, divisions):
    """Into two spans each, text and noise apart from each other."""
    seen, rows = {}, 64
    for step in range(100):
        mask = noise_mask(*(np.full(rows, n) for n in (length, noise, 2)), Draws(0, f"{step}"), length + 2)
        assert not mask[:, length:].any() and not mask[:, 0].any() and mask[:, length - 1].all()
        for row in map(tuple, mask[:, :length]):
            seen[row] = seen.get(row, 0) + 1
    counts, expected = np.array([*seen.values()]), 100 * rows / divisions
    assert len(counts) == divisions and all(sum(row) == noise for row in seen)
    assert np.sum((counts - expected) ** 2 / expected) < 31.8  # chi², 8 degrees of freedom: once in 10,000


def test_the_mixture_is_drawn_by_weight_and_the_end_has_its_mean():
    length, count, steps = 200, 64, 20
    parts = (
        Denoiser(rate=0.15, span=3.0, weight=2.0, token="[R]"), Denoiser(rate=0.25, span=None, token="[S]"),
        Denoiser(rate=0.5, span=8.0, weight=0.5, token="[X]"),
    )  # fmt: skip
    objective, kinds, tails = MixtureOfDenoisers(denoisers=parts), np.zeros(3), []
    for step in range(steps):
        batch = objective.make(text_rows(count, length), Draws(0, f"{step}"), WORDS)
        for source, target in pairs(batch):
            kind = source[0] - WORDS.texts.index("[R]")
            kinds[kind] += 1
            assert restored(source[1:], target) == (TEXT + np.arange(length)).tolist()
            noise = sum(t >= TEXT for t in target)
            if kind == 1:
                tails.append(noise)
                assert source[-2] == FIRST  # one span, at the end
            else:
                assert noise == (30 if kind == 0 else 100)
                assert len(target) - noise - 1 == (10 if kind == 0 else 12)
    expected = steps * count * np.array([2, 1, 0.5]) / 3.5
    assert np.sum((kinds - expected) ** 2 / expected) < 18.4  # chi², 2 degrees of freedom: once in 10,000
    assert (min(tails), max(tails)) == (1, 99)
    assert abs(np.mean(tails) - 50) < 4 * np.std(tails) / np.sqrt(len(tails))


def test_ul2_has_the_published_seven():
    table = [(3, 0.15), (8, 0.15), (None, 0.25), (3, 0.5), (8, 0.5), (64, 0.15), (64, 0.5)]
    assert [(d.span, d.rate) for d in MixtureOfDenoisers().denoisers] == table
    shapes = set()
    for step in range(20):
        made = MixtureOfDenoisers().make(text_rows(4, 100), Draws(0, f"{step}"), WORDS)
        shapes.add(tuple(v.shape for v in made.values()))
    assert len(shapes) == 1


def test_what_the_tokenizer_lacks_is_said():
    SpanCorruption().check_tokenizer(WORDS, 512)
    with pytest.raises(InputError, match=r"needs 28 sentinels for rows of 512 tokens and the tokenizer has 5; set"):
        SpanCorruption().check_tokenizer(Words("a", sentinels=5), 512)
    with pytest.raises(InputError, match="no 'eos' token"):
        SpanCorruption().check_tokenizer(Words("a", roles=("pad",), sentinels=99), 512)
    named = MixtureOfDenoisers(denoisers=(Denoiser(rate=0.15, span=3.0, token="[NLU]"),))
    with pytest.raises(InputError, match=r"no token '\[NLU\]'; add it"):
        named.check_tokenizer(WORDS, 64)
    with pytest.raises(InputError, match="2 tokens are too few for SpanCorruption"):
        SpanCorruption().check_tokenizer(WORDS, 2)


def test_models_that_do_not_fit_are_refused():
    words = Words(["a"] * 5, sentinels=3)
    small = catalog.model("small-t5", vocab=14)
    SpanCorruption().check_model(small, words)
    with pytest.raises(InputError, match=r"model\.start: 0 is not the token 1 of the role 'bos'.*set model\.start=1"):
        SpanCorruption(start="bos").check_model(small, words)
    with pytest.raises(InputError, match=r"set model\.vocab=15"):
        SpanCorruption().check_model(small, Words(["a"] * 6, sentinels=3))
    gpt = catalog.model("mini-gpt", vocab=14, length=32)
    with pytest.raises(InputError, match="reads no source of tokens, which SpanCorruption gives; take an Encoder"):
        SpanCorruption().check_model(gpt, words)
    SpanCorruption(layout="decoder").check_model(gpt, words)


def test_how_many_tokens_a_model_reads():
    """Of T5's rows of 512 the target has 114, as published: a decoder needs no longer table of positions."""
    assert SpanCorruption().sequences(512) == {"S": 512, "T": 114}
    assert SpanCorruption(layout="decoder").sequences(512) == {"T": 512}


def test_bad_values_say_what_is_allowed():
    for made, says in (
        (lambda: SpanCorruption(rate=1.0), "rate: 1.0 must lie strictly between 0 and 1"),
        (lambda: SpanCorruption(span=0.5), "span: 0.5 must be ≥ 1"),
        (lambda: Denoiser(rate=0.6, span=None), "rate: 0.6 must be ≤ 0.5 for the end"),
        (lambda: MixtureOfDenoisers(denoisers=()), "denoisers: .* is empty"),
        (lambda: MixtureOfDenoisers(denoisers=(
            Denoiser(rate=0.1, span=3.0), Denoiser(rate=0.1, span=3.0, token="[R]"))), "a token or none of them"),
    ):  # fmt: skip
        with pytest.raises(FieldError, match=says):
            made()
