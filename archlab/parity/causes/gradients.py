"""Gradients that are lost, scaled, or reach only one of two places."""

from collections.abc import Iterator

import numpy as np

from archlab.model import Head, LanguageModel
from archlab.parity.causes import cause
from archlab.parity.causes.weights import families
from archlab.parity.step_trials import GradientTrial
from archlab.spec import walk

TABLE = "embedding.table"
FACTORS = {
    0.0: "no gradient reaches {}", 0.5: "the gradient of {} is halved", 2.0: "the gradient of {} is doubled",
    -1.0: "the gradient of {} has the wrong sign",
}  # fmt: skip


@cause(GradientTrial)
def lost_or_scaled(trial: GradientTrial) -> Iterator[GradientTrial]:
    """Of one parameter in every layer, of all such parameters of a kind of part, or of all."""
    for what, paths in groups(trial).items():
        for factor, words in FACTORS.items():
            changed = {path: factor * trial.gradients[path] for path in paths}
            yield trial.but(words.format(what), gradients=trial.gradients | changed)


def groups(trial: GradientTrial) -> dict[str, list[str]]:
    """Paths of parameters that a mistake may strike together, by what they are called together."""
    kinds: dict[str, list[str]] = {}
    for path, part in walk(trial.part):
        for name in part.spec.params(part.width):
            full = f"{path}.{name}" if path else name
            if full in trial.gradients:
                kinds.setdefault(f"any {type(part.spec).__name__}'s {name}", []).append(full)
    return {"any parameter": list(trial.gradients)} | kinds | families(trial.gradients)


@cause(GradientTrial)
def tied_head(trial: GradientTrial) -> Iterator[GradientTrial]:
    """A tied table gets the embedding's gradient only, or the head's."""
    if not isinstance(trial.model, LanguageModel) or trial.model.head is not None or TABLE not in trial.weights:
        return
    untied = trial.of(
        trial.model.replace(head=Head(bias=False)), trial.weights | {"head.kernel": trial.weights[TABLE].T}
    )
    shares = {"the embedding": untied[TABLE], "the head": untied["head.kernel"].T}
    for place, share in shares.items():
        words = f"the tied table gets the gradient of {place} only"
        yield trial.but(words, gradients=trial.gradients | {TABLE: np.asarray(share)})
