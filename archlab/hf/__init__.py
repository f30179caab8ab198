"""Hugging Face checkpoints and architectures, in and out, for both backends. See docs/hf.md.

``load(folder)`` gives the spec and the weights of a published checkpoint, ``import_folder`` makes a model folder of it,
and ``export`` writes one that ``transformers`` loads. What archlab knows of a family is a table in
:mod:`archlab.hf.families`.
"""

from archlab.hf.family import supported
from archlab.hf.folders import export, import_folder, load, load_spec, native

__all__ = ["export", "import_folder", "load", "load_spec", "native", "supported"]
