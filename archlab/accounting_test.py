"""Against published sizes, closed formulas and counts done by hand; the backends are asked in parity_tests."""

import pytest

from archlab.accounting import account
from archlab.activations import GELUTanh, SiLU
from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.channels.mlp import MLP
from archlab.config import registered
from archlab.errors import InputError
from archlab.inits import Normal
from archlab.layers import Linear
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel, Model, shared_example, tiny_model
from archlab.norms import LayerNorm, RMSNorm
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm, SandwichNorm
from archlab.rotary import RoPE
from archlab.spec import Shared, Spec, schema
from archlab.stack import Stack
from archlab.weights import initial

NORMAL = Normal(std=0.02)


def _model(*, vocab, width, layers, mixer, channel, residual, norm, **fields):
    stack = Stack(pattern=(Block(mixer=mixer, channel=channel, residual=residual),), repeat=layers)
    fields = {"embedding_init": NORMAL, "head": None} | fields
    return LanguageModel(vocab=vocab, width=width, stack=stack, norm=norm, **fields)


def gpt2_small():
    norm = LayerNorm(epsilon=1e-5, bias=True)
    return _model(
        vocab=50257,
        width=768,
        layers=12,
        mixer=Attention(heads=12, kv_heads=12, visibility="causal", bias=True, out_bias=True),
        channel=MLP(hidden=3072, activation=GELUTanh(), bias=True),
        residual=PreNorm(norm=norm),
        norm=norm,
        positions=LearnedPositions(length=1024, init=NORMAL),
    )


def llama3_8b():
    norm, rope = RMSNorm(epsilon=1e-5), RoPE(theta=5e5, layout="half")
    return _model(
        vocab=128256,
        width=4096,
        layers=32,
        mixer=Attention(heads=32, kv_heads=8, visibility="causal", bias=False, out_bias=False, rotary=rope),
        channel=GLU(hidden=14336, activation=SiLU(), bias=False),
        residual=PreNorm(norm=norm),
        norm=norm,
        head=Head(bias=False),
    )


def gemma2_2b():
    norm, rope = RMSNorm(epsilon=1e-6, unit_offset=True), RoPE(theta=1e4, layout="half")
    attention = {"heads": 8, "kv_heads": 4, "head_size": 256, "visibility": "causal", "rotary": rope}
    return _model(
        vocab=256000,
        width=2304,
        layers=26,
        mixer=Attention(**attention, softcap=50.0, bias=False, out_bias=False),
        channel=GLU(hidden=9216, activation=GELUTanh(), bias=False),
        residual=SandwichNorm(norm_in=norm, norm_out=norm),
        norm=norm,
    )


@pytest.mark.parametrize(
    ("model", "parameters", "non_embedding"),
    [  # as the published checkpoints hold them
        (gpt2_small(), 124_439_808, 124_439_808 - (50257 + 1024) * 768),
        (llama3_8b(), 8_030_261_248, 8_030_261_248 - 128256 * 4096),
        (gemma2_2b(), 2_614_341_888, 2_614_341_888 - 256000 * 2304),
    ],
    ids=["gpt2", "llama3", "gemma2"],
)
def test_parameters_of_published_models(model, parameters, non_embedding):
    counted = account(model, 16)
    assert (counted.parameters, counted.non_embedding) == (parameters, non_embedding)


def test_flops_follow_the_formulas_of_the_papers():
    model, length, width, layers = gpt2_small(), 1024, 768, 12
    flops = account(model, length).training_flops()
    matrices = 12 * layers * width**2 + 50257 * width  # Kaplan et al. 2020, with the tied output matrix
    assert flops["6n"] == 6 * matrices
    assert flops["executed"] == 6 * matrices + 12 * layers * width * length  # Chowdhery et al. 2022, appendix B
    assert flops["causal"] == 6 * matrices + 12 * layers * width * (length + 1) / 2
    assert account(model, length).forward_flops() == {name: count / 3 for name, count in flops.items()}


def test_a_window_limits_the_visible_pairs_only():
    layer = Attention(heads=2, kv_heads=2, visibility="causal", window=4, bias=False, out_bias=False)
    flops = account(layer, 8, width=8).root.flops
    seen = [1, 2, 3, 4, 4, 4, 4, 4]
    assert flops.visible == 4 * 8 * sum(seen) / len(seen)
    assert flops.executed == 4 * 8 * 8


def test_state_bytes_of_the_cache():
    model, length, batch = llama3_8b(), 512, 3
    cache = 2 * 32 * 8 * 128 * 2 * length * batch  # keys and values, 32 layers, 8 heads of 128, two bytes
    slots = 2 * 32 * 4 * length * batch  # positions and segments, int32
    counters = 32 * batch * 4
    assert account(model, length, dtype="bfloat16", batch=batch).state_bytes == cache + slots + counters


def test_shared_parts_count_once_and_cost_at_every_use():
    example = shared_example().spec
    layer = example.stack.pattern[0].part
    own = tiny_model(layer=layer, repeat=1)
    apart = tiny_model(layer=layer, repeat=3)
    one, three, shared = (account(m, 12) for m in (own, apart, example))
    assert shared.parameters == one.parameters
    assert shared.forward_flops() == three.forward_flops()
    assert shared.state_bytes == three.state_bytes
    assert shared.memory.activations == three.memory.activations
    assert [p.shared for p in shared.root.walk() if p.shared] == ["block"] * 3


def test_a_part_shared_inside_a_shared_part_costs_at_every_use():
    mixer = Attention(heads=2, kv_heads=2, visibility="causal", bias=False, out_bias=False)
    channel = MLP(hidden=24, activation=GELUTanh(), bias=False)

    def block(channel: Spec) -> Block:
        return Block(mixer=mixer, channel=channel, residual=PreNorm(norm=RMSNorm(epsilon=1e-5)))

    nested = Shared(name="block", part=block(Shared(name="channel", part=channel)))
    shared, apart = (account(tiny_model(layer=layer, repeat=3), 12) for layer in (nested, block(channel)))
    assert shared.forward_flops() == apart.forward_flops()
    assert shared.parameters < apart.parameters


@pytest.mark.parametrize("name", sorted(registered(Spec)))
def test_every_parameter_of_every_example_is_counted_once(name):
    for example in registered(Spec)[name].examples():
        spec = example.spec
        width = spec.width if isinstance(spec, Model) else example.width
        counted = account(spec, example.length, width=width)
        assert counted.parameters == sum(w.size for w in initial(spec.at(width), seed=0).values())
        table = {f"{p.path}.{n}".lstrip("."): q for p in counted.root.walk() for n, q in p.params.items()}
        assert table == schema(spec.at(width))
        flops = counted.forward_flops()
        assert flops["6n"] <= flops["causal"] <= flops["executed"]


def test_training_memory():
    width, hidden, vocab, length, batch = 16, 24, 19, 8, 2
    counted = account(tiny_model(repeat=3), length, dtype="bfloat16", batch=batch, param_dtype="float32")
    memory = counted.memory
    assert memory.parameters == memory.gradients == 4 * counted.parameters
    assert memory.moments == 8 * counted.parameters
    attention = width + (4 + 2 * 2) * 4 + width  # the normed input; q, k and v with 4 and 2 heads of 4; the output
    layer = width + attention + width + width + 2 * hidden  # norm, attention, norm, up, activation, down
    around = 1 + width + width + vocab  # token, final norm, output matrix, logits
    tokens = 2 * length * batch
    assert memory.activations == tokens * (3 * layer + around)
    assert memory.activations_remat == tokens * (3 * width + layer + around)
    assert memory.total - memory.total_remat == memory.activations - memory.activations_remat


def test_parts_outside_a_model_need_a_width_and_lengths_are_positive():
    assert account(Linear(features=3, axes="D F", bias=True), 4, width=5).parameters == 18
    with pytest.raises(InputError, match="give one"):
        account(Linear(features=3, axes="D F", bias=True), 4)
    with pytest.raises(InputError, match="leave it out"):
        account(tiny_model(), 4, width=5)
    with pytest.raises(InputError, match="length is 0"):
        account(tiny_model(), 0)
    with pytest.raises(InputError, match="batch is -1"):
        account(tiny_model(), 1, batch=-1)
