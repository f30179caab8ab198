"""The JAX side of a context: devices, meshes, precision and randomness."""

import contextlib
import functools
import hashlib
import importlib.util
import os
import platform
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.compilation_cache import compilation_cache
from jax.sharding import AxisType, NamedSharding, PartitionSpec

from archlab import memory, random
from archlab.context import Context
from archlab.errors import InputError
from archlab.policy import Mesh, Policy
from archlab.sharding import BATCH, placement
from archlab_jax.module import Turns


@contextlib.contextmanager
def precision(policy: Policy) -> Iterator[None]:
    """The numerics of a policy: float64 switched on where it is used, and the precision of products."""
    wide = "float64" in (policy.param, policy.compute, policy.output)
    matmul = jax.default_matmul_precision("highest") if policy.matmul == "highest" else contextlib.nullcontext()
    with jax.enable_x64(wide), matmul:
        yield


def devices(policy: Policy) -> list[jax.Device]:
    """The devices a policy asks for: as many as its mesh has."""
    try:
        found = jax.devices() if policy.device == "auto" else jax.devices(policy.device)
    except RuntimeError:
        have = jax.default_backend()
        raise InputError(f"policy.device={policy.device}: JAX sees none here; use policy.device={have}") from None
    if len(found) < policy.mesh.size:
        kind = "" if policy.device == "auto" else f"{policy.device} "
        raise InputError(
            f"policy.mesh needs {policy.mesh.size} {kind}devices, JAX sees {len(found)} "
            f"({jax.default_backend()}); shrink policy.mesh or change policy.device"
        )
    return found[: policy.mesh.size]


LARGE = 1 << 20
"""Parameters from which on a step's memory comes in blocks that one thread's arena does not take."""


def keep_memory(policy: Policy, parameters: int) -> None:
    """On CPUs, keep the memory of one step for the next. Call before JAX looks for devices: its threads start then.

    Programs of small models are so short that threads which wait for each other's memory would show.
    """
    if policy.device == "cpu" or (policy.device == "auto" and not _accelerated()):
        if parameters >= LARGE:
            memory.share_arena()
        memory.keep_freed()
        memory.use_huge_pages()


def _accelerated() -> bool:
    """Whether JAX is installed for an accelerator, as far as one can tell without starting it."""
    return any(importlib.util.find_spec(name) for name in ("jax_plugins", "libtpu"))


def virtual_devices(count: int) -> None:
    """Split this machine's processor into devices. JAX reads the flags when it first looks for devices: call before.

    What compares implementations compiles some thousand tiny programs and runs each a few times: without LLVM's
    expensive passes that takes three quarters of the time. Level 1 rounds as the default does; see
    :func:`compiler_options` for float64.
    """
    global _rehearsing
    _rehearsing = True
    flags = (
        f"--xla_force_host_platform_device_count={count}",
        "--xla_backend_optimization_level=1",
        "--xla_llvm_disable_expensive_passes=true",
    )
    before = os.environ.get("XLA_FLAGS", "")
    os.environ["XLA_FLAGS"] = " ".join([before, *(flag for flag in flags if flag not in before)]).strip()


_rehearsing = False


def compiler_options(policy: Policy) -> dict[str, int] | None:
    """What programs of a policy are compiled with. In a rehearsal float64 is not optimised, which saves half the time.

    Level 0 sums matrix products naively, and loops are written by the older of XLA's two generators: in float32 that
    would measure another program than users run, in float64 it moves a result by 1e-15.
    """
    if not _rehearsing or policy.compute != "float64":
        return None
    return {"xla_backend_optimization_level": 0, "xla_cpu_use_fusion_emitters": False}


def loop_options(policy: Policy) -> dict[str, int] | None:
    """What programs that carry a state from turn to turn are compiled with.

    On CPUs XLA copies what it cannot prove to be read before it is written to. It proves more where it looks at a
    turn's operations as regions, which is not its default.
    """
    if devices(policy)[0].platform != "cpu":
        return compiler_options(policy)
    return {**(compiler_options(policy) or {}), "xla_cpu_copy_insertion_use_region_analysis": True}


CACHE = "ARCHLAB_JAX_CACHE"
"""Names another folder for compiled programs, or is "off"."""
WORTH = 0.5
"""Seconds from which on a compilation is kept."""


def keep_programs() -> None:
    """Have JAX keep what it compiles, unless it was told where to, or not to, by its own settings.

    The folder is ``$ARCHLAB_JAX_CACHE``, else ``archlab/jax`` in the user's cache folder. A rehearsal keeps nothing:
    it compiles in haste what no one runs twice.
    """
    told = os.environ.get(CACHE, "")
    if told == "off" or _rehearsing or jax.config.values["jax_compilation_cache_dir"]:
        return
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    folder = Path(told).expanduser() if told else home / "archlab" / "jax"
    jax.config.update("jax_compilation_cache_dir", str(folder / _processor()))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", WORTH)
    compilation_cache.reset_cache()  # JAX looks for the folder once, which may have been before


@functools.cache
def _processor() -> str:
    """A name for processors with the same instructions: a program for one may not run on another."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = [platform.processor()]
    features = sorted({line for line in lines if line.startswith(("flags", "Features", "model name"))})
    return f"{platform.machine()}-{hashlib.sha256(repr(features).encode()).hexdigest()[:12]}"


@functools.lru_cache(maxsize=8)
def mesh_of(policy: Policy) -> jax.sharding.Mesh:
    """The mesh of a policy; the compiler places what is not placed here."""
    shape: Mesh = policy.mesh
    return jax.make_mesh(
        (shape.data, shape.fsdp, shape.tensor), ("data", "fsdp", "tensor"),
        axis_types=(AxisType.Auto,) * 3, devices=devices(policy),
    )  # fmt: skip


def place_params(variables: list[Any], leaves: list[Any], policy: Policy) -> list[Any]:
    """Parameters on the mesh, by their logical axes; arrays of other shapes that belong to them are not split."""
    return [None if leaf is None else _place(v, leaf, policy) for v, leaf in zip(variables, leaves, strict=True)]


def _place(variable: Any, leaf: Any, policy: Policy) -> Any:
    if isinstance(leaf, tuple):  # a kernel as integers and scales, of its own axes
        return type(leaf)(*(_put(variable, part, policy, alike=True) for part in leaf))
    return _put(variable, leaf, policy, alike=leaf.shape == variable.get_value().shape)


def _put(variable: Any, leaf: np.ndarray, policy: Policy, *, alike: bool) -> jax.Array:
    alike = alike and policy.mesh.size > 1
    spec = PartitionSpec(*placement(variable.axes, leaf.shape, policy.mesh)) if alike else PartitionSpec()
    return jax.device_put(leaf, NamedSharding(mesh_of(policy), spec))


def place_state(state: Any, policy: Policy) -> Any:
    """A first state on one device, as programs return it: one compilation runs first and later pieces or steps."""
    if policy.mesh.size > 1:
        return state  # the compiler's business
    return jax.device_put(state, NamedSharding(mesh_of(policy), PartitionSpec()))


def place_batch(arrays: Any, policy: Policy) -> Any:
    """Arrays whose first axis is the batch on the mesh. On one device JAX places them itself."""
    if policy.mesh.size == 1 and policy.device == "auto":
        return arrays
    copies = policy.mesh.data * policy.mesh.fsdp
    for array in jax.tree.leaves(arrays):
        if array.shape[0] % copies:
            raise InputError(f"a batch of {array.shape[0]} cannot be split over data × fsdp = {copies} devices")
    return jax.device_put(arrays, NamedSharding(mesh_of(policy), PartitionSpec(BATCH)))


class Keys:
    """Random masks from a JAX key: one stream for each name."""

    def __init__(self, key: Any) -> None:
        self.key = key

    @classmethod
    def of_step(cls, seed: int, step: Any, part: Any = None) -> "Keys":
        """The masks of one step, or of one part of its batch."""
        key = jax.random.fold_in(jax.random.key(seed), step)
        return cls(key if part is None else jax.random.fold_in(key, part))

    def in_turn(self, turns: Turns, turn: Any) -> "Keys":
        """The masks of one turn of a scanned stack, where names are those of the first turn."""
        return Keys(jax.random.fold_in(self.key, turn))

    def keep(self, name: str, shape: tuple[int, ...], probability: Any) -> Any:
        return jax.random.bernoulli(jax.random.fold_in(self.key, zlib.crc32(name.encode())), probability, shape)


class Portable(random.Portable):
    """The masks of every backend."""

    xp, word = jnp, jnp.uint32
    low = np.uint32(0xFFFFFFFF)  # JAX takes a bare integer for an int32

    @classmethod
    def of_step(cls, seed: int, step: Any, part: Any = None) -> "Portable":
        """The masks of one step, or of one part of its batch."""
        return cls(seed, jnp.asarray(step, dtype=jnp.uint32), 0 if part is None else part)

    def key(self, name: str) -> Any:
        return jnp.asarray(np.array(random.words(self.seed, name), dtype=np.uint32))

    def in_turn(self, turns: Turns, turn: Any) -> "Portable":
        """The masks of one turn of a scanned stack, where names are those of the first turn."""
        return _Turn(self, turns, turn)


class _Turn(Portable):
    """Masks under the names of a traced turn: its keys are looked up among those of all turns."""

    def __init__(self, outer: Portable, turns: Turns, turn: Any) -> None:
        super().__init__(outer.seed, outer.step, outer.rank)
        self.outer, self.turns, self.turn = outer, turns, turn

    def key(self, name: str) -> Any:
        return jnp.stack([self.outer.key(path) for path in self.turns.paths(name)])[self.turn]


SOURCES: dict[str, Any] = {"fast": Keys, "portable": Portable}
"""Where masks come from, by ``policy.random``."""


def scan(step: Any, carry: Any, inputs: tuple[Any, ...]) -> tuple[Any, Any]:
    """See :func:`archlab.ops.loop`."""
    carry, outputs = jax.lax.scan(step, carry, tuple(jnp.moveaxis(x, 1, 0) for x in inputs))
    return carry, jnp.moveaxis(outputs, 0, 1)


def constant(value: Any, dtype: Any = None) -> Any:
    """A NumPy array among the activations."""
    return jnp.asarray(value, dtype=dtype)


def context(
    module: Any, shape: tuple[int, ...], where: dict[str, Any], policy: Policy, start: Any = 0, **notes: Any
) -> Context:
    """The context of a call on (B, T) tokens; ``start`` is the position after those of the state."""
    positions = where.get("positions")
    plain = positions is None and where.get("segments") is None and where.get("prefix") is None
    if positions is None:
        positions = jnp.broadcast_to((jnp.arange(shape[1]) + start).astype(jnp.int32), shape)  # as those that are given
    return Context(
        xp=jnp, scan=scan, erf=jax.scipy.special.erf, constant=constant, stop_gradient=jax.lax.stop_gradient,
        dtype=jnp.dtype(policy.compute), positions=positions, segments=where.get("segments"),
        prefix=where.get("prefix"), plain=plain, shared=getattr(module, "shared", {}), **notes,
    )  # fmt: skip
