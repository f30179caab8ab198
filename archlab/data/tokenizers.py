"""Text to tokens and back. All of it saves to and loads from a Hugging Face ``tokenizer.json``."""

import operator
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from archlab.config import Config
from archlab.errors import InputError


class Tokenizer(Config):
    """How text becomes tokens, before it has seen any text."""

    tagged = True
    abstract = True

    def train(self, text: str, validation: str) -> "TrainedTokenizer":
        """Learn the vocabulary from ``text``. What is learned by counting must not look at ``validation``."""
        raise NotImplementedError


class CharTokenizer(Tokenizer):
    """One token for each character. Ids follow the sorted characters of the whole text, held-out part included."""

    def train(self, text: str, validation: str) -> "TrainedTokenizer":
        _utf8(text + validation)
        characters = sorted(set(text) | set(validation))
        if not characters:
            raise InputError("the text is empty: a CharTokenizer needs at least one character")
        return _Characters(_character_rules({c: i for i, c in enumerate(characters)}))


class ByteTokenizer(Tokenizer):
    """One token for each byte of UTF-8; its id is the byte. A vocabulary of 256 for any text."""

    def train(self, text: str, validation: str) -> "TrainedTokenizer":
        return _Bytes(_byte_rules())


class BPETokenizer(Tokenizer):
    """Byte-level byte pair encoding (GPT-2's) with ``vocab`` tokens, the 256 bytes included."""

    vocab: int

    def check(self) -> None:
        self.require(self.vocab > 256, "vocab", "must be > 256, the bytes; a ByteTokenizer has just these")

    def train(self, text: str, validation: str) -> "TrainedTokenizer":
        from tokenizers import Tokenizer as Rules
        from tokenizers import decoders, models, pre_tokenizers, trainers

        _utf8(text)
        rules = Rules(models.BPE())
        rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        rules.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
        trainer = trainers.BpeTrainer(vocab_size=self.vocab, initial_alphabet=alphabet, show_progress=False)
        rules.train_from_iterator([text], trainer)
        trained = TrainedTokenizer(rules)
        if trained.vocab_size < self.vocab:
            self.fail("vocab", f"is too much: {len(text)} characters of text give only {trained.vocab_size} tokens")
        return trained


class TrainedTokenizer:
    """A tokenizer with its vocabulary. ``rules`` is the Hugging Face ``tokenizers.Tokenizer`` behind it."""

    def __init__(self, rules: Any) -> None:
        self.rules = rules
        self.vocab_size: int = max(rules.get_vocab().values()) + 1

    def encode(self, text: str) -> np.ndarray:
        """The ids of ``text``, (T,) int32. Raises :class:`InputError` for text outside the vocabulary."""
        _utf8(text)
        encoded = self.rules.encode_batch_fast([text], add_special_tokens=False)[0]
        return np.array(encoded.ids, dtype=np.int32)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; bytes that are not UTF-8 become U+FFFD. Raises :class:`InputError` for unknown ids."""
        listed = [operator.index(i) for i in ids]
        for place, i in enumerate(listed):
            if not 0 <= i < self.vocab_size or self.rules.id_to_token(i) is None:
                raise InputError(f"token id {i} at place {place} is outside the vocabulary 0 … {self.vocab_size - 1}")
        return self.rules.decode(listed, skip_special_tokens=False)

    def save(self, path: str | Path) -> None:
        """Write ``tokenizer.json``, which :func:`load_tokenizer` and Hugging Face libraries read."""
        Path(path).write_text(self.rules.to_str(pretty=True), encoding="utf-8")


class _Characters(TrainedTokenizer):
    """Encodes through a table of code points, much faster than the general rules and equal to them."""

    def __init__(self, rules: Any) -> None:
        super().__init__(rules)
        ids = {ord(c): i for c, i in rules.get_vocab().items()}
        self._table = np.full(max(ids) + 2, -1, dtype=np.int32)  # the last entry is for all code points beyond
        self._table[list(ids)] = list(ids.values())

    def encode(self, text: str) -> np.ndarray:
        points = np.frombuffer(text.encode("utf-32-le", "surrogatepass"), dtype="<u4")
        ids = self._table[np.minimum(points, len(self._table) - 1)]
        if (ids < 0).any():
            place = int(np.argmax(ids < 0))
            raise InputError(
                f"the character {text[place]!r} (U+{ord(text[place]):04X}) at place {place} is not among the"
                f" {self.vocab_size} of this CharTokenizer; leave it out, or train with a ByteTokenizer"
            )
        return ids


class _Bytes(TrainedTokenizer):
    """Encodes at once: the ids are the bytes."""

    def encode(self, text: str) -> np.ndarray:
        return np.frombuffer(_utf8(text), dtype=np.uint8).astype(np.int32)


def load_tokenizer(path: str | Path) -> TrainedTokenizer:
    """The tokenizer in a ``tokenizer.json``, archlab's own or another."""
    from tokenizers import Tokenizer as Rules

    try:
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"the tokenizer {path} cannot be read: {error}") from None
    try:
        rules = Rules.from_str(text)
    except Exception as error:  # the library raises no narrower type
        raise InputError(f"{path} is not a tokenizer.json: {error}") from None
    vocabulary = rules.get_vocab()
    if not vocabulary:
        raise InputError(f"{path} is a tokenizer without tokens; train it again")
    if len(vocabulary) == 256 and _equal(rules, _byte_rules()):
        return _Bytes(rules)
    if all(len(token) == 1 for token in vocabulary) and _equal(rules, _character_rules(vocabulary)):
        return _Characters(rules)
    return TrainedTokenizer(rules)


def _character_rules(vocabulary: dict[str, int]) -> Any:
    from tokenizers import Regex, decoders, models, pre_tokenizers
    from tokenizers import Tokenizer as Rules

    rules = Rules(models.WordLevel(vocabulary))
    rules.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    rules.decoder = decoders.Fuse()
    return rules


def _byte_rules() -> Any:
    from tokenizers import Tokenizer as Rules
    from tokenizers import decoders, models, pre_tokenizers

    rules = Rules(models.BPE({c: i for i, c in enumerate(_byte_characters())}, []))
    rules.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    rules.decoder = decoders.ByteLevel()
    return rules


def _byte_characters() -> list[str]:
    """The character that byte-level tokenizers write for each byte 0 … 255.

    Printable bytes stand for themselves; the others take the characters from U+0100 on, in order.
    """
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    own = {c for c in alphabet if ord(c) < 256}
    beyond = iter(c for c in alphabet if c not in own)
    return [chr(byte) if chr(byte) in own else next(beyond) for byte in range(256)]


def _equal(one: Any, other: Any) -> bool:
    return one.to_str() == other.to_str()


def _utf8(text: str) -> bytes:
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the character {text[error.start]!r} at place {error.start} cannot be written as UTF-8:"
            " half of a surrogate pair, mostly from bytes that were not UTF-8"
        ) from None
