"""The fields of a Hugging Face ``config.json``, read one by one: what nobody reads is no detail, but an error."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from archlab.config import FieldError, convert, show
from archlab.errors import InputError

T = TypeVar("T")
REQUIRED: Any = object()

IDLE = frozenset({
    # what the folder is, and by what it was written
    "_name_or_path", "_commit_hash", "architectures", "auto_map", "dtype", "model_type", "torch_dtype",
    "transformers_version", "name_or_path",
    # what a call answers with
    "chunk_size_feed_forward", "output_attentions", "output_hidden_states", "return_dict", "use_cache",
    "use_bfloat16", "torchscript", "attn_implementation", "_attn_implementation", "_attn_implementation_internal",
    "_experts_implementation", "experts_implementation", "use_return_dict", "gradient_checkpointing",
    "keys_to_ignore_at_inference", "cache_implementation", "is_encoder_decoder", "tie_encoder_decoder",
    "cross_attention_hidden_size", "pruned_heads", "output_router_logits", "router_aux_loss_coef",
    # tokens and names of classes
    "bos_token_id", "eos_token_id", "pad_token_id", "sep_token_id", "cls_token_id", "mask_token_id",
    "unk_token_id", "decoder_start_token_id", "forced_bos_token_id", "forced_eos_token_id", "id2label", "label2id",
    "num_labels", "_num_labels", "problem_type", "tokenizer_class", "prefix", "finetuning_task", "task_specific_params",
    # generation, where older versions kept it
    "bad_words_ids", "begin_suppress_tokens", "diversity_penalty", "do_sample", "early_stopping",
    "encoder_no_repeat_ngram_size", "exponential_decay_length_penalty", "length_penalty", "max_length", "min_length",
    "no_repeat_ngram_size", "num_beam_groups", "num_beams", "num_return_sequences", "output_scores",
    "remove_invalid_values", "repetition_penalty", "return_dict_in_generate", "suppress_tokens", "temperature",
    "top_k", "top_p", "typical_p", "tf_legacy_loss", "max_new_tokens",
})  # fmt: skip
"""Fields of any family that change no number of the model itself."""


class Fields:
    """A mapping of a ``config.json`` that remembers what was read of it.

    Each reader takes a field's name and what transformers takes where it is missing or, unless None may stand there,
    null. A value of the wrong kind raises :class:`InputError`, which names file, field and value.
    """

    def __init__(self, data: Mapping[str, Any], where: str = "config.json") -> None:
        self._data, self.where = data, where
        self._read: set[str] = set()

    @classmethod
    def of(cls, path: Path) -> "Fields":
        """Those of the file at ``path``."""
        try:
            data = json.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise InputError(f"{path} cannot be read as JSON: {error}") from None
        if not isinstance(data, dict):
            raise InputError(f"{path} must hold a mapping, it holds a {type(data).__name__}")
        return cls(data, str(path))

    def __contains__(self, name: str) -> bool:
        return self._data.get(name) is not None

    @property
    def data(self) -> Mapping[str, Any]:
        """All of it, as it stands there."""
        return self._data

    def raw(self, name: str, default: Any = REQUIRED) -> Any:
        """The value as it stands there; ``default`` where it is missing or null."""
        self._read.add(name)
        value = self._data.get(name)
        if value is None and default is REQUIRED:
            raise InputError(f"{self.where}: the field {name!r} is missing")
        return default if value is None else value

    def read(self, name: str, kind: Any, default: Any = REQUIRED) -> Any:
        """The value as a ``kind``."""
        value = self.raw(name, default)
        try:
            return value if value is None else convert(kind, value, name)
        except FieldError as error:
            raise InputError(f"{self.where}: {error}") from None

    def optional(self, name: str, kind: type, default: Any) -> Any:
        """The value as a ``kind``, None where null stands there, which says "none"; ``default`` where it is missing."""
        return self.read(name, kind, None if name in self._data else default)

    def size(self, name: str, default: Any = REQUIRED) -> Any:
        """A number of things: an integer > 0, or ``default``, which may be None."""
        value: Any = self.read(name, int, default)
        if value is not None and value <= 0:
            raise InputError(f"{self.where}: {name} is {value}; it must be > 0")
        return value

    def number(self, name: str, default: Any = REQUIRED) -> Any:
        return self.read(name, float, default)

    def flag(self, name: str, default: Any = REQUIRED) -> bool:
        return self.read(name, bool, default)

    def text(self, name: str, default: Any = REQUIRED) -> Any:
        return self.read(name, str, default)

    def items(self, name: str, count: int, default: Any = None) -> Any:
        """A list with an entry for each of ``count`` layers; ``default`` where it is missing."""
        value = self.raw(name, default)
        if value is not None and (not isinstance(value, (list, tuple)) or len(value) != count):
            raise InputError(f"{self.where}: {name} is {show(value)}; a list of {count} entries is needed, one a layer")
        return value

    def table(self, name: str) -> "Fields | None":
        """A mapping inside, None where there is none; what is not read of it is an error too, see :meth:`done`."""
        value = self.raw(name, None)
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise InputError(f"{self.where}: {name} is {show(value)}; a mapping is needed")
        return Fields(value, f"{self.where}: {name}")

    def choice(self, name: str, table: Mapping[str, T], default: Any = REQUIRED) -> T:
        """What ``table`` has for the value."""
        value = self.text(name, default)
        if value not in table:
            known = ", ".join(map(str, table))
            raise InputError(f"{self.where}: {name} is {value!r}, which archlab has no part for; it has {known}")
        return table[value]

    def expect(self, name: str, *allowed: Any) -> None:
        """Read a field that must have one of the ``allowed`` values; missing, it has the first."""
        value = self.raw(name, allowed[0])
        if value not in allowed:
            wanted = " or ".join(map(show, allowed))
            raise InputError(
                f"{self.where}: {name} is {show(value)}, which archlab does not understand here; it knows {wanted}"
            )

    def idle(self, *names: str) -> None:
        """Pass over fields that change no number."""
        self._read.update(names)

    def done(self) -> None:
        """Raise :class:`InputError` for a field that nobody has read: it might change the numbers."""
        for name in self._data:
            if name not in self._read and name not in IDLE:
                value = show(self._data[name])
                raise InputError(
                    f"{self.where}: the field {name!r} (it is {value}) is not understood for this kind of model; "
                    "remove it if it changes nothing that the model computes"
                )
