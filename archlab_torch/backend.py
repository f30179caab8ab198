"""The PyTorch backend: :class:`archlab.backends.Backend` in ``torch.nn``."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch

from archlab import weights as canonical
from archlab.backends import Rehearsal, Spent, starting_weights, width_of
from archlab.context import tables
from archlab.losses import TokenLoss
from archlab.model import Model
from archlab.optim.optimizer import Optimizer
from archlab.policy import Mesh, Policy
from archlab.quantization import check_float
from archlab.reference import Result, result, tokens_seen
from archlab.spec import Spec
from archlab.weights import DTYPES, Weights
from archlab_torch import program as programs
from archlab_torch.checkpoints import Store
from archlab_torch.decoding import Decoder
from archlab_torch.kernels.attention import check_backward
from archlab_torch.module import from_numpy, natives, to_numpy
from archlab_torch.profiling import bandwidth, memory, profile
from archlab_torch.runtime import join, precision
from archlab_torch.training import Trainer


class TorchBackend:
    """``torch.nn`` modules, on one process or, under a mesh, on as many as it has (FSDP2)."""

    name = "torch"
    natives = natives
    store = Store()
    rehearsal = Rehearsal(mesh=Mesh(data=2, fsdp=2), processes=4)

    def build(
        self, spec: Spec, *, policy: Policy = Policy(), seed: int | None = None,
        weights: Mapping[str, np.ndarray] | None = None, width: int | None = None,
    ) -> Any:  # fmt: skip
        """An ``nn.Module``."""
        check_float(policy)
        width = width_of(spec, width)
        return programs.build(spec, width, policy, starting_weights(spec, width, seed, weights))

    def dump(self, module: Any) -> Weights:
        return {slot.path: slot.unpack(slot.tensor) for slot in module.slots}

    def load(self, module: Any, weights: Mapping[str, np.ndarray]) -> None:
        canonical.check(module.spec.at(module.width), weights)
        with torch.no_grad():
            for slot in module.slots:
                slot.tensor.copy_(from_numpy(slot.pack(np.asarray(weights[slot.path]))))

    def run(
        self, spec: Spec, weights: Mapping[str, np.ndarray], inputs: Mapping[str, Any], *,
        policy: Policy = Policy(), width: int | None = None, state: Any = None, capture: bool = True,
    ) -> Result:  # fmt: skip
        program = self._program(spec, weights, inputs, policy, width)
        notes = tables(capture)
        with precision(policy), torch.no_grad(), programs.recording(program.module, capture):
            start = 0 if state is None else tokens_seen(state)
            x, where = program.arguments(inputs, started=start > 0)
            output, state = program.call(x, where, _copied(state), start, **notes)
        return result(program.gather(output), state, notes, _to_numpy)

    def initial_state(self, spec: Spec, *, policy: Policy, width: int | None, batch: int, length: int) -> Any:
        tree = programs.state_schema(spec.at(width_of(spec, width)), batch, length)
        return programs.empty_state(tree, getattr(torch, policy.compute), programs.device_of(policy))

    def gradients(
        self, spec: Spec, weights: Mapping[str, np.ndarray], inputs: Mapping[str, Any], cotangent: np.ndarray, *,
        policy: Policy = Policy(), width: int | None = None, capture: bool = False,
    ) -> tuple[Weights, Result]:  # fmt: skip
        check_float(policy)
        program = self._program(spec, weights, inputs, policy, width)
        check_backward(policy.attention, program.device)
        dtype = DTYPES[policy.output if isinstance(spec, Model) else policy.compute]
        notes = tables(capture)
        with precision(policy), programs.recording(program.module, capture):
            x, where = program.arguments(inputs)
            if not isinstance(x, dict):
                x.requires_grad_()
            output, _ = program.call(x, where, **notes)
            objective = (output * program.share(np.asarray(cotangent).astype(dtype))).sum()
            (objective + sum(notes["losses"].values()) / program.size + sum(notes["drives"].values())).backward()
        grads = {slot.path: slot.unpack(_gradient(slot.tensor)) for slot in program.slots}
        if not isinstance(x, dict):
            grads["x"] = program.gather(_gradient(x))
        return grads, result(program.gather(output), None, notes, _to_numpy)

    def trainer(
        self, model: Model, *, weights: Mapping[str, np.ndarray], optimizer: Optimizer, clip: float | None,
        policy: Policy = Policy(), seed: int = 0, loss: TokenLoss = TokenLoss(),
    ) -> Trainer:  # fmt: skip
        check_float(policy)
        return Trainer(model, weights, optimizer, clip, policy, seed, loss)

    def decoder(
        self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int, policy: Policy = Policy()
    ) -> Decoder:
        return Decoder(model, weights, batch=batch, length=length, policy=policy)

    def environment(self) -> dict[str, str]:
        device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        return {"torch": version("torch"), "cuda": torch.version.cuda or "none", "device": device}

    def seed(self, seed: int) -> None:
        torch.manual_seed(seed)
        torch.use_deterministic_algorithms(True, warn_only=True)

    def rehearse(self, rank: int = 0, store: Path | None = None) -> None:
        join(rank, self.rehearsal.processes, store)

    def profile(self, folder: Path) -> AbstractContextManager[list[Spent]]:
        return profile(folder)

    def memory(self) -> dict[str, int]:
        return memory()

    def bandwidth(self, policy: Policy) -> float:
        return bandwidth(programs.device_of(policy))

    def program_cache(self, policy: Policy) -> Path | None:
        if not policy.compile:
            return None
        from torch._inductor.runtime.runtime_utils import cache_dir

        return Path(cache_dir())

    def forget(self) -> None:
        """Nothing: no program outlives its run."""

    def _program(
        self,
        spec: Spec,
        weights: Mapping[str, np.ndarray],
        inputs: Mapping[str, Any],
        policy: Policy,
        width: int | None,
    ) -> programs.Program:
        width = width_of(spec, width, inputs)
        canonical.check(spec.at(width), weights)
        return programs.Program(spec, width, policy, weights)


def _to_numpy(value: Any) -> np.ndarray:
    return to_numpy(value) if isinstance(value, torch.Tensor) else np.asarray(value)


def _gradient(tensor: torch.Tensor) -> torch.Tensor:
    """The gradient, 0 where nothing depends on the tensor."""
    return torch.zeros_like(tensor) if tensor.grad is None else tensor.grad


def _copied(state: Any) -> Any:
    """A state whose buffers can be written without touching the caller's."""
    if isinstance(state, dict):
        return {key: _copied(s) for key, s in state.items()}
    if isinstance(state, list):
        return [_copied(s) for s in state]
    return None if state is None else state.clone()
