"""GPT-2 without dropout."""

from archlab.architecture import ArchitectureConfig, FeedForward, MultiHeadAttention, block, language_model
from archlab.catalog.entries import architecture
from archlab.model import LanguageModel

GPT2 = "https://openai.com/index/better-language-models"


@architecture("mini-gpt", "Mini-GPT", GPT2)
@architecture("tiny-gpt", "Tiny-GPT", GPT2)
def gpt(*, vocab: int, length: int, width: int, layers: int, heads: int, hidden: int) -> LanguageModel:
    """GPT-2's design without dropout: learned positions, LayerNorm before each layer, GELU (tanh), biases, a tied head.

    All tables and matrices from N(0, 0.02²), those that are added to the residual stream divided by √(2 · layers).
    """
    config = ArchitectureConfig(width=width, heads=heads, hidden=hidden, layers=layers, vocab=vocab, length=length)
    return language_model(config, [block(MultiHeadAttention(config), FeedForward(config))], layers)
