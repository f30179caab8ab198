import io
import json
import sys

import pytest
from rich.cells import cell_len

from archlab.cli import main
from archlab.cli.tokenizer_tables import token_lines, visible
from archlab.tokenizers import load_tokenizer

TEXT = "Şu köşe yaz köşesi, şu köşe kış köşesi; ortada su şişesi.\n" * 8


@pytest.fixture
def folder(tmp_path, monkeypatch):
    (tmp_path / "text.txt").write_text(TEXT, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def done(capsys, *arguments):
    assert main(["tokenizer", *arguments]) == 0
    return capsys.readouterr().out


@pytest.fixture
def small(folder, capsys):
    """A trained tokenizer."""
    done(
        capsys, "train", "--kind", "bpe", "--vocab", "280", "--casing", "turkish_lower", "--special", "pad=<pad>",
        "--special", "eos=</s>", "--sentinels", "3", "text.txt", "--out", "small",
    )  # fmt: skip
    return folder / "small"


def test_train(small):
    trained = load_tokenizer(small)
    assert trained.vocab_size == 280
    assert trained.special == {"pad": 275, "eos": 276}
    assert trained.sentinels == [277, 278, 279]
    assert trained.decode(trained.encode("IŞIK")) == "ışık"
    assert sorted(file.name for file in small.iterdir()) == ["tokenizer.json", "tokenizer_config.json"]


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("char", []),
        ("byte", []),
        ("bpe", ["--vocab", "270"]),
        ("word", ["--vocab", "9", "--min-count", "2"]),
        ("wordpiece", ["--vocab", "50", "--form", "NFKC"]),
        ("unigram", ["--vocab", "25"]),
    ],
)
def test_train_every_kind(folder, capsys, kind, options):
    out = done(capsys, "train", "--kind", kind, *options, "text.txt", "text.txt", "--out", "new/one", "--json")
    facts = json.loads(out)
    trained = load_tokenizer(facts["path"])
    assert (facts["vocab_size"], facts["special"]) == (trained.vocab_size, trained.special)
    assert len(trained.encode("şu köşe")) > 0


def test_what_a_person_is_told(folder, capsys):
    out = done(capsys, "train", "--kind", "char", "text.txt", "--out", "chars")
    assert out == f"{'chars/tokenizer.json'}: CharTokenizer, {len(set(TEXT))} tokens\n"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--kind", "bpf", "text.txt"], "--kind bpf: there is no such tokenizer; did you mean 'bpe'?"),
        (["--kind", "bpe", "text.txt"], "--vocab: this field of BPETokenizer is required"),
        (["--kind", "char", "--vocab", "9", "text.txt"], "--vocab: unknown field of CharTokenizer"),
        (["--kind", "bpe", "--vocab", "9000", "text.txt"], "--vocab: 9000 is too much"),
        (["--kind", "word", "--vocab", "9", "--casing", "upper", "text.txt"], "--casing: 'upper' is not allowed"),
        (["--kind", "char", "--special", "eos", "text.txt"], "--special eos: not ROLE=TOKEN"),
        (["--kind", "char", "--special", "end=x", "text.txt"], "--special: {'end': 'x'} has 'end', which is no role"),
        (["--kind", "char", "no.txt"], "'no.txt' is no dataset, file or folder"),
        (["--kind", "char", "text.txt", "--out", "text.txt/new"], "--out text.txt/new cannot be written"),
    ],
)
def test_wrong_options(folder, capsys, arguments, says):
    out = [] if "--out" in arguments else ["--out", "new"]
    assert main(["tokenizer", "train", *arguments, *out]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert says in err
    assert not (folder / "new").exists()


def test_a_tokenizer_is_not_written_over(small, capsys):
    before = (small / "tokenizer.json").read_bytes()
    assert main(["tokenizer", "train", "--kind", "char", "text.txt", "--out", "small"]) == 2
    assert "has a tokenizer.json already" in capsys.readouterr().err
    assert (small / "tokenizer.json").read_bytes() == before


def test_encode_and_decode(small, capsys, monkeypatch):
    trained = load_tokenizer(small)
    data = json.loads(done(capsys, "encode", "small", "Şu köşede", "--json"))
    assert data["ids"] == trained.encode("Şu köşede").tolist()
    assert "".join(data["pieces"]) == "şu köşede"
    ids = list(map(str, data["ids"]))
    assert done(capsys, "decode", "small", *ids) == "şu köşede\n"
    assert json.loads(done(capsys, "decode", "small", "--json", *ids))["text"] == "şu köşede"
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO("şu\nsu".encode()), encoding="utf-8"))
    assert json.loads(done(capsys, "encode", "small", "-", "--json"))["text"] == "şu\nsu"


def test_encode_for_a_person(small, capsys):
    lines = done(capsys, "encode", "small", "şu köşede").splitlines()
    trained = load_tokenizer(small)
    ids = trained.encode("şu köşede").tolist()
    assert lines[0].split() == [visible(piece) for piece in trained.pieces(ids)]
    assert lines[1].split() == list(map(str, ids))
    assert lines[2] == f"{len(ids)} tokens, 9 characters, {9 / len(ids):.2f} characters a token"
    assert done(capsys, "encode", "small", "") == "0 tokens, 0 characters\n"


def test_tokens_stand_over_their_ids():
    pieces, ids = ["bir", "·", "日本", "x" * 30, "\n"], [7, 1234, 5, 6, 198]
    lines = [line.plain for line in token_lines(pieces, ids, 20)]
    assert lines == ["bir · " + "   日本 ", "7   1234 5    ", "x" * 30 + " ", "6" + " " * 30, "\\n  ", "198 "]
    assert all(cell_len(a) == cell_len(b) for a, b in zip(lines[::2], lines[1::2], strict=True))
    assert visible(" a\t\\x") == "·a\\t\\x"


def test_inspect(small, capsys):
    data = json.loads(done(capsys, "inspect", "small", "text.txt", "--json"))
    trained = load_tokenizer(small)
    tokens = len(trained.encode(TEXT))
    assert (data["vocab_size"], data["tokens"], data["characters"]) == (280, tokens, len(TEXT))
    assert data["tokens_per_word"] == tokens / len(TEXT.split())
    assert data["most_frequent"][0]["count"] >= data["most_frequent"][1]["count"] > 0
    out = done(capsys, "inspect", "small", "text.txt", "--top", "3")
    assert all(len(line) <= 100 for line in out.splitlines())
    for shown in ("280 tokens", f"{tokens:,}", "<pad>", "275", "<extra_id_0> … <extra_id_2>", "277 … 279", "köşe"):
        assert shown in out
    assert "most frequent" not in done(capsys, "inspect", "small")
    assert json.loads(done(capsys, "inspect", "small", "--json"))["special"] == {"pad": 275, "eos": 276}


@pytest.mark.parametrize("what", [["encode", "nowhere", "a"], ["decode", "nowhere", "1"], ["inspect", "nowhere"]])
def test_no_tokenizer(folder, capsys, what):
    assert main(["tokenizer", *what]) == 2
    assert "the tokenizer nowhere cannot be read" in capsys.readouterr().err


def test_unknown_id(small, capsys):
    assert main(["tokenizer", "decode", "small", "999"]) == 2
    assert "token id 999 at place 0 is outside the vocabulary 0 … 279" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["train", "encode", "decode", "inspect"])
def test_help_of_each(capsys, name):
    out = done(capsys, name, "--help")
    assert f"archlab tokenizer {name} " in out
