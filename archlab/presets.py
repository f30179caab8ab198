"""Small architectures by name, sized for a laptop, for any vocabulary and length."""

from collections.abc import Callable

from archlab.activations import SiLU
from archlab.architecture import ArchitectureConfig, FeedForward, MultiHeadAttention, block, language_model
from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.errors import InputError, nearest
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.model import Head, LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.stack import Stack


def mini_gpt(vocab: int, length: int) -> LanguageModel:
    """GPT-2's design: learned positions, LayerNorm, GELU, biases, a tied head."""
    config = ArchitectureConfig(width=128, heads=4, hidden=512, layers=4, vocab=vocab, length=length)
    return language_model(config, [block(MultiHeadAttention(config), FeedForward(config))], config.layers)


def mini_llama(vocab: int, length: int) -> LanguageModel:
    """Llama's design: rotary positions, RMSNorm, SwiGLU, grouped queries, no biases, a head of its own.

    It knows any length.
    """
    init = Normal(std=0.02)
    attention = Attention(
        heads=4,
        kv_heads=2,
        visibility="causal",
        rotary=RoPE(theta=10000.0, layout="half"),
        bias=False,
        out_bias=False,
        init=init,
        out_init=init,
    )
    layer = Block(
        mixer=attention,
        channel=GLU(hidden=344, activation=SiLU(), bias=False, init=init, out_init=init),
        residual=PreNorm(norm=RMSNorm(epsilon=1e-5)),
    )
    return LanguageModel(
        vocab=vocab,
        width=128,
        embedding_init=init,
        stack=Stack(pattern=(layer,), repeat=4),
        norm=RMSNorm(epsilon=1e-5),
        head=Head(bias=False, init=init),
    )


PRESETS: dict[str, Callable[[int, int], LanguageModel]] = {"mini-gpt": mini_gpt, "mini-llama": mini_llama}


def preset(name: str, *, vocab: int, length: int) -> LanguageModel:
    """The preset called ``name`` for a vocabulary and sequences of up to ``length`` tokens."""
    if name not in PRESETS:
        raise InputError(f"no architecture {name!r}; {nearest(name, PRESETS)}")
    return PRESETS[name](vocab, length)
