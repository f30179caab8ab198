"""Which class of transformers a model becomes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from archlab.errors import InputError
from archlab.fronts.frames import Frames
from archlab.fronts.patches import Patches
from archlab.fronts.tokens import Tokens
from archlab.heads.classifier import Classifier
from archlab.heads.masked_token import MaskedTokenHead
from archlab.heads.span import SpanHead
from archlab.model import Model, check_causal
from archlab.models.dual_encoder import DualEncoder
from archlab.models.encoder import Encoder
from archlab.models.encoder_decoder import EncoderDecoder
from archlab.spec import Front

FRONTS = (Tokens, Patches, Frames)


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A class of the template.

    file, name
        Where it is defined, and what it is called.
    auto
        The class of transformers that loads it.
    task
        What the Hub calls it; None where it has no word for it.
    """

    file: str
    name: str
    auto: str
    task: str | None


CAUSAL = Kind(file="causal_lm", name="ArchlabForCausalLM", auto="AutoModelForCausalLM", task="text-generation")
MASKED = Kind(file="masked_lm", name="ArchlabForMaskedLM", auto="AutoModelForMaskedLM", task="fill-mask")
PLAIN = Kind(file="encoder", name="ArchlabModel", auto="AutoModel", task="feature-extraction")
SEQUENCE = Kind(
    file="sequence_classification",
    name="ArchlabForSequenceClassification",
    auto="AutoModelForSequenceClassification",
    task="text-classification",
)
TOKEN = Kind(
    file="token_classification",
    name="ArchlabForTokenClassification",
    auto="AutoModelForTokenClassification",
    task="token-classification",
)
IMAGE = Kind(
    file="image_classification",
    name="ArchlabForImageClassification",
    auto="AutoModelForImageClassification",
    task="image-classification",
)
ANSWER = Kind(
    file="question_answering",
    name="ArchlabForQuestionAnswering",
    auto="AutoModelForQuestionAnswering",
    task="question-answering",
)
DUAL = Kind(file="dual_encoder", name="ArchlabModel", auto="AutoModel", task="zero-shot-image-classification")
SEQ2SEQ = Kind(file="seq2seq_lm", name="ArchlabForSeq2SeqLM", auto="AutoModelForSeq2SeqLM", task="text2text-generation")


def kind_of(model: Model) -> Kind:
    """What ``model`` becomes. Raises :class:`InputError` where transformers has no place for it."""
    if isinstance(model, EncoderDecoder):
        _check_front(model.source, "model.source")
        return SEQ2SEQ
    if isinstance(model, Encoder):
        _check_front(model.front, "model.front")
        return _encoder(model)
    if isinstance(model, DualEncoder):
        for name in ("text", "image"):
            _check_front(getattr(model, name).front, f"model.{name}.front")
        return DUAL
    if set(model.inputs()) != {"tokens"}:
        raise InputError(
            f"a {type(model).__name__} reads {', '.join(model.inputs())}; only models of tokens, an Encoder and an "
            "EncoderDecoder can be exported as code"
        )
    return CAUSAL if holds(check_causal, model) else MASKED


def _encoder(model: Encoder) -> Kind:
    head: Any = model.head
    if head is None or getattr(head, "classes", None) is None:
        return PLAIN
    if isinstance(head, MaskedTokenHead):
        return MASKED
    if isinstance(head, SpanHead):
        return ANSWER
    if not isinstance(head, Classifier) or head.pooling is None:
        return TOKEN
    return IMAGE if isinstance(model.front, Patches) else SEQUENCE


def _check_front(front: Front | None, where: str) -> None:
    if front is not None and not isinstance(front.represents(), FRONTS):
        known = ", ".join(cls.__name__ for cls in FRONTS)
        raise InputError(f"{where}: transformers has no name for what a {type(front).__name__} reads; use {known}")


def holds(check: Callable[[Model], None], model: Model) -> bool:
    """Whether a check lets the model pass."""
    try:
        check(model)
    except InputError:
        return False
    return True
