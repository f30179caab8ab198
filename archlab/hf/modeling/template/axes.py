"""Axes by name"""

import math
from typing import Any

import torch


def axes(side: str) -> list[list[str]]:
    """``"B (H K)"`` → [["B"], ["H", "K"]]: the named axes that each axis of an array is made of."""
    groups: list[list[str]] = []
    inside = False
    for word in side.replace("(", " ( ").replace(")", " ) ").split():
        if word == "(":
            groups.append([])
        elif word != ")" and inside:
            groups[-1].append(word)
        elif word != ")":
            groups.append([word])
        inside = word == "(" or (inside and word != ")")
    return groups


def spread(pattern: str, ndim: int) -> tuple[list[list[str]], list[list[str]]]:
    """Both sides of a pattern, with "..." as axes of their own: as many as an array of ``ndim`` axes has more."""
    left, right = (axes(side) for side in pattern.split("->"))
    rest = [[f"...{i}"] for i in range(ndim - len(left) + 1)] if ["..."] in left else []

    def full(side: list[list[str]]) -> list[list[str]]:
        return [group for each in side for group in (rest if each == ["..."] else [each])]

    return full(left), full(right)


def rearrange(x: Any, pattern: str, **sizes: int) -> Any:
    """``"B T (H K) -> B T H K", H=4``: axes taken apart, put in another order and joined; new ones are repeated."""
    left, right = spread(pattern, x.ndim)
    for group, size in zip(left, x.shape, strict=True):
        unknown = [name for name in group if name not in sizes]
        known = math.prod([sizes[name] for name in group if name in sizes])
        if unknown:
            sizes[unknown[0]] = size // known
    before, after = ([name for group in side for name in group] for side in (left, right))
    x = torch.reshape(x, [sizes[name] for name in before])
    new = [name for name in after if name not in before]
    x = torch.permute(x[(...,) + (None,) * len(new)], [(before + new).index(name) for name in after])
    x = x.expand([sizes[name] for name in after]) if new else x
    return torch.reshape(x, [math.prod([sizes[name] for name in group]) for group in right])


def repeat(x: Any, pattern: str, **sizes: int) -> Any:
    """``"B T -> B T N", N=3``: with new axes."""
    return rearrange(x, pattern, **sizes)


def einsum(*operands: Any) -> Any:
    """``einsum(q, k, "B T H K, B S H K -> B H T S")``: sums of products over the axes that are not on the right."""
    *arrays, pattern = operands
    words = pattern.replace(",", " , ").replace("->", " -> ").split()
    letters: dict[str, str] = {word: word for word in (",", "->", "...")}
    for word in words:
        if word not in letters:
            letters[word] = chr(ord("a") + len(letters) - 3)
    return torch.einsum("".join(letters[word] for word in words), *arrays)
