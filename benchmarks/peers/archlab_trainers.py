"""archlab's trainers, as its training loop uses them."""

from typing import Any

from case import ADAMW, CLIP, RATE, Batch, Case, initial_weights, model
from harness import Contestant

from archlab.backends import find_backend
from archlab.policy import Policy

DEVICES: Any = {"cpu": "cpu", "cuda": "gpu", "tpu": "tpu"}


def in_jax(case: Case) -> Contestant:
    return _start("jax", case)


def in_torch(case: Case) -> Contestant:
    import torch

    torch.set_num_threads(case.threads)
    return _start("torch", case)


def _start(backend: str, case: Case) -> Contestant:
    weights = initial_weights(case.shape)
    trainer = find_backend(backend).trainer(
        model(case.shape), weights=weights, optimizer=ADAMW, clip=CLIP, policy=Policy(device=DEVICES[case.device])
    )

    def step(batch: Batch) -> Any:
        return trainer.step(batch, RATE).loss

    return Contestant(parameters=sum(array.size for array in weights.values()), step=step)
