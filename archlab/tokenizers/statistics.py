"""What a tokenizer makes of texts, in numbers."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from archlab.tokenizers.trained import TrainedTokenizer

_TOGETHER = 64  # texts encoded at a time


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """Counts over texts: of each token in ``counts`` (V,) int64; words are what white space divides."""

    tokenizer: TrainedTokenizer
    documents: int
    characters: int
    bytes: int
    words: int
    counts: np.ndarray

    @property
    def tokens(self) -> int:
        return int(self.counts.sum())

    @property
    def unknown(self) -> float:
        """The share of tokens that are unk."""
        unknown = self.tokenizer.special.get("unk")
        return 0.0 if unknown is None or not self.tokens else float(self.counts[unknown] / self.tokens)

    @property
    def used(self) -> float:
        """The share of the vocabulary that stands in the texts."""
        return float(np.count_nonzero(self.counts) / len(self.counts))

    def most_frequent(self, count: int) -> list[tuple[int, int]]:
        """Ids and how often they stand in the texts, most frequent first."""
        order = np.argsort(-self.counts, kind="stable")[:count]
        return [(int(i), int(self.counts[i])) for i in order if self.counts[i]]


def measure(tokenizer: TrainedTokenizer, texts: Iterable[str]) -> Statistics:
    """Encode ``texts`` and count. Raises :class:`~archlab.errors.InputError` for text outside the vocabulary."""
    totals: Counter[str] = Counter()
    counts = np.zeros(tokenizer.vocab_size, dtype=np.int64)
    for batch in _batches(texts):
        totals["documents"] += len(batch)
        for text in batch:
            totals.update(characters=len(text), bytes=len(text.encode("utf-8", "replace")), words=len(text.split()))
        for ids in tokenizer.encode_batch(batch):
            counts += np.bincount(ids, minlength=tokenizer.vocab_size)
    names = ("documents", "characters", "bytes", "words")
    return Statistics(tokenizer=tokenizer, counts=counts, **{name: totals[name] for name in names})


def longest(tokenizer: TrainedTokenizer, count: int) -> list[int]:
    """The ids of the tokens that stand for most text, longest first, special ones left out."""
    special = set(tokenizer.rules.get_added_tokens_decoder())
    ids = sorted(i for i in tokenizer.rules.get_vocab().values() if i not in special)
    texts = tokenizer.rules.decode_batch([[i] for i in ids], skip_special_tokens=False)
    lengths = dict(zip(ids, map(len, texts), strict=True))
    return sorted(ids, key=lambda i: (-lengths[i], i))[:count]


def _batches(texts: Iterable[str]) -> Iterable[list[str]]:
    batch: list[str] = []
    for text in texts:
        batch.append(text)
        if len(batch) == _TOGETHER:
            yield batch
            batch = []
    if batch:
        yield batch


def ratio(one: int, other: int) -> float:
    """``one`` for each of ``other``; 0 where there are none."""
    return one / other if other else 0.0
