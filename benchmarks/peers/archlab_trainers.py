"""archlab's trainers, as its training loop uses them."""

from typing import Any

from case import ADAMW, CLIP, RATE, Batch, Case
from contestant import Contestant, each
from device import device_policy
from styles import MODELS

from archlab.backends import find_backend
from archlab.optim.adamw import AdamW


def in_jax(case: Case) -> Contestant:
    return _start("jax", case)


def in_torch(case: Case) -> Contestant:
    import torch

    torch.set_num_threads(case.threads)
    return _start("torch", case)


def _start(backend: str, case: Case) -> Contestant:
    rule = AdamW(
        beta1=ADAMW.beta1, beta2=ADAMW.beta2, epsilon=ADAMW.epsilon, weight_decay=ADAMW.weight_decay
    )  # fmt: skip
    trainer = find_backend(backend).trainer(
        MODELS[case.style](case.shape), weights=case.weights, optimizer=rule, clip=CLIP,
        policy=device_policy(case.device),
    )  # fmt: skip

    def step(batch: Batch) -> Any:
        return trainer.step(batch, RATE).loss

    return Contestant(parameters=case.parameters, train=each(step))
