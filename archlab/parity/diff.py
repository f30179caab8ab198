"""Two implementations of one model: the first tensor that differs, and why."""

from collections.abc import Sequence

import numpy as np

from archlab.errors import InputError, nearest
from archlab.model import Model
from archlab.parity.bench import Bench, rounded
from archlab.parity.cases import Case
from archlab.parity.comparison import kl_per_token
from archlab.parity.explanation import explained
from archlab.parity.gaps import Difference
from archlab.parity.pair import STAGES, Pair
from archlab.parity.report import SHORTEST
from archlab.parity.sides import coarsest, side
from archlab.policy import Dtype
from archlab.spec import Example
from archlab.weights import Weights


def diff(
    model: Model, *, a: str, b: str, weights: Weights | None = None, dtype: Dtype = "float64",
    length: int = 64, batch: int = 2, steps: int = 20, seed: int = 0, stages: Sequence[str] = tuple(STAGES),
) -> Difference:  # fmt: skip
    """Compare two sides on equal weights, drawn from ``seed`` unless given.

    A side is "reference" or a backend, with fields of its policy if they are to differ from exactness in ``dtype``:
    ``jax,layers=scan,remat=full``. What the coarser of two dtypes can hold is where both start. ``stages`` says how
    far to go. Raises :class:`InputError` for an unknown side or stage, or a length that the model cannot take.
    """
    for stage in stages:
        if stage not in STAGES:
            raise InputError(f"there is no stage {stage!r}; {nearest(stage, STAGES)}")
    if a == b:
        raise InputError(f"both sides are {a!r}: give two that differ, such as 'reference' for one")
    sides = side(a, dtype), side(b, dtype)
    longest = model.limit()
    if length < SHORTEST or (longest is not None and length > longest):
        raise InputError(f"a length of {length} is not possible: {SHORTEST} to {longest or 'any number of'} tokens")
    kind, coarse = type(model).__name__, coarsest(sides)
    case = Case(
        name=kind, spec_name=kind, example=Example(spec=model, width=model.width, length=length, batch=batch)
    )  # fmt: skip
    held = None if weights is None else {path: np.asarray(w, dtype=np.float64) for path, w in weights.items()}
    bench = Bench(case, seed, weights=held)
    bench.weights = rounded(bench.weights, coarse)
    pair = Pair(bench, *sides, dtype=coarse, steps=steps)
    gaps = tuple(gap for stage in STAGES if stage in stages for gap in pair.gaps(stage))
    culprit, diagnosis = explained(pair, gaps)
    kl = kl_per_token(*(pair.outputs(s, "plain")["output"] for s in sides))
    return Difference(
        a=a, b=b, dtype=coarse, gaps=gaps, kl_mean=float(kl.mean()), kl_max=float(kl.max()),
        culprit=None if culprit is None else culprit.words, diagnosis=diagnosis,
    )  # fmt: skip
