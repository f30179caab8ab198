"""Where benchmarks run."""

from enum import StrEnum

from archlab.policy import Policy


class Device(StrEnum):
    """Where the step runs."""

    cpu = "cpu"
    cuda = "cuda"
    tpu = "tpu"


def device_policy(device: str, compute: str = "float32") -> Policy:
    """The policy of a benchmark on a device: parameters in float32, activations in ``compute``."""
    return Policy.from_dict({"device": {"cuda": "gpu"}.get(device, device), "compute": compute})
