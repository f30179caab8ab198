"""The JAX backend: :class:`archlab.backends.Backend` in Flax NNX."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import jax
import numpy as np

from archlab import weights as canonical
from archlab.backends import Rehearsal, Spent, starting_weights, width_of
from archlab.losses import TokenLoss
from archlab.model import Model
from archlab.optim.optimizer import Optimizer
from archlab.policy import Mesh, Policy
from archlab.quantization import check_float
from archlab.reference import Result, result, tokens_seen
from archlab.spec import Spec
from archlab.weights import DTYPES, Weights
from archlab_jax import program as programs
from archlab_jax.checkpoints import Store
from archlab_jax.decoding import Decoder
from archlab_jax.module import Module, Split, natives
from archlab_jax.profiling import bandwidth, memory, profile
from archlab_jax.runtime import devices, keep_programs, precision, virtual_devices
from archlab_jax.training import Trainer


class JaxBackend:
    """Flax NNX modules, compiled with XLA."""

    name = "jax"
    natives = natives
    store = Store()
    rehearsal = Rehearsal(mesh=Mesh(data=2, fsdp=2, tensor=2))

    def build(
        self, spec: Spec, *, policy: Policy = Policy(), seed: int | None = None,
        weights: Mapping[str, np.ndarray] | None = None, width: int | None = None,
    ) -> Module:  # fmt: skip
        """An ``nnx.Module``; under a float64 policy call it inside ``jax.enable_x64(True)``."""
        check_float(policy)
        width = width_of(spec, width)
        weights = starting_weights(spec, width, seed, weights)
        with precision(policy):
            return programs.build(spec, width, policy, weights)

    def dump(self, module: Module) -> Weights:
        split = Split(module)
        return split.unpack(split.leaves)

    def load(self, module: Module, weights: Mapping[str, np.ndarray]) -> None:
        canonical.check(module.spec.at(module.width), weights)
        split = Split(module)
        leaves = split.pack(weights, np.float64)
        with jax.enable_x64(any(old.dtype == np.float64 for old in split.leaves)):
            for variable, old, leaf in zip(_variables(module), split.leaves, leaves, strict=True):
                variable[...] = jax.numpy.asarray(leaf, dtype=old.dtype)

    def run(
        self, spec: Spec, weights: Mapping[str, np.ndarray], inputs: Mapping[str, Any], *,
        policy: Policy = Policy(), width: int | None = None, state: Any = None, capture: bool = True,
    ) -> Result:  # fmt: skip
        program = self._program(spec, inputs, policy, width)
        with precision(policy):
            start = 0 if state is None else tokens_seen(state)
            x, where = program.arguments(inputs, started=start > 0)
            output, state, notes = program.forward(program.leaves(weights), x, where, state, start, capture=capture)
            return result(np.asarray(output), state, notes, np.asarray)

    def initial_state(self, spec: Spec, *, policy: Policy, width: int | None, batch: int, length: int) -> Any:
        with precision(policy):
            return programs.program(spec, width_of(spec, width), policy).initial_state(batch, length)

    def gradients(
        self, spec: Spec, weights: Mapping[str, np.ndarray], inputs: Mapping[str, Any], cotangent: np.ndarray, *,
        policy: Policy = Policy(), width: int | None = None, capture: bool = False,
    ) -> tuple[Weights, Result]:  # fmt: skip
        check_float(policy)
        program = self._program(spec, inputs, policy, width)
        with precision(policy):
            x, where = program.arguments(inputs)
            dtype = DTYPES[policy.output if isinstance(spec, Model) else policy.compute]
            slope = np.asarray(cotangent).astype(dtype)
            grads, dx, (output, notes) = program.backward(program.leaves(weights), x, where, slope, capture=capture)
            table = program.split.unpack(grads) | ({} if dx is None else {"x": np.asarray(dx)})
            return table, result(np.asarray(output), None, notes, np.asarray)

    def trainer(
        self, model: Model, *, weights: Mapping[str, np.ndarray], optimizer: Optimizer, clip: float | None,
        policy: Policy = Policy(), seed: int = 0, loss: TokenLoss = TokenLoss(),
    ) -> Trainer:  # fmt: skip
        check_float(policy)
        keep_programs()
        return Trainer(model, weights, optimizer, clip, policy, seed, loss)

    def decoder(
        self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int, policy: Policy = Policy()
    ) -> Decoder:
        keep_programs()
        return Decoder(model, weights, batch=batch, length=length, policy=policy)

    def environment(self) -> dict[str, str]:
        packages = {name: version(name) for name in ("jax", "jaxlib", "flax", "optax")}
        return packages | {"device": jax.devices()[0].device_kind}

    def seed(self, seed: int) -> None:
        pass  # every draw in JAX has a key of its own, and its kernels give the same bits each time

    def rehearse(self, rank: int = 0, store: Path | None = None) -> None:
        virtual_devices(self.rehearsal.mesh.size)

    def profile(self, folder: Path) -> AbstractContextManager[list[Spent]]:
        return profile(folder)

    def memory(self) -> dict[str, int]:
        return memory()

    def bandwidth(self, policy: Policy) -> float:
        return bandwidth(devices(policy)[0])

    def program_cache(self, policy: Policy) -> Path | None:
        keep_programs()
        folder = jax.config.values["jax_compilation_cache_dir"]
        return Path(folder) if folder else None

    def forget(self) -> None:
        jax.clear_caches()

    def _program(self, spec: Spec, inputs: Mapping[str, Any], policy: Policy, width: int | None) -> programs.Program:
        with precision(policy):
            return programs.program(spec, width_of(spec, width, inputs), policy)


def _variables(module: Module) -> list[Any]:
    from flax import nnx

    return jax.tree.leaves(nnx.state(module), is_leaf=lambda v: isinstance(v, nnx.Variable))
