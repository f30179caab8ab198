"""Mamba-2."""

from archlab.block import Block
from archlab.catalog.entries import architecture
from archlab.inits import FanInUniform, Normal
from archlab.mixers.mamba2 import Mamba2
from archlab.model import LanguageModel
from archlab.norms import RMSNorm
from archlab.residuals import PreNorm
from archlab.stack import Stack


@architecture("mamba-2", "Mamba-2", "https://arxiv.org/abs/2405.21060")
def mamba_2(*, vocab: int, width: int, layers: int, head_size: int, state_size: int) -> LanguageModel:
    """Mamba-2 blocks alone, twice as wide inside, one group of b and c, RMSNorm (1e-5) before each, a tied head.

    First values are those of the authors' code: the table from N(0, 0.02²), matrices from PyTorch's law, the output's
    divided by √layers, A from U(1, 16), Δ between 0.001 and 0.1. Left out: the authors round the vocabulary up to a
    multiple of 16 and keep the residual stream in float32.
    """
    norm = RMSNorm(epsilon=1e-5, cast="after")
    mixer = Mamba2(
        heads=2 * width // head_size,
        head_size=head_size,
        state_size=state_size,
        groups=1,
        norm=norm,
        init=FanInUniform(),
        out_init=FanInUniform(gain=layers**-0.5),
    )
    return LanguageModel(
        vocab=vocab,
        width=width,
        embedding_init=Normal(std=0.02),
        stack=Stack(pattern=(Block(mixer=mixer, residual=PreNorm(norm=norm)),), repeat=layers),
        norm=norm,
        head=None,
    )
