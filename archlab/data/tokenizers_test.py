import json

import numpy as np
import pytest

from archlab.data.tokenizers import BPETokenizer, ByteTokenizer, CharTokenizer, load_tokenizer
from archlab.errors import InputError

TURKISH = "İstanbul'da ılık bir gün; IĞDIR, iğde, çağrışım, Şişli, öğüt, i̇ (i + nokta)."
TRICKY = TURKISH + "\r\n\t  two  spaces \n\n\r 👩‍🔬🇹🇷 é é ﬁ \ufeff\u2028\0 don't 3.14"
CORPUS = TRICKY + " the theme of these themes is the theatre" * 20
KINDS = [CharTokenizer(), ByteTokenizer(), BPETokenizer(vocab=290)]


@pytest.fixture(params=KINDS, ids=lambda kind: type(kind).__name__)
def trained(request):
    return request.param.train(CORPUS, "")


def test_round_trip_is_exact(trained):
    ids = trained.encode(TRICKY)
    assert ids.dtype == np.int32
    assert ids.ndim == 1
    assert 0 <= ids.min() <= ids.max() < trained.vocab_size
    assert trained.decode(ids) == TRICKY


def test_nothing_is_nothing(trained):
    assert trained.encode("").shape == (0,)
    assert trained.decode([]) == ""


def test_save_and_load_keep_everything(trained, tmp_path):
    trained.save(tmp_path / "tokenizer.json")
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert type(loaded) is type(trained)
    assert loaded.vocab_size == trained.vocab_size
    np.testing.assert_array_equal(loaded.encode(TRICKY), trained.encode(TRICKY))
    assert loaded.decode(trained.encode(TRICKY)) == TRICKY


def test_file_means_the_same_to_hugging_face(trained, tmp_path):
    from tokenizers import Tokenizer

    trained.save(tmp_path / "tokenizer.json")
    theirs = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    assert theirs.encode(TRICKY).ids == trained.encode(TRICKY).tolist()
    assert theirs.decode(theirs.encode(TRICKY).ids) == TRICKY


@pytest.mark.parametrize("bad", [-1, 10_000_000_000])
def test_unknown_id(trained, bad):
    with pytest.raises(InputError, match=f"token id {bad} at place 1 is outside the vocabulary 0 … "):
        trained.decode([0, bad])
    with pytest.raises(InputError, match=f"token id {trained.vocab_size} at place 0"):
        trained.decode(np.array([trained.vocab_size]))


def test_half_a_surrogate_pair_is_no_text(trained):
    with pytest.raises(InputError, match=r"'\\udce9'.* at place 3"):
        trained.encode("caf\udce9")


def test_characters_are_sorted_and_come_from_both_parts():
    trained = CharTokenizer().train("hello", "aß")
    assert [trained.decode([i]) for i in range(trained.vocab_size)] == sorted(set("helloaß"))


def test_unknown_character_is_named():
    trained = CharTokenizer().train("abc", "")
    for text, name in (("abxc", r"'x' \(U\+0078\) at place 2"), ("ğ", r"'ğ' \(U\+011F\) at place 0"), ("bÆ", "'Æ'")):
        with pytest.raises(InputError, match=f"the character {name}.* is not among the 3"):
            trained.encode(text)


def test_byte_ids_are_bytes():
    trained = ByteTokenizer().train("", "")
    assert trained.vocab_size == 256
    assert trained.encode(TRICKY).tolist() == list(TRICKY.encode())
    assert trained.rules.encode(TRICKY).ids == list(TRICKY.encode())
    # all 256, in the order of the general rules too
    assert [trained.decode([i]) for i in range(128)] == [chr(i) for i in range(128)]
    assert trained.decode("ı".encode()) == "ı"


def test_broken_utf8_is_shown_as_replacement():
    assert ByteTokenizer().train("", "").decode([65, 0xC4, 66]) == "A\ufffdB"


def test_bpe_has_the_vocabulary_it_was_asked_for_and_merges():
    trained = BPETokenizer(vocab=290).train(CORPUS, "")
    assert trained.vocab_size == 290
    assert len(trained.encode(" the theme")) < len(" the theme")


def test_bpe_training_is_deterministic_and_blind_to_the_held_out_part():
    one, other = (BPETokenizer(vocab=290).train(CORPUS, held_out) for held_out in ("", "zzzzzzzz" * 99))
    assert one.rules.to_str() == other.rules.to_str()


def test_bpe_without_enough_text_names_what_it_has():
    with pytest.raises(InputError, match=r"vocab: 300 is too much: 4 characters of text give only 258 tokens"):
        BPETokenizer(vocab=300).train("abcd"[:2] * 2, "")


def test_empty_text_has_no_characters():
    with pytest.raises(InputError, match="the text is empty"):
        CharTokenizer().train("", "")


def test_foreign_word_tokenizer_is_not_taken_for_characters(tmp_path):
    from tokenizers import Tokenizer, models, pre_tokenizers

    foreign = Tokenizer(models.WordLevel({"a": 0, "b": 1, "?": 2}, unk_token="?"))
    foreign.pre_tokenizer = pre_tokenizers.Whitespace()
    foreign.save(str(tmp_path / "tokenizer.json"))
    assert load_tokenizer(tmp_path / "tokenizer.json").encode("a b zz").tolist() == [0, 1, 2]


def test_id_without_a_token_is_unknown(tmp_path):
    trained = CharTokenizer().train("abc", "")
    data = json.loads(trained.rules.to_str())
    data["model"]["vocab"] = {"a": 0, "b": 1, "c": 7}
    (tmp_path / "tokenizer.json").write_text(json.dumps(data))
    loaded = load_tokenizer(tmp_path / "tokenizer.json")
    assert loaded.vocab_size == 8
    assert loaded.encode("cab").tolist() == [7, 0, 1]
    with pytest.raises(InputError, match="token id 3"):
        loaded.decode([3])


@pytest.mark.parametrize("content", [b"", b"{}", b"[1, 2", b"\xff\xfe", b'{"version": "1.0", "model": null}'])
def test_corrupt_file(tmp_path, content):
    path = tmp_path / "tokenizer.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"tokenizer\.json"):
        load_tokenizer(path)


def test_truncated_file(tmp_path):
    path = tmp_path / "tokenizer.json"
    ByteTokenizer().train("", "").save(path)
    path.write_text(path.read_text()[:-20])
    with pytest.raises(InputError, match=r"is not a tokenizer\.json"):
        load_tokenizer(path)


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="cannot be read"):
        load_tokenizer(tmp_path / "no.json")
    with pytest.raises(InputError, match="cannot be read"):
        load_tokenizer(tmp_path)


def test_file_without_tokens(tmp_path):
    from tokenizers import Tokenizer, models

    Tokenizer(models.BPE()).save(str(tmp_path / "tokenizer.json"))
    with pytest.raises(InputError, match="without tokens"):
        load_tokenizer(tmp_path / "tokenizer.json")
