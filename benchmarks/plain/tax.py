"""archlab's programs beside those written by hand: what each computes and moves."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from archlab.backends import find_backend
from archlab.inputs import WHERE
from archlab.policy import Policy
from plain.counters import Count, of_torch, of_xla
from plain.models import ADAMW, CLIP, MODELS, RATE, batch, first_weights

STEP, FORWARD = "training step", "forward pass"


@dataclass(frozen=True, kw_only=True)
class Tax:
    """One program, ours and as written by hand, and what each gave: of a step (loss, norm of the gradients)."""

    backend: str
    model: str
    program: str
    ours: Count
    plain: Count
    results: tuple[Any, Any]

    @property
    def flops(self) -> float:
        """Our FLOPs over theirs."""
        return self.ours.flops / self.plain.flops

    @property
    def bytes(self) -> float:
        """Our bytes over theirs."""
        return self.ours.bytes / self.plain.bytes


def in_jax(model: str) -> list[Tax]:
    """Of a model's programs in JAX, compiled for this machine."""
    import jax

    from plain import in_jax as plain

    data, weights = batch(), first_weights(model)
    step, first = plain.training_step(plain.FORWARD[model])
    params = plain.params_of(model, weights)
    forward = _compiled(jax.jit(plain.FORWARD[model]), params, data["tokens"])
    theirs = _compiled(step, params, first(params), data["tokens"], data["targets"], np.float32(RATE), pick=(2, 3))
    ours, ours_forward = _ours_in_jax(model)
    found = ((STEP, ours, theirs), (FORWARD, ours_forward, forward))
    return [
        Tax(backend="jax", model=model, program=name, ours=us[0], plain=them[0], results=(us[1], them[1]))
        for name, us, them in found
    ]


def _ours_in_jax(model: str) -> tuple[tuple[Count, Any], tuple[Count, Any]]:
    """(count, what it gave) of the step of archlab's trainer, and of its forward pass."""
    from archlab_jax.training import Trainer

    trainer: Any = _trainer("jax", model)
    assert isinstance(trainer, Trainer)
    own, nowhere = {"tokens": batch()["tokens"]}, dict.fromkeys(WHERE)
    forward = _compiled(trainer.program.forward, trainer.leaves, own, nowhere, None, 0, capture=False, pick=0)
    rate, count = np.float32(RATE), np.uint32(0)
    arguments = (trainer.leaves, trainer.opt, trainer.guard, trainer.parts(batch()), rate, None, count)
    return _compiled(trainer._step, *arguments, detail=False, pick=(3, 4)), forward


def _compiled(function: Any, *arguments: Any, pick: Any = None, **static: Any) -> tuple[Count, Any]:
    """What a jitted function costs, and what it gives, or the numbers ``pick`` of it."""
    lowered = function.lower(*arguments, **static)
    compiled = lowered.compile()
    out = compiled(*arguments)
    picked = [float(out[i]) for i in pick] if isinstance(pick, tuple) else out if pick is None else out[pick]
    return of_xla(lowered, compiled), np.asarray(picked)


def in_torch(model: str) -> list[Tax]:
    """Of a model's programs in PyTorch; the first step makes the optimiser's state and is not counted."""
    import torch

    from plain import in_torch as plain

    data, trainer = batch(), _trainer("torch", model)
    theirs = plain.PlainTrainer(plain.module(model, first_weights(model)))
    tokens = torch.from_numpy(data["tokens"].astype(np.int64))

    def ours_step() -> list[float]:
        metrics = trainer.step(data, RATE)
        return [float(metrics.loss), float(metrics.grad_norm)]

    with torch.no_grad():
        forwards = _counted(lambda: trainer.program.module(tokens)), _counted(lambda: theirs.module(tokens))
    ours_step(), theirs.step(data)
    steps = _counted(ours_step), _counted(lambda: [float(number) for number in theirs.step(data)])
    return [
        Tax(backend="torch", model=model, program=name, ours=us[0], plain=them[0], results=(us[1], them[1]))
        for name, (us, them) in ((STEP, steps), (FORWARD, forwards))
    ]


def _counted(run: Callable[[], Any]) -> tuple[Count, Any]:
    """What a call in PyTorch costs, and what it gives."""
    out: list[Any] = []
    return of_torch(lambda: out.append(run())), np.asarray(out[0])


def _trainer(backend: str, model: str) -> Any:
    """In PyTorch with the attention of those written by hand: what happens inside of it is not counted."""
    policy = Policy(device="cpu", attention={"jax": "auto", "torch": "fused"}[backend])
    return find_backend(backend).trainer(
        MODELS[model](), weights=first_weights(model), optimizer=ADAMW, clip=CLIP, policy=policy
    )


COUNTS: dict[str, Callable[[str], list[Tax]]] = {"jax": in_jax, "torch": in_torch}
