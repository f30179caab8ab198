"""Models step by step: a door to specs for quick trials."""

from dataclasses import dataclass
from typing import Any, Self

from archlab.architecture import ArchitectureConfig, FeedForward, MultiHeadAttention, block, language_model
from archlab.errors import InputError
from archlab.masks import Visibility
from archlab.model import LanguageModel
from archlab.policy import Policy
from archlab.spec import Layer

HEAD_SIZE = 64  # the width of a head where none is given


@dataclass
class _Group:
    """Equal layers in a row."""

    name: str
    layers: int
    visibility: Visibility
    heads: int | None = None
    hidden: int | None = None


class ModelBuilder:
    """Builds a GPT-2-like model from calls that read as its description.

        ModelBuilder().add_encoder(layers=4).add_attention(heads=8).add_ffn(dim=512).build(backend="torch")

    ``add_encoder`` begins layers that see both directions, ``add_decoder`` layers that see only what came
    before, as language models need; the attention and the feed-forward layer added next are theirs. Several
    groups stand on each other. ``width`` is 64 times the heads unless given, ``vocab`` the bytes, ``length``
    the longest sequence; everything else is GPT-2's choice (see :mod:`archlab.architecture`).
    """

    def __init__(self, *, vocab: int = 256, width: int | None = None, length: int = 1024) -> None:
        self._vocab, self._width, self._length = vocab, width, length
        self._groups: list[_Group] = []

    def add_encoder(self, *, layers: int) -> Self:
        """Begin ``layers`` layers whose attention sees both directions."""
        return self._begin(_Group("encoder", layers, "bidirectional"))

    def add_decoder(self, *, layers: int) -> Self:
        """Begin ``layers`` layers whose attention sees only earlier tokens."""
        return self._begin(_Group("decoder", layers, "causal"))

    def add_attention(self, *, heads: int) -> Self:
        """Give the layers begun last an attention with ``heads`` heads."""
        return self._set("heads", heads)

    def add_ffn(self, *, dim: int) -> Self:
        """Give the layers begun last a feed-forward layer with ``dim`` hidden units."""
        return self._set("hidden", dim)

    def spec(self) -> LanguageModel:
        """The model as a spec."""
        if not self._groups:
            raise InputError("the model has no layers; begin with add_encoder(layers=…) or add_decoder(layers=…)")
        width = self._find_width()
        layers = [self._layer(group, width) for group in self._groups]
        ends = self._config(self._groups[0], width)
        if len(self._groups) == 1:
            return language_model(ends, layers, self._groups[0].layers)
        pattern = [layer for layer, group in zip(layers, self._groups, strict=True) for _ in range(group.layers)]
        return language_model(ends, pattern, 1)

    def build(self, backend: str = "torch", *, seed: int = 0, policy: Policy = Policy()) -> Any:
        """The model as ``backend``'s own module, "torch" or "jax", initialised from ``seed``."""
        from archlab.backends import find_backend

        return find_backend(backend).build(self.spec(), policy=policy, seed=seed)

    def _begin(self, group: _Group) -> Self:
        if group.layers < 1:
            raise InputError(f"add_{group.name}: layers is {group.layers}; it must be > 0")
        self._groups.append(group)
        return self

    def _set(self, field: str, value: int) -> Self:
        call = {"heads": "add_attention", "hidden": "add_ffn"}[field]
        if not self._groups:
            raise InputError(f"{call}: there are no layers yet; call add_encoder or add_decoder first")
        group = self._groups[-1]
        if getattr(group, field) is not None:
            raise InputError(f"{call}: this {group.name} has that part already; begin other layers first")
        setattr(group, field, value)
        return self

    def _find_width(self) -> int:
        if self._width is not None:
            return self._width
        widths = {HEAD_SIZE * self._part(group, "heads", "add_attention(heads=…)") for group in self._groups}
        if len(widths) > 1:
            raise InputError(f"layers with different heads ask for the widths {sorted(widths)}; give ModelBuilder one")
        return widths.pop()

    def _layer(self, group: _Group, width: int) -> Layer:
        config = self._config(group, width)
        return block(MultiHeadAttention(config), FeedForward(config))

    def _config(self, group: _Group, width: int) -> ArchitectureConfig:
        return ArchitectureConfig(
            width=width,
            heads=self._part(group, "heads", "add_attention(heads=…)"),
            hidden=self._part(group, "hidden", "add_ffn(dim=…)"),
            layers=sum(g.layers for g in self._groups),
            vocab=self._vocab,
            length=self._length,
            visibility=group.visibility,
        )

    def _part(self, group: _Group, field: str, call: str) -> int:
        value = getattr(group, field)
        if value is None:
            raise InputError(f"the {group.name} of {group.layers} layers lacks a part; add it with {call}")
        return value
