"""Who is timed when models are trained, and where each comes from."""

import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A contestant.

    start
        ``module:function`` that makes it of a case.
    module
        What must be found for it to run, in the environment or in a checkout.
    packages
        Distributions whose versions are told.
    get
        How one comes by it.
    apart
        What it computes otherwise than the rest, and so is not held to what they show.
    """

    start: str
    backend: Literal["jax", "torch"]
    styles: tuple[str, ...] = ("gpt2", "llama")
    module: str
    packages: tuple[str, ...]
    get: str
    apart: str = ""


PEERS = "pip install --no-deps -r benchmarks/requirements/peers.txt"
LEVANTER = "benchmarks/requirements/levanter.txt makes an environment, then --python levanter=ENVIRONMENT/bin/python"
OWN_JAX, OWN_TORCH = "pip install 'archlab[jax]'", "pip install 'archlab[torch]'"
JAX, TORCH = ("jax", "jaxlib", "optax"), ("torch",)
ENTRIES = {
    "archlab-jax": Entry(
        start="peers.archlab_trainers:in_jax", backend="jax", module="archlab_jax", packages=JAX,
        get=OWN_JAX,
    ),
    "plain-nnx": Entry(
        start="peers.plain_nnx:pure", backend="jax", module="flax", packages=(*JAX, "flax"), get="pip install flax",
    ),
    "plain-nnx.jit": Entry(
        start="peers.plain_nnx:lifted", backend="jax", module="flax", packages=(*JAX, "flax"), get="pip install flax",
    ),
    "levanter": Entry(
        start="peers.levanter:start", backend="jax", module="levanter", packages=("levanter", "haliax", *JAX),
        get=LEVANTER,
    ),
    "levanter.kept": Entry(
        start="peers.levanter:kept", backend="jax", module="levanter", packages=("levanter", "haliax", *JAX),
        get=LEVANTER,
    ),
    "keras-hub": Entry(
        start="peers.keras_hub:start", backend="jax", module="keras_hub", packages=("keras-hub", "keras", *JAX),
        get=PEERS,
    ),
    "archlab-torch": Entry(
        start="peers.archlab_trainers:in_torch", backend="torch", module="archlab_torch", packages=TORCH,
        get=OWN_TORCH,
    ),
    "nanogpt": Entry(
        start="peers.nanogpt:start", backend="torch", styles=("gpt2",), module="model", packages=TORCH,
        get="git clone https://github.com/karpathy/nanoGPT, then --peer nanogpt=PATH",
    ),
    "transformers": Entry(
        start="peers.transformers:start", backend="torch", module="transformers", packages=("transformers", *TORCH),
        get="pip install transformers",
    ),
    "litgpt": Entry(
        start="peers.litgpt:start", backend="torch", styles=("llama",), module="litgpt", packages=("litgpt", *TORCH),
        get=PEERS,
    ),
    "x-transformers": Entry(
        start="peers.x_transformers:start", backend="torch", styles=("llama",), module="x_transformers",
        packages=("x-transformers", *TORCH), get=PEERS,
    ),
}  # fmt: skip
OURS = {"jax": "archlab-jax", "torch": "archlab-torch"}


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a contestant runs: an interpreter, and a checkout that comes before what is installed there."""

    python: str = sys.executable
    checkout: Path | None = None


def is_there(entry: Entry, place: Place) -> bool:
    """Whether a contestant can be imported; of another interpreter it is believed."""
    if place.checkout:
        return any((root / f).exists() for root in _roots(place.checkout) for f in (entry.module, f"{entry.module}.py"))
    return place.python != sys.executable or find_spec(entry.module) is not None


def _roots(checkout: Path) -> tuple[Path, Path]:
    return checkout / "src", checkout
