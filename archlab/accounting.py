"""Parameters, FLOPs, state and memory of an architecture, from its spec alone."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from archlab.errors import InputError
from archlab.layers import Embedding
from archlab.model import Model
from archlab.policy import Dtype
from archlab.positions import PositionTable
from archlab.spec import Cost, Param, Part, Shared, Spec, State, children, join, state_schema
from archlab.stack import Stack
from archlab.weights import DTYPES

CONVENTIONS = ("6n", "causal", "executed")
"""How FLOPs are counted, see :class:`Flops`."""

INT_BYTES = 4  # backends keep positions, segments and counters as int32
MOMENTS = 2  # AdamW's mu and nu
TRAINING = 3  # the backward pass multiplies with every matrix twice: for its gradient and for its input's


@dataclass(frozen=True, kw_only=True)
class Flops:
    """Floating-point operations a token, a multiply-add being two, in three conventions.

    ``6n`` counts only the weights that a token is multiplied with (in training 6 for each, hence the name);
    ``causal`` adds the mixing of those pairs of positions that see each other; ``executed`` adds it for all pairs,
    as dense kernels compute it. Elementwise work, norms and softmax are left out of all three.
    """

    weights: float
    visible: float
    executed: float

    def as_dict(self, factor: float = 1) -> dict[str, float]:
        """By convention, multiplied with ``factor``."""
        counts = (self.weights, self.weights + self.visible, self.weights + self.executed)
        return {name: factor * count for name, count in zip(CONVENTIONS, counts, strict=True)}


@dataclass(frozen=True, kw_only=True)
class PartAccount:
    """One part with everything below it.

    path, type
        Where it stands, and its spec's type; ``shared`` names the parameters that a user of a shared part uses.
    params
        Its own parameters by name, those below not included.
    parameters, embeddings
        Numbers of parameters, each counted once, and how many of them are tables that are looked up.
    flops
        Of one forward pass, a token; a shared part costs wherever it is used.
    saved
        Numbers a token leaves for the backward pass.
    """

    path: str = field(compare=False)
    name: str = field(compare=False)
    type: str
    shared: str | None
    params: dict[str, Param]
    parameters: int
    embeddings: int
    flops: Flops
    saved: float
    saved_by_layers: tuple[tuple[int, float], ...] = field(default=(), repr=False)
    children: tuple["PartAccount", ...] = ()

    def walk(self) -> Iterator["PartAccount"]:
        """This part and all below it, parents first."""
        yield self
        for child in self.children:
            yield from child.walk()


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one training step with AdamW; activations where nothing is recomputed, and where whole layers are.

    Activations are an estimate of what automatic differentiation keeps with fused attention; a full
    recomputation keeps each layer's input and, while it runs, the numbers of the largest layer.
    """

    parameters: int
    gradients: int
    moments: int
    activations: int
    activations_remat: int

    @property
    def total(self) -> int:
        return self.parameters + self.gradients + self.moments + self.activations

    @property
    def total_remat(self) -> int:
        return self.total - self.activations + self.activations_remat


@dataclass(frozen=True, kw_only=True)
class Account:
    """A whole architecture in sequences of ``length``: its tree of parts, its decoding state, its memory.

    ``state_bytes`` is the state of ``batch`` sequences that can hold ``length`` tokens.
    """

    root: PartAccount
    length: int
    batch: int
    dtype: Dtype
    param_dtype: Dtype
    state_bytes: int
    memory: Memory

    @property
    def parameters(self) -> int:
        return self.root.parameters

    @property
    def non_embedding(self) -> int:
        """Parameters without the tables of tokens and positions; an output matrix of its own counts."""
        return self.root.parameters - self.root.embeddings

    def forward_flops(self) -> dict[str, float]:
        """A token, by convention."""
        return self.root.flops.as_dict()

    def training_flops(self) -> dict[str, float]:
        """A token, forward and backward, by convention; recomputation is not included."""
        return self.root.flops.as_dict(TRAINING)


def account(
    spec: Spec,
    length: int,
    width: int | None = None,
    dtype: Dtype = "float32",
    batch: int = 1,
    param_dtype: Dtype = "float32",
) -> Account:
    """Count ``spec`` in ``batch`` sequences of ``length`` tokens.

    ``dtype`` is that of activations and state, ``param_dtype`` that of parameters, gradients and moments.
    A model knows its width; any other part needs ``width``.
    """
    for name, value in (("length", length), ("batch", batch)):
        if value < 1:
            raise InputError(f"{name} is {value}; it must be ≥ 1")
    part = spec.at(_width(spec, width))
    root = _count(part, "", "", length)
    return Account(
        root=root,
        length=length,
        batch=batch,
        dtype=dtype,
        param_dtype=param_dtype,
        state_bytes=_state_bytes(state_schema(part, batch, length), DTYPES[dtype].itemsize),
        memory=_memory(root, batch * length, DTYPES[dtype].itemsize, DTYPES[param_dtype].itemsize),
    )


def _width(spec: Spec, width: int | None) -> int:
    if isinstance(spec, Model):
        if width not in (None, spec.width):
            raise InputError(f"width is {width}, but the model's own is {spec.width}; leave it out")
        return spec.width
    if width is None:
        raise InputError(f"a {type(spec).__name__} alone has no width; give one")
    return width


def _count(part: Part, path: str, name: str, length: int) -> PartAccount:
    """The account of ``part``. The model's ``shared`` parts hold parameters; what they cost, their users pay."""
    if isinstance(part.spec, Shared):
        return _count_user(part, path, name, length)
    below = tuple(_count(child, join(path, key), key, length) for key, child in children(part))
    paying = [child for child in below if path or not child.name.startswith("shared.")]
    times = [part.spec.repeats().get(child.name, 1) for child in paying]
    params, cost = part.spec.params(part.width), part.spec.cost(part.width, length)
    own = sum(p.size for p in params.values())
    table = isinstance(part.spec, (Embedding, PositionTable))
    return PartAccount(
        path=path,
        name=name,
        type=type(part.spec).__name__,
        shared=None,
        params=params,
        parameters=own + sum(c.parameters for c in below),
        embeddings=own if table else sum(c.embeddings for c in below),
        flops=_add(cost, [c.flops for c, n in zip(paying, times, strict=True) for _ in range(n)]),
        saved=part.spec.saved(part.width, length) + sum(n * c.saved for c, n in zip(paying, times, strict=True)),
        saved_by_layers=_by_layers(part, paying),
        children=below,
    )


def _count_user(part: Part, path: str, name: str, length: int) -> PartAccount:
    """A user of a shared part: it costs what the part costs, and has no parameters of its own."""
    shared: Any = part.spec
    inner = _count(shared.part.at(part.width), path, name, length)
    return PartAccount(
        path=path,
        name=name,
        type=inner.type,
        shared=shared.name,
        params={},
        parameters=0,
        embeddings=0,
        flops=inner.flops,
        saved=inner.saved,
        saved_by_layers=inner.saved_by_layers,
    )


def _add(cost: Cost, below: list[Flops]) -> Flops:
    return Flops(
        weights=cost.weights + sum(f.weights for f in below),
        visible=cost.visible + sum(f.visible for f in below),
        executed=cost.executed + sum(f.executed for f in below),
    )


def _by_layers(part: Part, below: list[PartAccount]) -> tuple[tuple[int, float], ...]:
    """(width of the input, numbers saved) of each layer of every stack: what recomputation drops and keeps."""
    if isinstance(part.spec, Stack):
        return tuple((part.width, child.saved) for child in below)
    return tuple(layer for child in below for layer in child.saved_by_layers)


def _state_bytes(node: Any, float_bytes: int) -> int:
    if isinstance(node, State):
        count = 1
        for size in node.shape:
            count *= size
        return count * (float_bytes if node.dtype == "float" else INT_BYTES)
    return sum(_state_bytes(n, float_bytes) for n in (node.values() if isinstance(node, dict) else node))


def _memory(root: PartAccount, tokens: int, activation_bytes: int, param_bytes: int) -> Memory:
    layers = root.saved_by_layers
    kept = root.saved
    if layers:
        kept += sum(width - saved for width, saved in layers) + max(saved for _, saved in layers)
    return Memory(
        parameters=root.parameters * param_bytes,
        gradients=root.parameters * param_bytes,
        moments=MOMENTS * root.parameters * param_bytes,
        activations=round(root.saved * tokens) * activation_bytes,
        activations_remat=round(kept * tokens) * activation_bytes,
    )
