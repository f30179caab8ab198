import pytest

from archlab.architecture import Architecture, ArchitectureConfig, FeedForward, MultiHeadAttention, block
from archlab.errors import InputError
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.norms import RMSNorm
from archlab.sampling import Sampling
from archlab.spec import schema

SIZES = ArchitectureConfig(width=16, heads=4, hidden=24, layers=3, vocab=19, length=32)


class Custom(Architecture):
    def __init__(self, config):
        self.attention = MultiHeadAttention(config)
        self.ffn = FeedForward(config)


def test_a_class_of_two_parts_is_a_gpt():
    spec = Custom(SIZES).spec()
    assert len(spec.stack.layers) == 3
    assert spec.stack.layers[0].mixer.heads == 4
    assert spec.stack.layers[0].channel.hidden == 24
    assert (spec.vocab, spec.width, spec.limit()) == (19, 16, 32)
    assert spec.stack.layers[0].channel.out_init == Normal(std=0.02 / 6**0.5)
    assert "stack.layers.2.channel.down.bias" in schema(spec.root())


def test_parts_pair_in_the_order_they_are_set():
    class Several(Architecture):
        def __init__(self, config):
            self.first = MultiHeadAttention(config)
            self.second = Attention(heads=2, kv_heads=1, visibility="causal", bias=False, out_bias=False)
            self.note = "no spec, and so no part"
            self.ffn = FeedForward(config)
            self.whole = block(MultiHeadAttention(config), FeedForward(config))
            self.last = FeedForward(config)
            self.end = MultiHeadAttention(config)

    kinds = [(layer.mixer and layer.mixer.heads, bool(layer.channel)) for layer in Several(SIZES).spec().stack.pattern]
    assert kinds == [(4, False), (2, True), (4, True), (None, True), (4, False)]


def test_a_class_may_have_arguments_of_its_own():
    class Deep(Custom):
        def __init__(self, config, extra):
            super().__init__(config)
            self.extra = FeedForward(config.replace(hidden=extra))

    assert [layer.channel.hidden for layer in Deep(SIZES, extra=40).spec().stack.pattern] == [24, 40]


def test_what_is_missing_or_wrong_is_said():
    class Empty(Architecture):
        def __init__(self, config):
            pass

    class Odd(Architecture):
        def __init__(self, config):
            self.norm = RMSNorm(epsilon=1e-5)

    with pytest.raises(InputError, match=r"Empty has no layers.*self\.attention"):
        Empty(SIZES).spec()
    with pytest.raises(InputError, match=r"Odd\.norm: a RMSNorm is no layer"):
        Odd(SIZES).spec()
    with pytest.raises(InputError, match="needs an ArchitectureConfig, not a Sampling"):
        Custom(Sampling())
    with pytest.raises(InputError, match="heads: 5 does not divide the width 16"):
        SIZES.replace(heads=5)
