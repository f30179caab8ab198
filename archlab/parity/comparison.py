"""A function of the user's own against a spec: does it compute the same, and if not, why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from archlab import weights as canonical
from archlab.errors import InputError
from archlab.losses import log_softmax
from archlab.model import Model
from archlab.parity.bench import Bench
from archlab.parity.cases import Case, content, root
from archlab.parity.diagnosis import Diagnosis, diagnose
from archlab.parity.tolerances import LIMITED, relative
from archlab.parity.trials import ForwardTrial
from archlab.spec import Example, Spec

LONGEST = 128


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came of it.

    error, limit
        max|y − truth| / max|truth| of the outputs, and how far the output's dtype allows it to be.
    kl_mean, kl_max
        For models: KL(definition ‖ function) a token in nats, summed over the vocabulary.
    diagnosis
        The causes, where the error exceeds the limit.
    """

    error: float
    limit: float
    dtype: str
    kl_mean: float | None
    kl_max: float | None
    diagnosis: Diagnosis | None

    @property
    def passed(self) -> bool:
        return self.error <= self.limit

    def __str__(self) -> str:
        verdict = "equal" if self.passed else "different"
        lines = [f"{verdict}: error {self.error:.1e}, limit {self.limit:.1e} ({self.dtype})"]
        if self.kl_mean is not None:
            lines.append(f"KL a token: mean {self.kl_mean:.1e}, max {self.kl_max:.1e} nats")
        return "\n".join(lines if self.diagnosis is None else [*lines, str(self.diagnosis)])


def compare(
    function: Callable[[np.ndarray], Any], spec: Spec, weight_map: Mapping[str, Any], *,
    inputs: Mapping[str, np.ndarray] | None = None, length: int | None = None, batch: int = 2, seed: int = 0,
) -> Comparison:  # fmt: skip
    """Compare ``function`` with the definition of ``spec`` on equal weights, and say why they differ.

    function
        Maps tokens (B, T) int64 to logits (B, T, V), or for a part that is no model x (B, T, D) to y. It gets NumPy
        and may give NumPy, PyTorch or JAX arrays.
    weight_map
        The function's own weights by canonical path, in canonical layout: matrices are (in, out), so that the weight
        of an ``nn.Linear`` is given as ``weight.T``. ``archlab describe CONFIG`` shows paths and shapes.
    inputs
        The tokens, or x; by default ``batch`` random rows of ``length`` (as many as the model takes, up to 128).

    The limit is that of the dtype of the function's output: float64 is held to 1e-10, lower ones to a few times what
    the dtype itself costs. Raises :class:`InputError` for weights that do not fit the spec.
    """
    weights = {path: _array(value, f"weight_map[{path!r}]") for path, value in weight_map.items()}
    width = spec.width if isinstance(spec, Model) else _width(spec, inputs)
    canonical.check(root(spec, width), weights, "weight_map")
    held = {path: value.astype(np.float64) for path, value in weights.items()}
    limit = (spec.limit() if isinstance(spec, Model) else None) or LONGEST
    example = Example(spec=spec, width=width, length=length or min(limit, LONGEST), batch=batch)
    case = Case(name=type(spec).__name__, spec_name=type(spec).__name__, example=example)
    given = {k: np.asarray(v) for k, v in (inputs or content(case, seed, batch)).items()}
    raw = function(given["tokens" if isinstance(spec, Model) else "x"])
    output = _array(raw, "the function's output")
    return judged(output, str(raw.dtype).removeprefix("torch."), Bench(case, weights=held, variants={"given": given}))


def judged(output: np.ndarray, dtype: str, bench: Bench) -> Comparison:
    """An output of the bench's one variant, computed in ``dtype``, compared with the definition and explained."""
    ((variant, inputs),) = bench.variants.items()
    truth = bench.truth(variant).output
    if output.shape != truth.shape:
        raise InputError(f"the function's output has the shape {output.shape}, the definition's {truth.shape}")
    error, limit = relative(output, truth), bench.forward_limit(variant, dtype)
    kl = kl_per_token(truth, output) if isinstance(bench.spec, Model) else None
    diagnosis = None
    if not error <= limit:
        diagnosis = diagnose(output, ForwardTrial(spec=bench.spec, weights=bench.weights, inputs=inputs), limit)
    return Comparison(
        error=error, limit=limit, dtype=dtype, kl_mean=None if kl is None else float(kl.mean()),
        kl_max=None if kl is None else float(kl.max()), diagnosis=diagnosis,
    )  # fmt: skip


def kl_per_token(truth: np.ndarray, output: np.ndarray) -> np.ndarray:
    """(B, T) nats: Σ_v p (log p − log q), p from the logits ``truth`` and q from ``output``."""
    log_p, log_q = (log_softmax(a) for a in (truth, output))
    return np.sum(np.exp(log_p) * (log_p - log_q), axis=-1)


def _width(spec: Spec, inputs: Mapping[str, np.ndarray] | None) -> int:
    if inputs is None or "x" not in inputs:
        raise InputError(f"a {type(spec).__name__} is no model: give inputs={{'x': array of shape (B, T, D)}}")
    return np.shape(inputs["x"])[-1]


def _array(value: Any, what: str) -> np.ndarray:
    """NumPy from whatever holds numbers; a PyTorch tensor may need its gradient, a bfloat16 one its own type."""
    if hasattr(value, "detach"):
        value = value.detach().cpu()
        value = value.float() if str(value.dtype) == "torch.bfloat16" else value  # NumPy has no such type
    array = np.asarray(value)
    if array.dtype.name not in LIMITED:
        raise InputError(f"{what} holds {array.dtype}; it must be one of {', '.join(LIMITED)}")
    return array
