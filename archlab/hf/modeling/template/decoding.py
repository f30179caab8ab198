"""The decoding state, for generate()"""

from collections.abc import Callable
from typing import Any

import torch
from transformers.cache_utils import Cache

from archlab.hf.modeling.template.base import documents, places
from archlab.hf.modeling.template.values import State
from archlab.spec import Part, state_schema

ROOM = 64  # how many tokens' places are added at a time


class ArchlabCache(Cache):
    """The model's own decoding state, in nested dictionaries and lists. Every array in it has the batch first.

    Arrays with a place for each token grow as tokens come, at the end of that axis; those of a window stop at its size.
    It counts the tokens that it has ``seen``, padding included, and knows each row's ``next`` position.
    """

    def __init__(self, part: Part) -> None:
        super().__init__(layers=[])
        self.part = part
        self.reset()

    def reset(self) -> None:
        self.state: Any = None
        self.next: Any = None
        self.seen = self.room = 0

    def prepared(self, batch: int, count: int, dtype: torch.dtype, device: Any, least: int = 0) -> Any:
        """The state with room for ``count`` more tokens, and for ``least`` in all."""
        length = max(self.seen + count, least)
        if self.state is None or length > self.room:
            self.room = -(-length // ROOM) * ROOM
            self.state = grown(state_schema(self.part, batch, self.room), self.state, dtype, device)
        return self.state

    def first(self, batch: int, device: Any) -> Any:
        """The position of each row's next token (B,)."""
        return torch.zeros(batch, dtype=torch.int64, device=device) if self.next is None else self.next

    def keep(self, state: Any, positions: Any, segments: Any) -> None:
        """Take in the state after tokens at ``positions`` (B, T), where ``segments`` is 0 for padding."""
        self.state, self.seen = state, self.seen + positions.shape[1]
        if segments is None:
            self.next = positions[:, -1] + 1
            return
        real, time = segments > 0, torch.arange(positions.shape[1], device=positions.device)
        last = torch.amax(torch.where(real, time, 0), dim=1, keepdim=True)
        after = torch.take_along_dim(positions, last, dim=1)[:, 0] + 1
        self.next = torch.where(torch.any(real, dim=1), after, self.first(len(positions), positions.device))

    def select(self, function: Callable[[Any], Any]) -> None:
        """Apply ``function`` to every array."""
        self.state = each(function, self.state)
        self.next = each(function, self.next)

    @property
    def is_compileable(self) -> bool:
        return False

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self.seen

    def get_max_length(self, layer_idx: int | None = None) -> int:
        return -1

    def reorder_cache(self, beam_idx: Any) -> None:
        self.select(lambda array: array.index_select(0, beam_idx.to(array.device)))

    def batch_select_indices(self, indices: Any) -> None:
        self.select(lambda array: array[indices.to(array.device)])

    def batch_repeat_interleave(self, repeats: int) -> None:
        self.select(lambda array: array.repeat_interleave(repeats, dim=0))

    def crop(self, tokens_to_remove: int) -> None:
        raise NotImplementedError("a decoding state cannot go back to an earlier token; start anew from the prompt")


def placed(tokens: Any, mask: Any, positions: Any, cache: ArchlabCache | None) -> tuple[Any, Any]:
    """(B, T) positions and documents of new tokens; None for documents where each row is one."""
    batch, count = tokens.shape
    segments = None if mask is None else documents(mask)[:, -count:]
    if positions is not None:
        return positions[:, -count:].expand(batch, count), segments
    if segments is not None and (cache is None or not cache.seen):
        return places(segments), segments
    real = torch.ones_like(tokens) if segments is None else segments > 0
    here = torch.clamp(torch.cumsum(real, dim=1) - 1, min=0)
    return here if cache is None else cache.first(batch, tokens.device)[:, None] + here, segments


def each(function: Callable[[Any], Any], node: Any) -> Any:
    """``function`` of every array in nested dictionaries and lists."""
    if isinstance(node, dict):
        return {name: each(function, child) for name, child in node.items()}
    if isinstance(node, list):
        return [each(function, child) for child in node]
    return None if node is None else function(node)


def grown(schema: Any, old: Any, dtype: torch.dtype, device: Any) -> Any:
    """The state that ``schema`` describes: new, or an ``old`` one with more places at the ends of its axes."""
    if isinstance(schema, dict):
        return {name: grown(node, old and old[name], dtype, device) for name, node in schema.items()}
    if isinstance(schema, list):
        return [grown(node, old and old[i], dtype, device) for i, node in enumerate(schema)]
    return made_of(schema, old, dtype, device)


def made_of(schema: State, old: Any, dtype: torch.dtype, device: Any) -> Any:
    """One array of a state."""
    kind = (dtype if schema.dtype == "float" else torch.int64) if old is None else old.dtype
    array = torch.full(schema.shape, schema.fill, dtype=kind, device=device)
    if old is None or array.shape == old.shape:
        return array if old is None else old
    array[tuple(slice(size) for size in old.shape)] = old
    return array
