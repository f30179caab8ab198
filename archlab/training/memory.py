"""What a run takes in memory: estimated by category from its config, and measured."""

import math
import resource
import sys
from pathlib import Path

from archlab.accounting import account
from archlab.backends import Backend
from archlab.run_config import RunConfig
from archlab.spec import schema
from archlab.weights import DTYPES


def estimate(config: RunConfig) -> dict[str, int]:
    """Bytes of one training step on all devices together: parameters, gradients, the optimiser's slots, activations.

    Activations are those of one part of a batch (``policy.accumulate``), see :class:`archlab.accounting.Memory`; where
    ``policy.remat`` is neither "none" nor "full" they are an upper bound.
    """
    policy, root = config.policy, config.model.root()
    batch = config.data.batch // policy.accumulate
    memory = account(
        config.model, config.data.length, dtype=policy.compute, batch=batch, param_dtype=policy.param
    ).memory  # fmt: skip
    slots = config.train.optimizer.schema(schema(root)).values()
    numbers = sum(math.prod(shape) for slot in slots for shape in slot.values())
    found = {
        "parameters": memory.parameters,
        "gradients": memory.gradients,
        "optimizer": numbers * DTYPES[policy.param].itemsize,
        "activations": memory.activations_remat if policy.remat == "full" else memory.activations,
    }
    return found | {"total": sum(found.values())}


def measure(backend: Backend) -> dict[str, int]:
    """Bytes: the most that this process ever held of main memory, and what the backend says of its accelerator."""
    return {"process_peak": _process_peak()} | {f"device_{name}": value for name, value in backend.memory().items()}


def _process_peak() -> int:
    """Of main memory. Not what ``getrusage`` says on Linux: there a process begins with the peak of its parent."""
    if sys.platform == "linux":
        status = Path("/proc/self/status").read_text(encoding="ascii")
        return 1024 * next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmHWM:"))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
