import pytest

from archlab.builder import ModelBuilder
from archlab.errors import InputError


def visibilities(spec):
    return [layer.mixer.visibility for layer in spec.stack.layers]


def test_the_short_way_to_an_encoder():
    spec = ModelBuilder().add_encoder(layers=4).add_attention(heads=8).add_ffn(dim=512).spec()
    assert (spec.width, spec.vocab, spec.limit()) == (512, 256, 1024)
    assert visibilities(spec) == ["bidirectional"] * 4
    assert spec.stack.repeat == 4
    assert spec.stack.layers[0].channel.hidden == 512


def test_decoders_see_the_past_only_and_groups_stand_on_each_other():
    builder = ModelBuilder(width=24, vocab=11, length=7)
    builder.add_decoder(layers=2).add_ffn(dim=32).add_attention(heads=2)
    builder.add_decoder(layers=1).add_attention(heads=3).add_ffn(dim=16)
    spec = builder.spec()
    assert visibilities(spec) == ["causal"] * 3
    assert [layer.mixer.heads for layer in spec.stack.layers] == [2, 2, 3]
    assert [layer.channel.hidden for layer in spec.stack.layers] == [32, 32, 16]
    assert (spec.width, spec.vocab, spec.limit()) == (24, 11, 7)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda b: b, "no layers; begin with add_encoder"),
        (lambda b: b.add_attention(heads=2), "add_attention: there are no layers yet"),
        (lambda b: b.add_encoder(layers=0), "add_encoder: layers is 0"),
        (lambda b: b.add_encoder(layers=2).add_ffn(dim=8), r"encoder of 2 layers lacks a part.*add_attention\(heads"),
        (lambda b: b.add_decoder(layers=2).add_attention(heads=2), r"decoder of 2 layers lacks.*add_ffn\(dim"),
        (lambda b: b.add_decoder(layers=1).add_ffn(dim=8).add_ffn(dim=9), "add_ffn: this decoder has that part"),
        (
            lambda b: (
                b.add_decoder(layers=1).add_attention(heads=2).add_ffn(dim=8)
                .add_decoder(layers=1).add_attention(heads=4).add_ffn(dim=8)
            ),
            r"widths \[128, 256\]; give ModelBuilder one",
        ),
        (lambda b: b.add_decoder(layers=1).add_attention(heads=0).add_ffn(dim=8), "must be > 0"),
    ],
)  # fmt: skip
def test_what_is_missing_or_wrong_is_said(build, message):
    with pytest.raises(InputError, match=message):
        build(ModelBuilder()).spec()


def test_an_impossible_width():
    with pytest.raises(InputError, match="heads: 5 does not divide the width 24"):
        ModelBuilder(width=24).add_decoder(layers=1).add_attention(heads=5).add_ffn(dim=8).spec()
