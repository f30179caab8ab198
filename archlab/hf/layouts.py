"""How the tensors of a Hugging Face checkpoint and canonical parameters name and lay out the same numbers."""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from einops import rearrange

Shape = tuple[int, ...]
TURNED = "O I -> I O"
"""The layout of a linear map: theirs is (out, in), ours (in, out)."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """One tensor of theirs and the one parameter of ours, or the several, that hold its numbers.

    theirs, ours
        Names. ``{i}`` stands for the same number in all of them. ``{e}`` in theirs alone: a tensor for each entry of
        the first axis of ours, which is a stack of them (experts).
    layout
        From the axes of theirs to those of ours, as einops writes them: ``"O I -> I O"``. Empty: as they are.
    cut
        The axis of theirs, a letter, along which several of ours lie side by side.
    sizes
        The lengths of axes that a shape alone does not tell.
    flip
        An axis that runs the other way.
    """

    theirs: str
    ours: tuple[str, ...]
    layout: str = ""
    cut: str = ""
    sizes: Mapping[str, int] = field(default_factory=dict)
    flip: str = ""

    @property
    def stacked(self) -> bool:
        return "{e}" in self.theirs

    def at(self, number: str) -> "Rule":
        """The rule of layer ``number``."""
        ours = tuple(name.replace("{i}", number) for name in self.ours)
        return replace(self, theirs=self.theirs.replace("{i}", number), ours=ours)

    def names(self, shapes: Mapping[str, Shape]) -> list[str]:
        """Theirs, an entry for each of a stack."""
        if not self.stacked:
            return [self.theirs]
        return [self.theirs.replace("{e}", str(e)) for e in range(shapes[self.ours[0]][0])]

    def their_shape(self, shapes: Mapping[str, Shape]) -> Shape:
        """The shape of (each of) theirs from those of ours."""
        of = [shapes[name][1:] if self.stacked else shapes[name] for name in self.ours]
        empty = [np.broadcast_to(np.zeros((), np.int8), shape) for shape in of]
        return tuple(self.backward(empty).shape)

    def forward(self, theirs: np.ndarray, shapes: Mapping[str, Shape]) -> list[np.ndarray]:
        """Ours, in order, from (one of) theirs."""
        if not self.layout:
            return [theirs]
        left, right = self.layout.split("->")
        letters = _letters(left)
        array = rearrange(theirs, f"{left} -> {' '.join(letters)}", **self._known(left))
        array = self._turned(array, letters)
        parts = self._split(array, letters, shapes) if self.cut else [array]
        return [rearrange(part, f"{' '.join(letters)} -> {right}") for part in parts]

    def backward(self, ours: Sequence[np.ndarray]) -> np.ndarray:
        """(One of) theirs from ours."""
        return self._backward(list(ours)) if self.layout else ours[0]

    def _backward(self, ours: list[np.ndarray]) -> np.ndarray:
        left, right = self.layout.split("->")
        letters = _letters(left)
        parts = [rearrange(part, f"{right} -> {' '.join(letters)}", **self._known(right)) for part in ours]
        array = np.concatenate(parts, axis=letters.index(self.cut)) if self.cut else parts[0]
        return rearrange(self._turned(array, letters), f"{' '.join(letters)} -> {left}")

    def _turned(self, array: np.ndarray, letters: list[str]) -> np.ndarray:
        return np.flip(array, letters.index(self.flip)) if self.flip else array

    def _known(self, side: str) -> dict[str, int]:
        """The sizes that one side's composed axes need."""
        return {letter: size for letter, size in self.sizes.items() if letter in _letters(side)}

    def _split(self, array: np.ndarray, letters: list[str], shapes: Mapping[str, Shape]) -> list[np.ndarray]:
        """``array`` in parts along the cut, as long as ours are."""
        axis = letters.index(self.cut)
        others = array.size // array.shape[axis]
        numbers = [math.prod(shapes[name][1:] if self.stacked else shapes[name]) for name in self.ours]
        return np.split(array, np.cumsum([number // others for number in numbers])[:-1], axis=axis)


def _letters(side: str) -> list[str]:
    """The axes of one side of a layout, in order, composed ones taken apart."""
    return [letter for letter in re.findall(r"\w+", side) if letter != "1"]


# --- the usual ones -------------------------------------------------------------------------------------


def same(theirs: str, ours: str) -> Rule:
    """Equal as they are: norms, tables, biases, GPT-2's matrices."""
    return Rule(theirs=theirs, ours=(ours,))


def norm(theirs: str, ours: str) -> list[Rule]:
    """A norm's scale and bias."""
    return [same(f"{theirs}.weight", f"{ours}.scale"), same(f"{theirs}.bias", f"{ours}.bias")]


def linear(theirs: str, ours: str) -> list[Rule]:
    """A map: theirs is (out, in), ours (in, out); and its bias."""
    matrix = Rule(theirs=f"{theirs}.weight", ours=(f"{ours}.kernel",), layout=TURNED)
    return [matrix, same(f"{theirs}.bias", f"{ours}.bias")]


def fused(theirs: str, ours: Sequence[str], outputs: str = "X", **sizes: int) -> list[Rule]:
    """Several maps whose outputs lie side by side along X in one of theirs; and their biases.

    ``outputs`` is how theirs composes its rows: ``"(G X)"`` has for each of G groups a part of every map.
    """
    kernels, biases = (tuple(f"{name}.{kind}" for name in ours) for kind in ("kernel", "bias"))
    matrix, bias = f"{outputs} I -> I {outputs}", f"{outputs} -> {outputs}"
    return [
        Rule(theirs=f"{theirs}.weight", ours=kernels, layout=matrix, cut="X", sizes=sizes),
        Rule(theirs=f"{theirs}.bias", ours=biases, layout=bias, cut="X", sizes=sizes),
    ]


def convolution(theirs: str, *ours: str) -> list[Rule]:
    """A causal convolution of each channel by itself, or several whose channels lie side by side; and their biases.

    Theirs is (channels, 1, taps) and counts taps from the oldest token, ours is (taps, channels), from the newest.
    """
    kernels, biases = (tuple(f"{name}.{kind}" for name in ours) for kind in ("kernel", "bias"))
    return [
        Rule(theirs=f"{theirs}.weight", ours=kernels, layout="X 1 W -> W X", cut="X", flip="W"),
        Rule(theirs=f"{theirs}.bias", ours=biases, layout="X -> X", cut="X"),
    ]


# --- for a model -----------------------------------------------------------------------------------------


def expanded(rules: Sequence[Rule], paths: Mapping[str, Shape]) -> list[Rule]:
    """The rules for the parameters that there are, layer by layer where ``{i}`` stands.

    A rule none of whose parameters exists is left out. Raises :class:`ValueError` where a parameter is left over, or
    claimed twice.
    """
    found: list[Rule] = []
    for rule in rules:
        found.extend(_instances(rule, paths))
    claimed: dict[str, str] = {}
    for rule in found:
        for name in rule.ours:
            if name in claimed:
                raise ValueError(f"the parameter {name!r} is that of {claimed[name]!r} and of {rule.theirs!r}")
            claimed[name] = rule.theirs
    for name in paths:
        if name not in claimed:
            raise ValueError(f"the parameter {name!r} has no place in this family's checkpoints")
    return found


def _instances(rule: Rule, paths: Mapping[str, Shape]) -> Iterator[Rule]:
    if "{i}" not in rule.ours[0]:
        if all(name in paths for name in rule.ours):
            yield rule
        return
    pattern = re.compile(re.escape(rule.ours[0]).replace(re.escape("{i}"), r"(\d+)", 1).replace(
        re.escape("{i}"), r"\1"
    ))  # fmt: skip
    for path in paths:
        match = pattern.fullmatch(path)
        if match and all(name.replace("{i}", match[1]) in paths for name in rule.ours):
            yield rule.at(match[1])
