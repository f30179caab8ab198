"""What kind of work an operation is, told from its name alone."""

import re
from collections.abc import Sequence

from archlab.backends import Spent

PATTERNS = {
    "attention": r"attention|flash|fmha|flex",
    "optimizer": r"adam|optimi[sz]er|multi_?tensor|foreach|lion|muon",
    "YNNPACK (products, sums)": r"^ynn",
    "matrix products": r"gemm|cublas|cutlass|matmul|convolution|nvjet|(^|[:_.])(addmm|mm|bmm|dot|einsum)(_|\b)",
    "softmax, loss": r"softmax|cross_entropy|nll",
    "norms": r"norm",
    "memory": r"copy|memcpy|memset|transpose|reshape|view|slice|concat|\bcat\b|cat_|gather|scatter|index|embedding|pad"
    r"|broadcast|empty|as_strided|expand|contiguous|zeros|fill",
    "communication": r"nccl|all_?reduce|all_?gather|reduce_scatter|collective",
    "elementwise": r"add|mul|sub|div|exp|log|tanh|silu|gelu|relu|sigmoid|sqrt|pow|select|compare|convert|elementwise"
    r"|fusion|reduce|sum|neg|where|erf|sin|cos|mean|max",
}
"""In this order: the first that is found decides. XLA calls a fusion by its last operations."""
REST = "other"


def category(name: str) -> str:
    """The kind of the operation called ``name``."""
    lower = name.lower()
    return next((kind for kind, pattern in PATTERNS.items() if re.search(pattern, lower)), REST)


def shares(spent: Sequence[Spent]) -> dict[str, float]:
    """The share of the time by kind, the dearest first; empty where no time was seen."""
    total, found = sum(s.ms for s in spent), dict[str, float]()
    for one in spent:
        kind = category(one.name)
        found[kind] = found.get(kind, 0.0) + one.ms
    return {kind: ms / total for kind, ms in sorted(found.items(), key=lambda item: -item[1]) if total}
