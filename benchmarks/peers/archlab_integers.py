"""archlab's decoders with weights in floats and in integers."""

from collections.abc import Callable

from case import Rounded
from contestant import Writer
from device import device_policy

from peers.archlab_writers import start

Start = Callable[[Rounded], Writer]


def _of(backend: str, weights: str) -> Start:
    def begin(case: Rounded) -> Writer:
        if backend == "torch":
            import torch

            torch.set_num_threads(case.threads)
        policy = device_policy(case.device, case.compute).replace(param=case.compute, weights=weights)
        return start(backend, case, policy)

    return begin


jax_float, jax_int8, jax_int4 = (_of("jax", weights) for weights in ("float", "int8", "int4"))
torch_float, torch_int8, torch_int4 = (_of("torch", weights) for weights in ("float", "int8", "int4"))
