"""A function of the user's own against a spec: does it compute the same, and if not, why."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from archlab import weights as canonical
from archlab.backends import backend_names
from archlab.errors import InputError, nearest
from archlab.losses import log_softmax
from archlab.model import Model
from archlab.parity import tolerances
from archlab.parity.bench import Bench, named
from archlab.parity.cases import Case, content, declared_inputs, root
from archlab.parity.diagnosis import Diagnosis, diagnose
from archlab.parity.explanation import explain_gradients
from archlab.parity.gaps import Gap
from archlab.parity.slopes import slope_error
from archlab.parity.tolerances import LIMITED, gradient_errors, relative
from archlab.parity.trials import ForwardTrial
from archlab.policy import Policy
from archlab.spec import Example, Spec
from archlab.weights import Weights

LONGEST = 128
GIVEN = "given"  # the one variant of the inputs
OUTPUT = "output"


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came of it.

    gaps
        Function against definition: the intermediates given, in the order of computation, then the output, then the
        gradients given.
    kl_mean, kl_max
        For models: KL(definition ‖ function) a token in nats, summed over the vocabulary.
    diagnosis
        The causes, where the output or a gradient is farther off than its dtype allows.
    """

    gaps: tuple[Gap, ...]
    dtype: str
    kl_mean: float | None
    kl_max: float | None
    diagnosis: Diagnosis | None

    @property
    def output(self) -> Gap:
        """The gap of the output."""
        return next(gap for gap in self.gaps if gap.where == OUTPUT)

    @property
    def first(self) -> Gap | None:
        """The first gap that is too large: what comes before it agrees."""
        return next((gap for gap in self.gaps if not gap.passed), None)

    @property
    def passed(self) -> bool:
        return self.first is None

    def __str__(self) -> str:
        judged = self.first or self.output
        place = {"forward": "at", "gradients": "in the gradient of"}[judged.stage]
        verdict = "equal" if self.passed else "different"
        verdict += "" if judged.where == OUTPUT else f" {place} {judged.where}"
        lines = [f"{verdict}: error {judged.error:.1e}, limit {judged.limit:.1e} ({self.dtype})"]
        if self.kl_mean is not None:
            lines.append(f"KL a token: mean {self.kl_mean:.1e}, max {self.kl_max:.1e} nats")
        return "\n".join(lines if self.diagnosis is None else [*lines, str(self.diagnosis)])


def compare(
    function: Callable[[np.ndarray], Any], spec: Spec, weight_map: Mapping[str, Any], *,
    gradients: Callable[[np.ndarray, np.ndarray], Mapping[str, Any]] | None = None,
    inputs: Mapping[str, np.ndarray] | None = None, length: int | None = None, batch: int = 2, seed: int = 0,
) -> Comparison:  # fmt: skip
    """Compare ``function`` with the definition of ``spec`` on equal weights, and say why they differ.

    function
        Maps tokens (B, T) int64 to logits (B, T, V), or for a part that is no model x (B, T, D) to y; where there are
        several inputs it gets a dict of them. It gets NumPy and may give NumPy, PyTorch or JAX arrays. It may give
        (output, intermediates by canonical path) in place of the output: then the first of them that differs is found.
    weight_map
        The function's own weights by canonical path, in canonical layout: matrices are (in, out), so that the weight
        of an ``nn.Linear`` is given as ``weight.T``. ``archlab describe CONFIG`` shows paths and shapes.
    gradients
        Maps tokens (or x) and a cotangent of the output's shape to the gradients of Σ output · cotangent by parameter,
        in the same layout: ``function(x).backward(cotangent)``. They are held to those of an installed backend, which
        are first held to the slope of the definition.
    inputs
        The tokens, or x; by default ``batch`` random rows of ``length`` (as many as the model takes, up to 128).

    The limit is that of the dtype of the function's output: float64 is held to 1e-10, gradients to 1e-9, lower dtypes
    to a few times what the dtype itself costs. Raises :class:`InputError` for weights that do not fit the spec.
    """
    bench = _bench(spec, weight_map, inputs, length, batch, seed)
    fed = {name: bench.variants[GIVEN][name] for name in declared_inputs(bench.case) if name in bench.variants[GIVEN]}
    x: Any = next(iter(fed.values())) if len(fed) == 1 else fed
    given = function(x)
    raw, inside = given if isinstance(given, tuple) else (given, {})
    dtype = str(raw.dtype).removeprefix("torch.")
    output = _array(raw, "the function's output")
    gaps = [*_intermediates(bench, inside, dtype), _output(bench, output, dtype)]
    diagnosis = None
    if not gaps[-1].passed:
        trial = ForwardTrial(spec=spec, weights=bench.weights, inputs=bench.variants[GIVEN])
        diagnosis = diagnose(output, trial, gaps[-1].limit)
    elif gradients is not None:
        found = {path: _array(g, f"gradients[{path!r}]") for path, g in gradients(x, bench.cotangent(GIVEN)).items()}
        canonical.check(bench.part, found, "gradients")
        backend, truth = _true_gradients(bench)
        gaps += _gradients(bench, found, truth, dtype, backend)
        if dtype == "float64" and not all(gap.passed for gap in gaps) and isinstance(spec, Model):
            diagnosis = explain_gradients(bench, GIVEN, found, truth, backend)
    kl = kl_per_token(bench.truth(GIVEN).output, output) if isinstance(spec, Model) else None
    return Comparison(
        gaps=tuple(gaps), dtype=dtype, kl_mean=None if kl is None else float(kl.mean()),
        kl_max=None if kl is None else float(kl.max()), diagnosis=diagnosis,
    )  # fmt: skip


def _bench(
    spec: Spec, weight_map: Mapping[str, Any], inputs: Mapping[str, np.ndarray] | None, length: int | None,
    batch: int, seed: int,
) -> Bench:  # fmt: skip
    weights = {path: _array(value, f"weight_map[{path!r}]") for path, value in weight_map.items()}
    width = spec.width if isinstance(spec, Model) else _width(spec, inputs)
    canonical.check(root(spec, width), weights, "weight_map")
    held = {path: value.astype(np.float64) for path, value in weights.items()}
    limit = (spec.limit() if isinstance(spec, Model) else None) or LONGEST
    example = Example(spec=spec, width=width, length=length or min(limit, LONGEST), batch=batch)
    case = Case(name=type(spec).__name__, spec_name=type(spec).__name__, example=example)
    given = {k: np.asarray(v) for k, v in (inputs or content(case, seed, batch)).items()}
    return Bench(case, weights=held, variants={GIVEN: given})


def _output(bench: Bench, output: np.ndarray, dtype: str) -> Gap:
    truth = bench.truth(GIVEN).output
    if output.shape != truth.shape:
        raise InputError(f"the function's output has the shape {output.shape}, the definition's {truth.shape}")
    return _gap(bench, "forward", OUTPUT, relative(output, truth), bench.forward_limit(GIVEN, dtype), dtype)


def _intermediates(bench: Bench, inside: Mapping[str, Any], dtype: str) -> Iterator[Gap]:
    """In the order of computation; a path that the definition has not is an error."""
    truth = named(bench.truth(GIVEN))
    for path in inside:
        if path not in truth:
            raise InputError(f"the definition has no intermediate {path!r}; {nearest(path, truth)}")
    for path in truth:
        if path in inside:
            value = _array(inside[path], f"the intermediate {path!r}")
            if value.shape != truth[path].shape:
                raise InputError(f"{path!r} has the shape {value.shape}, the definition's {truth[path].shape}")
            limit = bench.forward_limit(GIVEN, dtype, path)
            yield _gap(bench, "forward", path, relative(value, truth[path]), limit, dtype)


def _true_gradients(bench: Bench) -> tuple[str, Weights]:
    """The first installed backend whose gradients are the definition's slope, and they."""
    for name in backend_names():
        truth = bench.gradients(name, GIVEN, Policy.exact())
        if slope_error(bench, GIVEN, truth) <= tolerances.DIFFERENCE:
            return name, {path: g for path, g in truth.items() if path in bench.weights}
    raise InputError("gradients are held to a backend's: pip install 'archlab[jax]' or 'archlab[torch]'")


def _gradients(bench: Bench, found: Weights, truth: Weights, dtype: str, backend: str) -> Iterator[Gap]:
    errors = gradient_errors(found, truth, 0.01 if dtype == "float64" else 1.0)
    limit = bench.gradient_limit(backend, GIVEN, dtype)
    for path in truth:
        yield _gap(bench, "gradients", path, errors[path], limit, dtype)


def _gap(bench: Bench, stage: str, where: str, error: float, limit: float, dtype: str) -> Gap:
    factors = tolerances.FLOORS if stage == "forward" else tolerances.GRADIENT_FLOORS
    return Gap(stage=stage, where=where, error=error, cost=limit / factors.get(dtype, np.inf), limit=limit)


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
