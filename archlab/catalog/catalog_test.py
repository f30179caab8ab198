import re
import subprocess
import sys

import pytest

from archlab import catalog, yaml_text
from archlab.accounting import account
from archlab.catalog import entries, sizes
from archlab.catalog.layers import stacked
from archlab.errors import InputError
from archlab.model import Model, check_causal, tiny_model
from archlab.models.encoder import Encoder
from archlab.spec import walk

WANTED = (
    "bart", "bert", "hyso-encoder", "hyso-seq2seq", "mini-bert", "modernbert", "small-t5", "t5", "vit",
    "deepseek-v3", "falcon-h1", "gemma-3", "gpt-936k", "gpt-oss", "gpt2", "griffin", "hyso-decoder", "llama-3",
    "mamba-2", "mini-gpt", "mini-llama", "mixtral", "nano-palm", "qwen3-next", "rwkv-7", "tiny-gpt",
)  # fmt: skip


def mixers(name):
    """The mixer of each layer, in order."""
    return [layer.mixer for layer in catalog.model(name).stack.layers]


def test_the_entries():
    assert set(WANTED) <= set(catalog.names())
    assert catalog.names() == sorted(sizes.SIZES)  # no sizes of nothing


@pytest.mark.parametrize("name", catalog.names())
def test_an_entry_is_whole(name):
    found = catalog.entry(name)
    assert found.name == name and found.title
    assert re.fullmatch(r"https://\S+", found.paper)
    assert len(found.about) > 80
    assert 0 < found.sizes["length"] <= 1024
    model = found.model()
    if not isinstance(model, Encoder):
        check_causal(model)
    assert model.limit() in (None, found.sizes["length"])
    assert 1e5 < account(model, 64).parameters < 2e6
    again = Model.from_dict(yaml_text.parse(yaml_text.write(model.to_dict())))
    assert again == model
    assert again.hash() == model.hash()


@pytest.mark.parametrize("name", [name for name in catalog.names() if name != "vit"])
def test_another_vocabulary_and_length(name):
    model = catalog.model(name, vocab=31, length=24)
    assert model.vocabulary() == 31
    assert model.limit() in (None, 24)
    assert catalog.model(name).width == model.width


def test_the_guide_counts_no_biases_of_attention_and_head():
    """935,680 is what the guide states; what its code has is 4 · 128 biases in each of 4 layers and 500 more."""
    counted = account(catalog.model("gpt-936k"), 128).parameters
    assert counted == 938228
    assert counted - 935680 == 4 * (4 * 128) + 500
    assert f"{counted:,}" in catalog.entry("gpt-936k").about


def test_patterns_of_layers():
    assert [m.window for m in mixers("gemma-3")] == [64] * 5 + [None] + [64] * 2
    assert [m.rotary.theta for m in mixers("gemma-3")] == [1e4] * 5 + [1e6] + [1e4] * 2
    assert [m.window for m in mixers("gpt-oss")] == [32, None] * 2
    assert [type(m).__name__ for m in mixers("qwen3-next")] == ["GatedDeltaNet"] * 3 + ["Attention"]
    assert [type(m).__name__ for m in mixers("griffin")] == ["RGLRU", "RGLRU", "Attention"] * 2
    assert [m.value_rank for m in mixers("rwkv-7")] == [None, 8, 8, 8]
    channels = [type(layer.channel).__name__ for layer in catalog.model("deepseek-v3").stack.layers]
    assert channels == ["GLU", "MoE", "MoE", "MoE"]


def test_conventions_of_models_of_two_sequences_and_encoders():
    t5, small = catalog.model("t5"), catalog.model("small-t5")
    assert (t5.logit_scale, small.logit_scale) == (None, 64**-0.5)
    for tower in (t5.encoder, t5.decoder):
        assert [type(layer.mixer.score_bias).__name__ for layer in tower.stack.layers] == ["PublishedBias"] + [
            "ReusedBias"
        ] * 3
    assert t5.encoder.stack.layers[0].mixer.score_bias.bias.bidirectional
    assert not t5.decoder.stack.layers[0].mixer.score_bias.bias.bidirectional
    blocks = catalog.model("modernbert").tower.stack.layers
    assert [b.mixer.window for b in blocks if b.mixer] == [None, 33, 33, None, 33, 33, None]
    assert [type(b.residual).__name__ for b in blocks[:2]] == ["PlainResidual", "PreNorm"]
    assert catalog.model("bert").front.types == 2
    assert catalog.model("bart").start == 2
    assert catalog.model("vit").front.length == 65


def test_conventions_that_are_easily_lost():
    assert catalog.model("nano-palm").embedding_scale == 128**0.5
    assert mixers("qwen3-next")[3].gate is not None
    expert = catalog.model("gpt-oss").stack.layers[0].channel.expert
    assert (expert.limit, expert.up_offset, expert.bias) == (7.0, 1.0, True)
    assert all(m.sink and m.bias and m.out_bias for m in mixers("gpt-oss"))
    dropped = [layer.residual.dropout for layer in catalog.model("gpt-936k").stack.layers]
    assert dropped == [0.0, 0.1] * 4
    norms = [p.spec for _, p in walk(catalog.model("gemma-3").root()) if type(p.spec).__name__ == "RMSNorm"]
    assert all(norm.unit_offset and norm.cast == "after" for norm in norms)
    assert len(norms) == 8 * 6 + 1


@pytest.mark.parametrize(
    ("count", "first", "says"),
    [(4, "", "abab"), (5, "", "ababa"), (5, "c", "cabab"), (4, "c", "caba"), (2, "c", "ca"), (1, "", "a")],
)
def test_a_pattern_is_repeated_and_cut(count, first, says):
    layer = tiny_model().stack.pattern[0]
    kinds = {kind: layer.replace(channel=layer.channel.replace(hidden=8 + i)) for i, kind in enumerate("abc")}
    stack = stacked(count, kinds["a"], kinds["b"], first=tuple(kinds[k] for k in first))
    assert list(stack.layers) == [kinds[kind] for kind in says]


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: catalog.model("lama-3"), "no architecture 'lama-3' in the catalogue; did you mean 'llama-3'?"),
        (lambda: catalog.entry("zzz"), "allowed: bart, bert"),
        (lambda: catalog.model("gpt2", length=0), "gpt2: length is 0; it must be > 0"),
        (lambda: catalog.model("llama-3", vocab=-1), "llama-3: vocab is -1; it must be > 0"),
        (lambda: catalog.model("llama-3", vocab=1), "vocab: 1 must be > 1"),
    ],
)
def test_what_is_not_there_is_refused(call, says):
    with pytest.raises(InputError, match=re.escape(says)):
        call()


@pytest.fixture
def new_entry(monkeypatch):
    """Enters an architecture with the given sizes for one test."""
    monkeypatch.setattr(entries, "ENTRIES", dict(entries.ENTRIES))

    def enter(given):
        monkeypatch.setattr(entries, "SIZES", {"mine": given})

        @entries.architecture("mine", "Mine", "https://example.org")
        def mine(*, vocab, width):
            return tiny_model(vocab=vocab, width=width)

        return entries.ENTRIES["mine"]

    return enter


def test_a_new_entry_is_a_function_and_its_sizes(new_entry):
    assert new_entry({"vocab": 9, "width": 16, "length": 8}).model() == tiny_model(vocab=9, width=16)


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"vocab": 9, "width": 16, "length": 8, "widht": 3}, "mine: widht is a size that it does not read; did you"),
        ({"vocab": 9, "length": 8}, "mine: the size width is missing; give it in archlab/catalog/sizes.py"),
        ({"vocab": 9, "width": 16}, "mine: the size length is missing"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(new_entry, given, says):
    with pytest.raises(InputError, match=re.escape(says)):
        new_entry(given).model()


def test_an_entry_without_sizes_says_so(new_entry, monkeypatch):
    found = new_entry({})
    monkeypatch.setattr(entries, "SIZES", {})
    with pytest.raises(InputError, match=r"mine has no sizes; give it a line in archlab/catalog/sizes\.py"):
        found.model()


def test_it_brings_no_framework():
    code = "import sys; from archlab import catalog; [catalog.model(n) for n in catalog.names()]"
    code += "; print([m for m in ('jax', 'flax', 'torch', 'rich', 'typer') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
