"""Architectures as Python classes: a door to specs for those who think in modules.

class Custom(Architecture):
    def __init__(self, config):
        self.attention = MultiHeadAttention(config)
        self.ffn = FeedForward(config)

model = Custom(ArchitectureConfig(width=256, heads=4, hidden=1024, layers=6))
model.spec()                  # the LanguageModel that it describes
model.build(backend="jax")    # the framework's own module
"""

from collections.abc import Sequence
from typing import Any, Self

from archlab.activations import GELUTanh
from archlab.block import Block
from archlab.channels.mlp import MLP
from archlab.config import Config, type_name
from archlab.errors import InputError
from archlab.inits import Init, Normal
from archlab.masks import Visibility
from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.norms import LayerNorm
from archlab.policy import Policy
from archlab.positions import LearnedPositions
from archlab.residuals import PreNorm
from archlab.spec import Channel, Layer, Mixer, Spec
from archlab.stack import Stack


class ArchitectureConfig(Config):
    """The sizes of a GPT-2-like model; whatever else it takes is GPT-2's choice (see :func:`language_model`).

    width, heads, hidden
        D, the number of attention heads, and F, the units of a feed-forward layer.
    layers
        How often the attributes of an :class:`Architecture` are repeated.
    vocab
        The number of tokens; 256 are the bytes.
    length
        The longest sequence (positions are learned).
    visibility
        "causal" for language models, "bidirectional" for encoders.
    """

    width: int
    heads: int
    hidden: int
    layers: int
    vocab: int = 256
    length: int = 1024
    visibility: Visibility = "causal"

    def check(self) -> None:
        for name in ("width", "heads", "hidden", "layers", "length"):
            self.require(getattr(self, name) > 0, name, "must be > 0")
        self.require(self.vocab > 1, "vocab", "must be > 1")
        self.require(self.width % self.heads == 0, "heads", f"does not divide the width {self.width}")

    def out_init(self) -> Init:
        """GPT-2's law for what is added to the residual stream: smaller, the more layers add to it."""
        return Normal(std=0.02 / (2 * self.layers) ** 0.5)


def MultiHeadAttention(config: ArchitectureConfig) -> Attention:  # noqa: N802 - named as the part it makes
    """GPT-2's attention: every head has its own keys and values, all projections have biases."""
    return Attention(
        heads=config.heads,
        kv_heads=config.heads,
        visibility=config.visibility,
        bias=True,
        out_bias=True,
        init=Normal(std=0.02),
        out_init=config.out_init(),
    )


def FeedForward(config: ArchitectureConfig) -> MLP:  # noqa: N802 - named as the part it makes
    """GPT-2's feed-forward layer: GELU (tanh), with biases."""
    out_init = config.out_init()
    return MLP(hidden=config.hidden, activation=GELUTanh(), bias=True, init=Normal(std=0.02), out_init=out_init)


def language_model(config: ArchitectureConfig, pattern: Sequence[Layer], repeat: int) -> LanguageModel:
    """``pattern`` repeated, between GPT-2's ends: learned positions, a last LayerNorm, a tied head."""
    init = Normal(std=0.02)
    return LanguageModel(
        vocab=config.vocab,
        width=config.width,
        embedding_init=init,
        positions=LearnedPositions(length=config.length, init=init),
        stack=Stack(pattern=tuple(pattern), repeat=repeat),
        norm=_norm(),
        head=None,
    )


def block(mixer: Mixer | None, channel: Channel | None) -> Block:
    """A pre-norm block, as in GPT-2."""
    return Block(mixer=mixer, channel=channel, residual=PreNorm(norm=_norm()))


def _norm() -> LayerNorm:
    return LayerNorm(epsilon=1e-5, bias=True)


class Architecture:
    """A model from attributes: a subclass sets layer specs in ``__init__(self, config)``, in their order.

    Each attribute is a mixer (:func:`MultiHeadAttention`, or any other spec of that kind), a channel mixer
    (:func:`FeedForward` …) or a whole layer. A mixer and the channel mixer after it make one pre-norm block.
    All of it is repeated ``config.layers`` times. Attributes that are no specs are the subclass's own affair.
    """

    config: ArchitectureConfig

    def __new__(cls, config: ArchitectureConfig, *args: Any, **kwargs: Any) -> Self:
        if not isinstance(config, ArchitectureConfig):
            raise InputError(f"{cls.__name__} needs an ArchitectureConfig, not a {type(config).__name__}")
        self = super().__new__(cls)
        self.config = config  # here, so that subclasses need not call super().__init__()
        return self

    def spec(self) -> LanguageModel:
        """The model as a spec."""
        return language_model(self.config, self._layers(), self.config.layers)

    def build(self, backend: str, *, seed: int = 0, policy: Policy = Policy()) -> Any:
        """The model as ``backend``'s own module, initialised from ``seed``."""
        from archlab.backends import find_backend

        return find_backend(backend).build(self.spec(), policy=policy, seed=seed)

    def _layers(self) -> list[Layer]:
        layers: list[Layer] = []
        waiting: Mixer | None = None
        for name, part in self._parts():
            if isinstance(part, Channel):
                layers.append(block(waiting, part))
                waiting = None
                continue
            if waiting is not None:
                layers.append(block(waiting, None))
                waiting = None
            if isinstance(part, Mixer):
                waiting = part
            elif isinstance(part, Layer):
                layers.append(part)
            else:
                what = f"{type(self).__name__}.{name}: a {type_name(type(part))}"
                raise InputError(f"{what} is no layer; use a mixer, a channel mixer or a block")
        return layers if waiting is None else [*layers, block(waiting, None)]

    def _parts(self) -> list[tuple[str, Spec]]:
        parts = [(name, value) for name, value in vars(self).items() if isinstance(value, Spec)]
        if not parts:
            raise InputError(
                f"{type(self).__name__} has no layers; set some in __init__, "
                "for example self.attention = MultiHeadAttention(config)"
            )
        return parts
