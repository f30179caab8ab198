"""A model as a Hugging Face folder with code of its own, for architectures that transformers does not know."""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from archlab.config import Config
from archlab.files import write_text
from archlab.heads.masked_token import MaskedTokenHead
from archlab.hf.modeling.bundle import Bundle, bundled
from archlab.hf.modeling.card import card
from archlab.hf.modeling.kinds import CAUSAL, MASKED, SEQ2SEQ, Kind, kind_of
from archlab.hf.modeling.resolving import TEMPLATE, Symbol, symbol_of
from archlab.hf.modeling.writing import names, written
from archlab.hf.writing import SHARD, held, write_shards
from archlab.model import Model
from archlab.model_folder import check_new
from archlab.spec import Spec, schema, walk
from archlab.stack import Stack
from archlab.tokenizers import TrainedTokenizer
from archlab.weights import check


def write(
    folder: Path,
    model: Model,
    weights: Mapping[str, np.ndarray],
    *,
    tokenizer: TrainedTokenizer | None = None,
    facts: Mapping[str, Any] | None = None,
    largest: int = SHARD,
) -> None:
    """Write ``model`` as a folder that transformers loads with ``trust_remote_code=True`` and without archlab.

    The folder holds the definitions of all that the spec uses as one readable file of PyTorch. A model with further
    answers is written with its main one. ``facts`` go into the model card: "name", and anything else as a section of
    its own, a mapping as a table ("parity", "training"). Files of weights have at most ``largest`` bytes.

    Raises :class:`InputError` for a folder that is not empty, weights of another architecture, and definitions that
    cannot be written into a file.
    """
    folder = Path(folder)
    check_new(folder)
    whole, facts = model, dict(facts or {})
    model = model.for_generation()
    weights = {path: weights[path] for path in schema(model.root()) if path in weights}
    check(model.root(), weights)
    kind = kind_of(model)
    text, described = code(model, kind, f"{_name(facts, whole)}, a model of transformers.")
    config = configuration(model, kind, described, tokenizer, weights)
    size = sum(array.size for array in weights.values())
    texts = {
        "modeling_archlab.py": text,
        "configuration_archlab.py": _configuration_file(config["model_type"]),
        "config.json": _json(config),
        "README.md": card(whole, kind, described, config, facts, parameters=size, reads_text=tokenizer is not None),
    }
    if kind in (CAUSAL, SEQ2SEQ):
        texts["generation_config.json"] = _json(_ids(config) | {"_from_model_config": False})
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        write_text(folder / name, text)
    write_weights(folder, weights, largest)
    if tokenizer is not None:
        write_tokenizer(folder, tokenizer, model)


# --- the code -------------------------------------------------------------------------------------------


def code(spec: Spec, kind: Kind, title: str) -> tuple[str, dict[str, Any]]:
    """The file with the definitions of a spec, and the spec as plain data that the file reads."""
    bundle = bundled(roots(spec, kind))
    return written(bundle, title, about(kind)), plain(spec, bundle)


def roots(spec: Spec, kind: Kind) -> Iterator[Symbol]:
    """The definitions that the file begins with: the class of transformers, and that of every value in the spec."""
    yield Symbol(f"{TEMPLATE}.{kind.file}", kind.name)
    for cls in dict.fromkeys(type(config) for config in configs(spec)):
        yield symbol_of(cls)


def configs(value: Any) -> Iterator[Config]:
    """Every config in a value, itself first."""
    if isinstance(value, Config):
        yield value
        for field in dataclasses.fields(value):  # type: ignore[arg-type] # every config is a dataclass
            yield from configs(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        for item in value:
            yield from configs(item)
    elif isinstance(value, dict):
        for item in value.values():
            yield from configs(item)


def plain(value: Any, bundle: Bundle) -> Any:
    """A spec as plain data, in which types have the names that they have in the file."""
    called = names(bundle)

    def of(value: Any) -> Any:
        if isinstance(value, Config):
            head = {"type": called[symbol_of(type(value))]} if value.tagged else {}
            fields = dataclasses.fields(value)  # type: ignore[arg-type] # every config is a dataclass
            return head | {field.name: of(getattr(value, field.name)) for field in fields}
        if isinstance(value, tuple | list):
            return [of(item) for item in value]
        return {name: of(item) for name, item in value.items()} if isinstance(value, dict) else value

    return of(value)


def about(kind: Kind) -> str:
    """What the head of the file says."""
    return (
        f"Generated by archlab {version('archlab')} from the definitions of the architecture, which ``spec`` in\n"
        f"config.json describes: load it with {kind.auto}.from_pretrained(…, trust_remote_code=True). It\n"
        "needs PyTorch, NumPy and transformers. First comes what runs the definitions, then the definitions, then the\n"
        "classes of transformers.\n\n"
        "They are written to be read: recurrences go token by token, and attention holds all of its weights."
    )


def _configuration_file(model_type: str) -> str:
    text = (Path(__file__).parent / "template" / "configuration.py").read_text(encoding="utf-8")
    return text.replace('model_type = "archlab"', f'model_type = "{model_type}"')


# --- what transformers reads ----------------------------------------------------------------------------


def configuration(
    model: Model,
    kind: Kind,
    described: dict[str, Any],
    tokenizer: TrainedTokenizer | None,
    weights: Mapping[str, np.ndarray],
) -> dict[str, Any]:
    """config.json."""
    vocab, limit = model.vocabulary(), model.limit()
    table: dict[str, Any] = {
        "model_type": f"archlab-{type(model).__name__.lower()}",
        "architectures": [kind.name],
        "auto_map": {"AutoConfig": "configuration_archlab.ArchlabConfig", kind.auto: f"modeling_archlab.{kind.name}"},
        "archlab_version": version("archlab"),
        "dtype": _dtype(weights),
        "hidden_size": model.width,
        "num_hidden_layers": sum(len(p.spec.layers) for _, p in walk(model.root()) if isinstance(p.spec, Stack)),
        "vocab_size": vocab,
        "max_position_embeddings": limit,
        "num_labels": model.classes() if "classification" in kind.file else None,
        "is_encoder_decoder": True if kind is SEQ2SEQ else None,
        "decoder_start_token_id": getattr(model, "start", None),
    }
    table |= {f"{role}_token_id": None if tokenizer is None else tokenizer.special.get(role) for role in ROLES}
    table = {name: value for name, value in table.items() if value is not None}
    return table | {"tie_word_embeddings": _is_tied(model, kind), "spec": described}


ROLES = ("bos", "eos", "pad")


def _ids(config: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in config.items() if name.endswith("token_id")}


def _is_tied(model: Model, kind: Kind) -> bool:
    """Whether the embedding is the output matrix too: one parameter, so that there is nothing to tie."""
    head: Any = getattr(model, "head", None)
    if isinstance(head, MaskedTokenHead):
        return head.out is None
    return head is None and kind in (CAUSAL, MASKED, SEQ2SEQ)


def _dtype(weights: Mapping[str, np.ndarray]) -> str:
    return max((w.dtype for w in weights.values()), key=lambda dtype: dtype.itemsize).name


def _name(facts: Mapping[str, Any], model: Model) -> str:
    return str(facts.get("name") or type(model).__name__)


def _json(data: Any) -> str:
    return json.dumps(data, indent=2, ensure_ascii=False) + "\n"


def write_weights(folder: Path, weights: Mapping[str, np.ndarray], largest: int) -> None:
    """model.safetensors, or several files of at most ``largest`` bytes with an index."""
    pieces = [held(f"model.{path}", array) for path, array in weights.items()]
    write_shards(folder, pieces, largest)


def write_tokenizer(folder: Path, tokenizer: TrainedTokenizer, model: Model) -> None:
    """tokenizer.json, and what transformers should know of it: roles, what the model reads, which side is padded."""
    kind = kind_of(model)
    tokenizer.save(folder)
    path = folder / "tokenizer_config.json"
    table = json.loads(path.read_text(encoding="utf-8"))
    types = ["token_type_ids"] if any(name.endswith("token_types") for name in model.inputs()) else []
    table |= {
        "model_input_names": ["input_ids", *types, "attention_mask"],
        "padding_side": "left" if kind is CAUSAL else "right",
    }
    limit = model.limit("S" if kind is SEQ2SEQ else "T")
    write_text(path, _json(table | ({} if limit is None else {"model_max_length": limit})))
