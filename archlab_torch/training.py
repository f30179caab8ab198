"""Training: forward, backward, clip, update."""

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from archlab import memory
from archlab.backends import Batch, Detail, StepMetrics
from archlab.context import summary, tables
from archlab.inputs import TARGETS, WHERE, micro_batches, parted
from archlab.layers import is_random
from archlab.losses import TokenLoss, answer, answered
from archlab.model import Model
from archlab.optim.optimizer import LossScale, Optimizer, OptimizerState, treatments
from archlab.policy import Policy
from archlab.weights import Weights, check
from archlab_torch.kernels.attention import check_backward
from archlab_torch.losses import Chunks, cross_entropy, summed
from archlab_torch.module import from_numpy, to_numpy
from archlab_torch.optim import rule, rule_of_all
from archlab_torch.program import Program
from archlab_torch.runtime import SOURCES, precision


class Trainer:
    """A model, its optimiser and a step."""

    def __init__(
        self, model: Model, weights: Mapping[str, np.ndarray], optimizer: Optimizer, clip: float | None,
        policy: Policy, seed: int, loss: TokenLoss,
    ) -> None:  # fmt: skip
        self.model, self.policy, self.clip, self.seed, self.loss = model, policy, clip, seed, loss
        check(model.root(), weights)
        self.program = Program(model, model.width, policy, weights)
        if self.program.device.type == "cpu":
            memory.keep_freed()
        check_backward(policy.attention, self.program.device)
        self.params = [slot.tensor for slot in self.program.slots]
        self.counted = [slot.tensor for slot in self.program.slots if slot.param.rule is None]
        self.rule = rule_of_all(treatments(model.root(), optimizer), self.program.slots, rule)
        self.random = is_random(model.root())
        self.scale = LossScale() if policy.scaled else None
        self.count = self.skipped = 0

    def step(self, batch: Batch, rate: float, *, limit: float | None = None, detail: bool = False) -> StepMetrics:
        with precision(self.policy):
            loss, noted = self._gradients(batch)
            norm = self._clip()
            kept = [param.detach().clone() for param in self.params] if detail else []
            if self._accepted(norm, limit):
                self.rule.update(rate)
            else:
                self.skipped += 1
            found = self._detail(kept) if detail else None
        for param in self.params:
            param.grad = None
        self.count += 1
        if limit is not None or self.scale:
            noted["skipped"] = torch.tensor(float(self.skipped))
        return StepMetrics(loss=loss, grad_norm=norm, noted=noted, detail=found)

    def pass_over(self) -> None:
        self.count += 1
        self.skipped += 1

    def ready(self, batch: Batch) -> dict[str, Any]:
        return {k: self.program.share(batch[k]) for k in (*self.model.inputs(), *TARGETS, *WHERE) if k in batch}

    def _gradients(self, batch: Batch) -> tuple[Any, dict[str, Any]]:
        """Put the gradients of a batch into the parameters; returns its loss and what was noted, of the whole batch."""
        parts = [self.ready(part) for part in micro_batches(batch, self.policy.accumulate, self.program.size)]
        counts = self._counts(parts) if len(parts) > 1 else None
        loss, noted = self._backward(parts[0], 0, counts)
        for i, part in enumerate(parts[1:], start=1):
            more, others = self._backward(part, i, counts)
            loss, noted = loss + more, {name: value + others[name] for name, value in noted.items()}
        for param in self.params:
            if param.grad is None:  # nothing depends on it: PyTorch would leave it out, decay and all
                param.grad = torch.zeros_like(param)
            elif self.scale:
                param.grad.div_(self.scale.value)
        return loss, noted

    def _counts(self, parts: list[dict[str, Any]]) -> list[Any]:
        """The number of targets of each answer, over all parts and processes."""
        counts = [torch.stack([(t >= 0).sum() for *_, t in answered(torch, self.model, part)]) for part in parts]
        return list(self._summed(sum(counts)))

    def _backward(self, batch: dict[str, Any], index: int, counts: list[Any] | None) -> tuple[Any, dict[str, Any]]:
        notes = tables(capture=False)
        if not self.random:
            return self._finish(self._losses(batch, **notes), notes, counts)
        source, share = SOURCES[self.policy.random], self.program.rank * self.policy.accumulate + index
        with source.of_step(self.seed, self.count, share, self.program.device) as random:
            return self._finish(self._losses(batch, random=random, **notes), notes, counts)

    def _finish(
        self, losses: list[tuple[str, float, Any, Any, Any]], notes: dict[str, Any], counts: list[Any] | None
    ) -> tuple[Any, dict[str, Any]]:
        """Back-propagate one share of the loss; returns that of all processes, and what was noted of it.

        Without ``counts`` the targets that losses are divided by are those of this batch.
        """
        shares = self.program.size * self.policy.accumulate
        counts = [self._summed(counted) for *_, counted in losses] if counts is None else counts
        means = [(name, weight, total / n) for (name, weight, total, _, _), n in zip(losses, counts, strict=True)]
        terms = [mean if weight == 1.0 else weight * mean for _, weight, mean in means]
        loss = functools.reduce(torch.add, terms + [value / shares for value in notes["losses"].values()])
        objective = functools.reduce(torch.add, [loss, *notes["drives"].values()])
        (objective * self.scale.value if self.scale else objective).backward()
        noted = {n: v / shares for n, v in summary(notes["losses"], notes["stats"]).items()}
        noted |= {name: mean for name, _, mean in means[1:]}
        if not self.loss.plain:
            noted["nll"] = losses[0][3] / counts[0]
        return self._summed(loss.detach()), {n: self._summed(v.detach()) for n, v in noted.items()}

    def _summed(self, value: Any) -> Any:
        """The sum over all processes."""
        if self.program.size > 1:
            value = value.clone()
            torch.distributed.all_reduce(value)
        return value

    def _clip(self) -> Any:
        """Scale the gradients by min(1, clip / ‖g‖); returns ‖g‖. Parameters with a rule of their own stay out."""
        grads = [param.grad for param in self.counted]
        norm = torch.nn.utils.get_total_norm(grads)
        norm = norm.full_tensor() if hasattr(norm, "full_tensor") else norm
        if self.clip is not None:
            scale = torch.clamp(self.clip / norm, max=1.0)
            local = [grad.to_local() if hasattr(grad, "to_local") else grad for grad in grads]
            torch._foreach_mul_(local, scale.to(local[0].dtype))
        return norm

    def _accepted(self, norm: Any, limit: float | None) -> bool:
        """Whether the update is made; a loss scale learns from it."""
        if limit is None and self.scale is None:
            return True
        finite = bool(torch.isfinite(norm))
        if self.scale:
            self.scale = self.scale.after(finite)
        return finite and (limit is None or float(norm) <= limit)

    def _detail(self, before: list[Any]) -> Detail:
        """Norms by parameter: of the gradient as it was applied, of the weights, and of what they moved by."""
        named = list(zip(self.program.slots, before, strict=True))

        def norms(value: Any) -> dict[str, float]:
            return {slot.path: float(_norm(value(slot.tensor, old))) for slot, old in named}

        with torch.no_grad():
            return Detail(
                grad=norms(lambda p, _: p.grad), weight=norms(lambda p, _: p), update=norms(lambda p, old: p - old)
            )

    def _losses(self, batch: dict[str, Any], **notes: Any) -> list[tuple[str, float, Any, Any, Any]]:
        """(name, weight, Σ loss, Σ nll, count) of each answer, the main one first."""
        own, where = parted(self.model, batch)
        chunk = self.policy.loss_chunk
        score = Chunks(batch["targets"], self.loss, chunk) if chunk else None
        output, _ = self.program.call(own, where, score=score, **notes)
        how = summed if score and score.used else self._of_logits
        return [
            (name, weight, *how(answer(self.model, output, i), targets, batch.get("weights")))
            for i, (name, weight, targets) in enumerate(answered(torch, self.model, batch))
        ]

    def _of_logits(self, logits: Any, targets: Any, weights: Any) -> tuple[Any, Any, Any]:
        return cross_entropy(logits, targets, self.loss, weights)

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        with precision(self.policy), torch.no_grad():
            _, _, _, nll, counted = self._losses(self.ready(batch))[0]
            return float(self._summed(nll)), int(self._summed(counted))

    def weights(self) -> Weights:
        return {slot.path: slot.unpack(slot.tensor) for slot in self.program.slots}

    def optimizer_state(self) -> OptimizerState:
        step, slots = self.rule.export()
        paths = [slot.path for slot in self.program.slots]
        named = {
            name: {p: np.ascontiguousarray(to_numpy(t)) for p, t in zip(paths, tensors, strict=True) if t is not None}
            for name, tensors in slots.items()
        }
        return OptimizerState(step=step, slots=named, skipped=self.skipped, scale=self.scale)

    def restore(self, weights: Mapping[str, np.ndarray], state: OptimizerState) -> None:
        check(self.model.root(), weights)
        slots = self.program.slots
        with torch.no_grad():
            for slot in slots:
                slot.tensor.copy_(from_numpy(slot.pack(weights[slot.path])))
            found = {
                name: [from_numpy(arrays[s.path]) if s.path in arrays else None for s in slots]
                for name, arrays in state.slots.items()
            }
            self.rule.restore(state.step, found)
        self.skipped, self.count = state.skipped, state.step + state.skipped
        self.scale = (state.scale or LossScale()) if self.policy.scaled else None


def _norm(tensor: Any) -> Any:
    norm = torch.linalg.vector_norm(tensor, dtype=torch.promote_types(tensor.dtype, torch.float32))
    return norm.full_tensor() if hasattr(norm, "full_tensor") else norm
