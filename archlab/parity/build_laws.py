"""Laws about how a spec is built and executed: weights in and out, meshes, scans and rematerialisation."""

from collections.abc import Sequence

import numpy as np

from archlab import weights as canonical
from archlab.parity import tolerances
from archlab.parity.bench import Bench, Row
from archlab.parity.cases import Case, with_spec
from archlab.parity.slopes import slope_error
from archlab.parity.tolerances import gradient_error, relative
from archlab.policy import Policy
from archlab.spec import Layer, walk
from archlab.stack import Stack
from archlab.weights import DTYPES, Weights


def weights(bench: Bench, backend: str, others: Sequence[str]) -> list[Row]:
    """Weights come out of a module bit for bit as they went in: built, loaded, drawn, and from other backends."""
    home, width = bench.backend(backend), bench.part.width
    rows = []
    for dtype in ("float64", "float32", "bfloat16"):
        for layers in ("unroll", "scan"):
            policy = Policy.exact(dtype).replace(layers=layers)  # type: ignore[arg-type]
            given = {path: a.astype(DTYPES[dtype]) for path, a in bench.weights.items()}
            module = home.build(bench.spec, policy=policy, weights=given, width=width)
            errors = {"built": unequal(home.dump(module), given)}
            drawn = home.build(bench.spec, policy=policy, seed=3, width=width)
            errors["drawn"] = unequal(home.dump(drawn), first_weights(bench, dtype))
            home.load(drawn, given)
            errors["loaded"] = unequal(home.dump(drawn), given)
            for name in others:
                errors[f"by way of {name}"] = unequal(_by_way_of(bench, name, backend, given, policy), given)
            rows += [
                bench.row("weights", backend, dtype, error, tolerances.EXACT, f"{layers}: {how}")
                for how, error in errors.items()
            ]
    return rows


def first_weights(bench: Bench, dtype: str) -> Weights:
    """The first weights of seed 3: float32 values, whatever dtype holds them."""
    return {path: a.astype(DTYPES[dtype]) for path, a in canonical.initial(bench.part, 3).items()}


def _by_way_of(bench: Bench, via: str, backend: str, given: Weights, policy: Policy) -> Weights:
    """Weights that went into ``via``, from there into ``backend``, and out."""
    first, second = bench.backend(via), bench.backend(backend)
    there = first.dump(first.build(bench.spec, policy=policy, weights=given, width=bench.part.width))
    return second.dump(second.build(bench.spec, policy=policy, weights=there, width=bench.part.width))


def unequal(got: Weights, given: Weights) -> float:
    """The number of arrays that differ in name, dtype, shape or any bit."""
    names = got.keys() ^ given.keys()
    both = got.keys() & given.keys()
    return float(len(names) + sum(not _same_bits(np.asarray(got[path]), given[path]) for path in both))


def _same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


def sharded(bench: Bench, backend: str, others: Sequence[str]) -> list[Row]:
    """On the mesh of the backend's rehearsal, which has begun: outputs, gradients and first weights of one device."""
    home = bench.backend(backend)
    policy = Policy.exact().replace(mesh=home.rehearsal.mesh)
    many, result = bench.backpropagated(backend, "packed", policy)
    error = relative(result.output, bench.truth("packed").output)
    rows = [bench.row("sharded", backend, "float64", error, tolerances.FORWARD, "output")]
    error, where = gradient_error(many, bench.gradients(backend, "packed", Policy.exact()))
    rows.append(bench.row("sharded", backend, "float64", error, tolerances.GRADIENT, f"gradient of {where}"))
    dump = home.dump(home.build(bench.spec, policy=policy, seed=3, width=bench.part.width))
    error = unequal(dump, first_weights(bench, "float64"))
    return [*rows, bench.row("sharded", backend, "float64", error, tolerances.EXACT, "weights drawn from a seed")]


WAYS = (("scan", "full"), ("scan", "none"), ("unroll", "dots"))


def compiled(bench: Bench, backend: str, others: Sequence[str]) -> list[Row]:
    """Layers scanned or written out, with whatever is recomputed, give the same outputs and gradients.

    A layer that repeats nothing itself is repeated in a stack, scanned and recomputed in full. Every way is taken by
    what has a stack of its own that repeats its layers.
    """
    own = any(isinstance(part.spec, Stack) and part.spec.repeat > 1 for _, part in walk(bench.part))
    if not own and not isinstance(bench.spec, Layer):
        return [_whole(bench, backend, Policy.exact())]
    stacked = bench if own else bench.once("stacked", lambda: Bench(_stacked(bench)))
    rows = []
    for layers, remat in WAYS if own else WAYS[:1]:
        policy = Policy.exact().replace(layers=layers, remat=remat)  # type: ignore[arg-type]
        rows.append(_whole(stacked, backend, policy))
        grads, where, limit = stacked.gradients(backend, "packed", policy, capture=True), "slope", tolerances.DIFFERENCE
        if own:  # its gradients written out are known
            error, where = gradient_error(grads, stacked.gradients(backend, "packed", Policy.exact()))
            limit = tolerances.GRADIENT
        else:
            error = slope_error(stacked, "packed", grads)
        where = f"layers={layers} remat={remat}: gradient, {where}"
        rows.append(bench.row("compiled", backend, "float64", error, limit, where))
    return rows


def _whole(bench: Bench, backend: str, policy: Policy) -> Row:
    """The compiled program's output and the names of its intermediates."""
    got, truth = bench.backpropagated(backend, "packed", policy, capture=True)[1], bench.truth("packed")
    same_names = got.intermediates.keys() == truth.intermediates.keys()
    error = relative(got.output, truth.output) if same_names else np.inf
    where = f"layers={policy.layers} remat={policy.remat}: output"
    return bench.row("compiled", backend, "float64", error, tolerances.FORWARD, where)


def _stacked(bench: Bench) -> Case:
    return with_spec(bench.case, Stack(pattern=(bench.spec,), repeat=2))  # type: ignore[arg-type]
