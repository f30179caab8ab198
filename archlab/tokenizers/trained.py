"""A tokenizer with its vocabulary: text to tokens and back."""

import functools
import json
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from archlab.errors import InputError
from archlab.files import write_text
from archlab.tokenizers import special as special_tokens
from archlab.tokenizers import words

_TOGETHER = 1 << 21
"""Characters, about, that are encoded at a time: their encodings take some hundred bytes a token until they are ids."""


class TrainedTokenizer:
    """A tokenizer with its vocabulary. ``rules`` is the Hugging Face ``tokenizers.Tokenizer`` behind it.

    ``special`` has the ids of the roles it knows (see :class:`~archlab.tokenizers.tokenizer.Tokenizer`), ``sentinels``
    those of ``<extra_id_0>`` and so on. Text never becomes a special token: they are put in by their ids.
    """

    def __init__(self, rules: Any) -> None:
        rules.encode_special_tokens = True  # it means: as the text that they are
        self.rules = rules
        self.vocab_size: int = max(rules.get_vocab().values()) + 1
        self.special: dict[str, int] = special_tokens.roles(rules)
        self.sentinels: list[int] = special_tokens.sentinel_ids(rules)
        self._pieces = words.pieces if words.cuts_lines(rules) else _whole

    def id_of(self, role: str) -> int:
        """The id of the token with that role. Raises :class:`InputError` where there is none."""
        special_tokens.check_roles([role])
        if role not in self.special:
            raise InputError(
                f"the tokenizer has no token for {role!r}; train it with special={{{role!r}: '<{role}>'}}, or add one"
                f" with tokenizer.extend({{{role!r}: '<{role}>'}})"
            )
        return self.special[role]

    # --- encoding and decoding ------------------------------------------------------------------------

    def encode(self, text: str) -> np.ndarray:
        """The ids of ``text``, (T,) int32. Raises :class:`InputError` for text outside the vocabulary."""
        return self.encode_batch([text])[0]

    def encode_batch(self, texts: Iterable[str]) -> list[np.ndarray]:
        """The ids of each text, (T,) int32, worked out on all processors."""
        rows: list[list[np.ndarray]] = []
        for owners, pieces in self._together(texts):
            rows += [[] for _ in range(owners[-1] + 1 - len(rows))]
            for owner, ids in zip(owners, self._ids(pieces), strict=True):
                rows[owner].append(ids)
        return [np.concatenate(row) for row in rows]

    def _together(self, texts: Iterable[str]) -> Iterator[tuple[list[int], list[str]]]:
        """All texts in pieces, about :data:`_TOGETHER` characters at a time, and whose each piece is."""
        owners: list[int] = []
        pieces: list[str] = []
        size = 0
        for owner, text in enumerate(texts):
            for piece in self._pieces(check_utf8(text)) if text else [""]:
                owners.append(owner)
                pieces.append(piece)
                size += len(piece)
                if size >= _TOGETHER:
                    yield owners, pieces
                    owners, pieces, size = [], [], 0
        if pieces:
            yield owners, pieces

    def _ids(self, pieces: list[str]) -> Iterator[np.ndarray]:
        try:
            encoded = self.rules.encode_batch_fast(pieces, add_special_tokens=False)
        except Exception as error:  # the library raises no narrower type
            raise InputError(f"the text cannot be encoded: {error}; give the tokenizer a token for unk") from None
        return (np.array(one.ids, dtype=np.int32) for one in encoded)

    def decode(self, ids: Iterable[int]) -> str:
        """The text of ``ids``; bytes that are not UTF-8 become U+FFFD. Raises :class:`InputError` for unknown ids."""
        return self.rules.decode(self._known(ids), skip_special_tokens=False)

    def pieces(self, ids: Iterable[int]) -> list[str]:
        """What each token stands for, to be looked at: bytes that are no letter of their own as ``\\xc4``."""
        tokens = [self.rules.id_to_token(i) for i in self._known(ids)]
        if not self._is_byte_level():
            return tokens
        added = self.rules.get_added_tokens_decoder()
        names = {token.content for token in added.values()}
        return [token if token in names else _bytes_shown(token) for token in tokens]

    def _is_byte_level(self) -> bool:
        decoder = self.rules.decoder
        return decoder is not None and json.loads(decoder.__getstate__())["type"] == "ByteLevel"

    def _known(self, ids: Iterable[int]) -> list[int]:
        listed = [operator.index(i) for i in ids]
        for place, i in enumerate(listed):
            if not 0 <= i < self.vocab_size or self.rules.id_to_token(i) is None:
                raise InputError(f"token id {i} at place {place} is outside the vocabulary 0 … {self.vocab_size - 1}")
        return listed

    # --- rows -----------------------------------------------------------------------------------------

    def pad(self, rows: Sequence[np.ndarray], length: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Rows of ids as one array (B, T) int32, filled up with pad at their ends, and a mask (B, T) int32.

        The mask is 1 for what was in the rows. T is ``length``, by default that of the longest row; a longer row
        raises :class:`InputError`.
        """
        longest = max(map(len, rows), default=0)
        length = longest if length is None else length
        if longest > length:
            row = next(i for i, ids in enumerate(rows) if len(ids) > length)
            raise InputError(
                f"row {row} has {len(rows[row])} tokens, length is {length}; cut the row or raise the length"
            )
        filled = np.full((len(rows), length), self.id_of("pad"), dtype=np.int32)
        mask = np.zeros((len(rows), length), dtype=np.int32)
        for i, ids in enumerate(rows):
            filled[i, : len(ids)] = ids
            mask[i, : len(ids)] = 1
        return filled, mask

    def encode_source(self, texts: Iterable[str]) -> list[np.ndarray]:
        """For sequence to sequence: each text's ids and eos."""
        return self._ended(self.encode_batch(texts))

    def encode_target(self, texts: Iterable[str]) -> tuple[list[np.ndarray], list[np.ndarray]]:
        """For sequence to sequence: what the decoder reads, bos and each text's ids, and its targets, ids and eos."""
        first = np.array([self.id_of("bos")], dtype=np.int32)
        rows = self.encode_batch(texts)
        return [np.concatenate([first, ids]) for ids in rows], self._ended(rows)

    def _ended(self, rows: list[np.ndarray]) -> list[np.ndarray]:
        last = np.array([self.id_of("eos")], dtype=np.int32)
        return [np.concatenate([ids, last]) for ids in rows]

    # --- new tokens and files -------------------------------------------------------------------------

    def extend(self, special: Mapping[str, str] | Sequence[str] = (), sentinels: int = 0) -> Self:
        """A tokenizer with more special tokens; their ids follow the last one, and nothing else changes.

        ``special`` gives tokens by role, or tokens without one. ``sentinels`` is how many there are then. A token that
        is there already keeps its id. Raises :class:`InputError` for a role that another token has.
        """
        from tokenizers import Tokenizer as Rules

        by_role = special if isinstance(special, Mapping) else {}
        special_tokens.check_roles(by_role)
        for role, token in by_role.items():
            self._check_new(role, token)
        rules = Rules.from_str(self.rules.to_str())
        special_tokens.add(rules, by_role, () if by_role else special, sentinels)
        return type(self)(rules)

    def _check_new(self, role: str, token: str) -> None:
        if role in self.special and self.rules.id_to_token(self.special[role]) != token:
            has = self.rules.id_to_token(self.special[role])
            raise InputError(
                f"{role!r} is {has!r} (id {self.special[role]}) in this tokenizer and cannot become {token!r}"
            )
        if role == "unk" and self.rules.token_to_id(token) is None:
            raise InputError(
                "a token for 'unk' is learned with the others: train the tokenizer with special={'unk': …}"
            )

    def save(self, path: str | Path) -> None:
        """Write ``tokenizer.json``, which ``load_tokenizer`` and Hugging Face libraries read.

        Into a folder that exists go ``tokenizer.json`` and a ``tokenizer_config.json``, from which ``transformers``
        knows the roles.
        """
        path = Path(path)
        if not path.is_dir():
            write_text(path, self.rules.to_str(pretty=True))
            return
        write_text(path / "tokenizer.json", self.rules.to_str(pretty=True))
        roles = {f"{role}_token": self.rules.id_to_token(i) for role, i in self.special.items()}
        config = {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": False} | roles
        write_text(path / "tokenizer_config.json", json.dumps(config, indent=2, ensure_ascii=False) + "\n")


def check_utf8(text: str) -> str:
    """``text``, or :class:`InputError` where it holds half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise InputError(
            f"the character {text[error.start]!r} at place {error.start} cannot be written as UTF-8:"
            " half of a surrogate pair, mostly from bytes that were not UTF-8"
        ) from None
    return text


def same_rules(one: Any, other: Any) -> bool:
    """Whether two rules are written equally, but for special tokens and their roles."""
    return _without_special(one) == _without_special(other)


def _without_special(rules: Any) -> dict[str, Any]:
    written = json.loads(rules.to_str())
    ordinary = [token for token in written["added_tokens"] if not token["special"]]
    return written | {"added_tokens": ordinary, "post_processor": None}


def byte_characters() -> list[str]:
    """The character that byte-level tokenizers write for each byte 0 … 255.

    Printable bytes stand for themselves; the others take the characters from U+0100 on, in order.
    """
    from tokenizers import pre_tokenizers

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    own = {c for c in alphabet if ord(c) < 256}
    beyond = iter(c for c in alphabet if c not in own)
    return [chr(byte) if chr(byte) in own else next(beyond) for byte in range(256)]


def _bytes_shown(token: str) -> str:
    return bytes(_byte_of()[c] for c in token).decode(errors="backslashreplace")


@functools.cache
def _byte_of() -> dict[str, int]:
    return {c: byte for byte, c in enumerate(byte_characters())}


def _whole(text: str) -> Iterator[str]:
    yield text
