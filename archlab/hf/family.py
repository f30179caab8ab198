"""What archlab knows of one family of Hugging Face models, and how a family is found."""

import importlib
import pkgutil
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from archlab.errors import InputError, nearest
from archlab.hf.fields import Fields
from archlab.hf.layouts import Rule
from archlab.hf.tensors import Tensors
from archlab.model import Model


class Mismatch(Exception):  # noqa: N818 - an answer, not an error
    """A spec is none of the family's."""


@dataclass(frozen=True, kw_only=True)
class Family:
    """One ``model_type``: a table between config and spec, and one between tensors and parameters.

    model_type
        Its name, and its file's.
    architectures
        The classes of transformers that it stands for, the usual one first.
    model
        (fields, architecture) → the spec. It reads every field that can change a number.
    config
        spec → the fields that say so. Whether ``model`` makes the same spec of them is checked, so that it may take for
        granted what it likes; what it does not find is an AttributeError, IndexError, KeyError or :class:`Mismatch`.
    tensors
        spec → rules; those of parameters that the spec does not have are passed over.
    architecture
        spec → which of ``architectures`` it is; by default the first.
    prefix
        What stands before the names of the base model's tensors, and is missing where it was saved alone.
    ignored
        Patterns of tensors that are not learned: masks and frequencies that older versions saved.
    twins
        Tensors that repeat another one (a tied head): theirs → the one they repeat.
    spare
        Patterns of tensors that a checkpoint may hold beside an architecture's own: those of other heads, which
        transformers passes over too.
    told
        (config, tensors) → the config as the tensors tell it, where they say what it leaves open.
    """

    model_type: str
    architectures: tuple[str, ...]
    model: Callable[[Fields, str], Model]
    config: Callable[[Any], dict[str, Any]]
    tensors: Callable[[Any], Sequence[Rule]]
    architecture: Callable[[Any], str] | None = None
    prefix: str = ""
    ignored: tuple[str, ...] = (r".*rotary_emb\.inv_freq",)
    twins: Mapping[str, str] | None = None
    spare: tuple[str, ...] = ()
    told: Callable[[Mapping[str, Any], Tensors], Mapping[str, Any]] | None = None

    def is_spare(self, name: str) -> bool:
        """Whether a tensor may be there without being used."""
        return any(re.fullmatch(pattern, name) for pattern in self.spare)

    def name_of(self, model: Model) -> str:
        """The class of transformers that ``model`` is."""
        return self.architecture(model) if self.architecture else self.architectures[0]


def supported() -> list[str]:
    """All that there are, by ``model_type``."""
    from archlab.hf import families as package

    return sorted(module.name for module in pkgutil.iter_modules(package.__path__) if not module.name.endswith("_test"))


def find(model_type: str, where: str = "config.json") -> Family:
    """The family of a ``model_type``."""
    if model_type not in supported():
        known = ", ".join(supported())
        hint = nearest(model_type, supported())
        hint = "" if hint.startswith("allowed") else f"{hint} "
        raise InputError(f"{where}: the model_type {model_type!r} is not supported; {hint}supported are {known}")
    return importlib.import_module(f"archlab.hf.families.{model_type}").FAMILY


def of_fields(fields: Fields) -> tuple[Family, str]:
    """The family and the architecture that a ``config.json`` names."""
    family = find(fields.text("model_type"), fields.where)
    named = fields.raw("architectures", [family.architectures[0]])
    architecture = named[0] if isinstance(named, list) and named else family.architectures[0]
    if architecture not in family.architectures:
        known = ", ".join(family.architectures)
        raise InputError(
            f"{fields.where}: the architecture {architecture!r} is not supported; for this family {known} are"
        )
    return family, architecture
