"""Any architecture as code that transformers loads: see :func:`archlab.hf.modeling.folder.write`."""

from archlab.hf.modeling.folder import write, write_tokenizer

__all__ = ["write", "write_tokenizer"]
