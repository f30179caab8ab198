"""archlab's decoders, as its generation uses them: the prompts at once, then the rest in one call."""

import numpy as np
from case import Writing
from contestant import Writer
from device import device_policy
from styles import MODELS

from archlab.backends import find_backend
from archlab.policy import Policy
from archlab.sampling import Sampling

GREEDY = Sampling(temperature=0.0)


def in_jax(case: Writing) -> Writer:
    return start("jax", case, _policy(case))


def in_torch(case: Writing) -> Writer:
    return _in_torch(case, _policy(case))


def compiled(case: Writing) -> Writer:
    return _in_torch(case, _policy(case).replace(compile=True))


def jax_int8(case: Writing) -> Writer:
    return start("jax", case, _policy(case).replace(weights="int8"))


def jax_int4(case: Writing) -> Writer:
    return start("jax", case, _policy(case).replace(weights="int4"))


def torch_int8(case: Writing) -> Writer:
    return _in_torch(case, _policy(case).replace(compile=True, weights="int8"))


def torch_int4(case: Writing) -> Writer:
    return _in_torch(case, _policy(case).replace(compile=True, weights="int4"))


def _policy(case: Writing) -> Policy:
    """Products in true float32, so that tokens are the same on every device."""
    return device_policy(case.device).replace(matmul="highest")


def _in_torch(case: Writing, policy: Policy) -> Writer:
    import torch

    torch.set_num_threads(case.threads)
    return start("torch", case, policy)


def start(backend: str, case: Writing, policy: Policy) -> Writer:
    """A decoder of ``backend`` under ``policy``."""
    decoder = find_backend(backend).decoder(
        MODELS[case.style](case.shape), case.weights, batch=case.shape.batch, length=case.shape.length,
        policy=policy,
    )  # fmt: skip

    def write(prompts: np.ndarray) -> np.ndarray:
        """The state is emptied each time, which counts."""
        decoder.reset()
        first = decoder.prefill(prompts).argmax(axis=-1).astype(np.int32)
        rest = decoder.write(first, case.new - 1, GREEDY)
        return np.concatenate([first[:, None], rest], axis=1)

    return Writer(parameters=case.parameters, write=write)
