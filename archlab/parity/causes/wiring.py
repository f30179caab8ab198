"""Norms, scales and ends of a model in the wrong place, or not there."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from archlab.mixers.attention import Attention
from archlab.model import LanguageModel
from archlab.parity.causes import cause
from archlab.parity.trials import ForwardTrial, respecified, rounded, with_fields
from archlab.residuals import OutputNorm, PostNorm, PreNorm, Residual

PLACES = {PreNorm: "before the layer", PostNorm: "after the sum", OutputNorm: "on the layer's output"}


@cause(ForwardTrial)
def norms_elsewhere(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Post-norm for pre-norm, or the norm on the branch's output."""
    for kind, place in PLACES.items():

        def swap(old: Any, kind: Any = kind, place: str = place) -> tuple[str, Any]:
            fields = {name: getattr(old, name) for name in old.to_dict() if name != "type"}
            return f"the norm stands {place} in place of {PLACES[type(old)]}", kind(**fields)

        yield from respecified(trial, tuple(PLACES), swap)


@cause(ForwardTrial)
def norms_missing(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """The last norm, or that of queries and keys."""
    if isinstance(trial.spec, LanguageModel) and trial.spec.norm is not None:
        yield trial.but("the last norm is missing", spec=trial.spec.replace(norm=None))
    yield from with_fields(trial, Attention, "the norm of queries and keys is missing", qk_norm=None)


@cause(ForwardTrial)
def another_residual_scale(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """Scales of the branch or of the stream left out."""
    yield from with_fields(trial, Residual, "the scale of the residual branch is missing", branch_scale=1.0)
    yield from with_fields(trial, Residual, "the scale of the residual stream is missing", skip_scale=1.0)


@cause(ForwardTrial)
def another_embedding_scale(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """√D missing, unasked for, or rounded to bfloat16 (Gemma)."""
    spec = trial.spec
    if isinstance(spec, LanguageModel):
        root = float(np.sqrt(spec.width))
        scales = {"missing": None, "√D": root, "√D rounded to bfloat16": float(rounded(root))}
        for words, scale in scales.items():
            if scale != spec.embedding_scale:
                yield trial.but(f"the scale of embeddings is {words}", spec=spec.replace(embedding_scale=scale))


@cause(ForwardTrial)
def another_end(trial: ForwardTrial) -> Iterator[ForwardTrial]:
    """A softcap or a table of positions left out; a head tied that is not."""
    spec = trial.spec
    if isinstance(spec, LanguageModel):
        ends = {
            "the softcap of the logits is missing": {"softcap": None},
            "the table of positions is missing": {"positions": None},
            "the norm of the embeddings is missing": {"embedding_norm": None},
            "the head is tied to the embedding": {"head": None},
        }
        for words, fields in ends.items():
            if any(getattr(spec, name) is not None for name in fields):
                yield trial.but(words, spec=spec.replace(**fields))
