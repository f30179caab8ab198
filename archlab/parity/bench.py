"""One case on the bench: its weights and inputs, and every result of it computed once."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from archlab import reference
from archlab.backends import Backend, find_backend
from archlab.parity import cases, tolerances
from archlab.parity.cases import Case, Inputs, cotangent, drawn_weights, moved, seed_of
from archlab.parity.tolerances import floor, gradient_error, relative, sensitivities
from archlab.policy import Policy
from archlab.reference import Result
from archlab.weights import DTYPES, Weights


@dataclass(frozen=True, kw_only=True)
class Row:
    """One comparison: how far off, and how far is allowed. ``where`` says at which variant or parameter."""

    spec: str
    item: str
    backend: str
    dtype: str
    error: float
    limit: float
    where: str = ""

    @property
    def passed(self) -> bool:
        return self.error <= self.limit  # false for NaN

    def to_json(self) -> dict[str, Any]:
        """The row as the command line's ``--json`` writes it; an infinite error is written as null."""
        row = dataclasses.asdict(self)
        return row | {"error": self.error if np.isfinite(self.error) else None, "pass": self.passed}


class Bench:
    """A case, its float64 weights, and its inputs by variant. Results are remembered.

    Weights and inputs are drawn, unless given.
    """

    def __init__(
        self, case: Case, seed: int = 0, *, weights: Weights | None = None, variants: dict[str, Inputs] | None = None
    ) -> None:
        self.case = case
        self.spec, self.part = case.example.spec, case.part
        self.seed = seed_of(case.name) + seed
        self.weights = drawn_weights(self.part, self.seed) if weights is None else weights
        self.variants = cases.variants(case, self.seed) if variants is None else variants
        self._known: dict[Any, Any] = {}

    def row(self, item: str, backend: str, dtype: str, error: float, limit: float, where: str = "") -> Row:
        return Row(
            spec=self.case.name, item=item, backend=backend, dtype=dtype, error=error, limit=limit, where=where
        )  # fmt: skip

    def once(self, key: Any, compute: Callable[[], Any]) -> Any:
        """``compute()``, or what it gave under the same key before."""
        if key not in self._known:
            self._known[key] = compute()
        return self._known[key]

    def backend(self, name: str) -> Backend:
        return find_backend(name)

    # --- float64 truth and the backends' results -----------------------------------------------------

    def truth(self, variant: str, dtype: str = "float64") -> Result:
        """The reference in float64 on weights and inputs that ``dtype`` can hold."""
        return self.once(("truth", variant, dtype), lambda: self.define(*self.held(variant, dtype)))

    def define(self, weights: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray]) -> Result:
        """One run of the reference."""
        return reference.run(self.spec, weights, inputs)

    def held(self, variant: str, dtype: str) -> tuple[Weights, Inputs]:
        """Weights and inputs rounded to ``dtype``, in float64: a computation in it starts from no error."""
        return rounded(self.weights, dtype), rounded(self.variants[variant], dtype)

    def forward(self, backend: str, variant: str, policy: Policy) -> Result:
        """The backend's run of a variant under a policy whose ``compute`` is the dtype."""

        def run() -> Result:
            weights, inputs = self.held(variant, policy.compute)
            return self.backend(backend).run(self.spec, weights, inputs, policy=policy)

        return self.once(("forward", backend, variant, policy), run)

    def passed(self, backend: str, variant: str, inputs: Inputs | None = None) -> Result:
        """The backend's exact run of a variant, or of other ``inputs`` of its shapes.

        Packed rows go through the forward pass by itself, as in evaluation, and name their intermediates. Plain ones
        go through that which their gradients come from, as in training: nobody listens. Each is compiled once.
        """
        policy, plain = Policy.exact(), variant == "plain"
        if inputs is None:
            return self.backpropagated(backend, variant, policy)[1] if plain else self.forward(backend, variant, policy)
        if plain:
            return self.differentiate(backend, self.weights, inputs, self.cotangent(variant), policy)[1]
        return self.backend(backend).run(self.spec, self.weights, inputs, policy=policy)

    def gradients(self, backend: str, variant: str, policy: Policy, *, capture: bool = False) -> Weights:
        """The backend's gradients of Σ output · cotangent + auxiliary losses by parameter, and of ``x``."""
        return self.backpropagated(backend, variant, policy, capture=capture)[0]

    def backpropagated(
        self, backend: str, variant: str, policy: Policy, *, capture: bool = False
    ) -> tuple[Weights, Result]:
        """These gradients, and the forward pass that they went back through."""

        def run() -> tuple[Weights, Result]:
            weights, inputs = self.held(variant, policy.compute)
            return self.differentiate(backend, weights, inputs, self.cotangent(variant), policy, capture=capture)

        return self.once(("gradients", backend, variant, policy, capture), run)

    def differentiate(
        self, backend: str, weights: Mapping[str, np.ndarray], inputs: Mapping[str, np.ndarray],
        cotangent: np.ndarray, policy: Policy, *, capture: bool = False,
    ) -> tuple[Weights, Result]:  # fmt: skip
        """The backend's gradients by parameter, with that of the input under "x" where there is one, and its run."""
        grads, result = self.backend(backend).gradients(
            self.spec, weights, inputs, cotangent, policy=policy, capture=capture
        )
        return {path: np.asarray(g, dtype=np.float64) for path, g in grads.items()}, result

    def true_gradients(self, backend: str, variant: str, dtype: str) -> Weights:
        """The backend's float64 gradients at weights and inputs that ``dtype`` can hold."""
        weights, inputs = self.held(variant, dtype)
        return self.differentiate(backend, weights, inputs, self.cotangent(variant), Policy.exact())[0]

    def cotangent(self, variant: str) -> np.ndarray:
        """Standard normal, exact in bfloat16, of the output's shape."""
        drawn = cotangent(self.truth(variant).output.shape, self.seed)
        return rounded({"": drawn}, "bfloat16")[""]

    # --- noise floors ------------------------------------------------------------------------------------

    def forward_floors(self, variant: str, dtype: str) -> dict[str, float]:
        """How far off each intermediate and the output must be expected in ``dtype``.

        In float32 that is at least the error of the definition itself in float32: it computes phases in it, and at
        position 4,096 a phase is known to 2e-4 only. (NumPy has no bfloat16 products to run it in.)
        """
        return self.once(("forward floors", variant, dtype), lambda: self._forward_floors(variant, dtype))

    def _forward_floors(self, variant: str, dtype: str) -> dict[str, float]:
        sensitive = self.once(("sensitivities", variant), lambda: sensitivities(self._moved_by(variant)))
        floors = {path: floor(s, dtype) for path, s in sensitive.items()}
        if dtype != "float32":
            return floors
        weights, inputs = self.held(variant, dtype)
        own = named(reference.run(self.spec, weights, inputs, dtype=np.float32))
        truth = named(self.truth(variant, dtype))
        return {path: max(low, relative(own[path], truth[path])) for path, low in floors.items()}

    def forward_limit(self, variant: str, dtype: str, path: str = "output") -> float:
        """How far one implementation may be off the truth at ``path``; 0 at a path that the definition has not."""
        if dtype == "float64":
            return tolerances.FORWARD
        return tolerances.FLOORS[dtype] * self.forward_floors(variant, dtype).get(path, 0.0)

    def gradient_limit(self, backend: str, variant: str, dtype: str) -> float:
        """The same for all gradients together."""
        if dtype == "float64":
            return tolerances.GRADIENT
        return tolerances.GRADIENT_FLOORS[dtype] * self.gradient_floor(backend, variant, dtype)

    def _moved_by(self, variant: str) -> Callable[[int, float], dict[str, float]]:
        def after(seed: int, size: float) -> dict[str, float]:
            weights, inputs = moved(self.weights, seed, size), moved(self.variants[variant], seed, size)
            near, truth = named(self.define(weights, inputs)), named(self.truth(variant))
            return {path: relative(near[path], value) for path, value in truth.items()}

        return after

    def gradient_floor(self, backend: str, variant: str, dtype: str) -> float:
        """The same for all gradients together, by the backend's own float64 gradients."""
        policy = Policy.exact("float64")

        def after(seed: int, size: float) -> dict[str, float]:
            weights, inputs = moved(self.weights, seed, size), moved(self.variants[variant], seed, size)
            near, _ = self.differentiate(backend, weights, inputs, self.cotangent(variant), policy)
            return {"": gradient_error(near, self.gradients(backend, variant, policy), least=1.0)[0]}

        sensitive = self.once(("gradient sensitivity", backend, variant), lambda: sensitivities(after))
        return floor(sensitive[""], dtype)


def named(result: Result) -> dict[str, np.ndarray]:
    """Every intermediate by path, what was noted by name, and the output, which is the root's, as "output"."""
    inside = {path: value for path, value in result.intermediates.items() if path}
    return {**inside, **result.losses, **result.drives, **result.stats, "output": result.output}


def rounded(arrays: Mapping[str, np.ndarray], dtype: str) -> Weights:
    """Floats rounded to ``dtype`` and back to float64; integers as they are."""
    return {
        name: a.astype(DTYPES[dtype]).astype(np.float64) if np.issubdtype(a.dtype, np.floating) else a
        for name, a in arrays.items()
    }
