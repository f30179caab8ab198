"""Training: a compiled step over flat leaves."""

from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from archlab.backends import Batch, Detail, StepMetrics
from archlab.context import summary, tables
from archlab.inputs import TARGETS, WHERE, micro_batches, parted
from archlab.losses import TokenLoss, answer, answered
from archlab.model import Model
from archlab.optim.optimizer import LossScale, Optimizer, OptimizerState
from archlab.policy import Policy
from archlab.spec import schema
from archlab.weights import DTYPES, Weights
from archlab_jax.losses import Chunks, cross_entropy, summed
from archlab_jax.optim import rule, rule_of_all
from archlab_jax.program import Program, program
from archlab_jax.runtime import (
    SOURCES,
    compiler_options,
    keep_memory,
    place_batch,
    place_params,
    place_state,
    precision,
)

Guard = dict[str, Any]  # what skipping updates takes: "skipped", and "scale" and "good" under a loss scale


class Trainer:
    """A model, its optimiser and a compiled step with donated buffers."""

    def __init__(
        self, model: Model, weights: Mapping[str, np.ndarray], optimizer: Optimizer, clip: float | None,
        policy: Policy, seed: int, loss: TokenLoss,
    ) -> None:  # fmt: skip
        self.model, self.policy, self.clip, self.seed, self.loss = model, policy, clip, seed, loss
        table = schema(model.root())
        keep_memory(policy, sum(param.size for param in table.values()))
        with precision(policy):
            self.program: Program = program(model, model.width, policy)
            variables = self.program.split.variables
            self.counted = [table[v.paths[0]].rule is None for v in variables]
            self.rule = rule_of_all(optimizer.treatments(table), table, variables, rule)
            self.leaves = self.program.leaves(weights)
            self.opt = place_state(self.rule.initial(self.leaves), policy)
            self.guard = self._guard(0, LossScale() if policy.scaled else None)
            self.count = 0
            options = compiler_options(policy)
            self._step = jax.jit(
                self._train, donate_argnums=(0, 1, 2), static_argnames="detail", compiler_options=options
            )
            self._evaluate = jax.jit(self._loss, compiler_options=options)

    def _guard(self, skipped: int, scale: LossScale | None) -> Guard:
        guard: Guard = {"skipped": jnp.asarray(skipped, jnp.int32)}
        if scale:
            guard |= {"scale": jnp.asarray(scale.value, jnp.float32), "good": jnp.asarray(scale.good, jnp.int32)}
        return place_state(guard, self.policy)

    def step(self, batch: Batch, rate: float, *, limit: float | None = None, detail: bool = False) -> StepMetrics:
        wide = DTYPES[self.policy.param] if self.policy.param == "float64" else np.float32
        with precision(self.policy):
            self.leaves, self.opt, self.guard, loss, norm, noted, norms = self._step(
                self.leaves, self.opt, self.guard, self.parts(batch), np.asarray(rate, dtype=wide),
                None if limit is None else np.asarray(limit, dtype=wide), np.uint32(self.count), detail=detail,
            )  # fmt: skip
        self.count += 1
        return StepMetrics(loss=loss, grad_norm=norm, noted=noted, detail=self._named(norms) if detail else None)

    def pass_over(self) -> None:
        self.count += 1
        self.guard = self.guard | {"skipped": self.guard["skipped"] + 1}

    def ready(self, batch: Batch) -> dict[str, Any]:
        return place_batch({k: batch[k] for k in (*self.model.inputs(), *TARGETS, *WHERE) if k in batch}, self.policy)

    def parts(self, batch: Batch) -> list[dict[str, Any]]:
        """The micro-batches of a batch, on the devices."""
        return [self.ready(part) for part in micro_batches(batch, self.policy.accumulate)]

    def _train(
        self, leaves: Any, opt: Any, guard: Guard, parts: Any, rate: Any, limit: Any, count: Any, detail: bool
    ) -> Any:
        (loss, noted), grads = self._gradients(leaves, parts, guard.get("scale"), count)
        grads, norm = self._clip(grads)
        new, moved = self.rule.update(leaves, grads, opt, rate)
        if limit is not None or "scale" in guard:
            finite = jnp.isfinite(norm)
            accepted = finite if limit is None else finite & (norm <= limit)
            new, moved = jax.tree.map(lambda a, b: jnp.where(accepted, a, b), (new, moved), (leaves, opt))
            guard = _after(guard, finite, accepted)
            noted = noted | {"skipped": guard["skipped"].astype(jnp.float32)}
        norms = (self._norms(grads), self._norms(new), self._norms(_difference(new, leaves))) if detail else None
        return new, moved, guard, loss, norm, noted, norms

    def _gradients(self, leaves: Any, parts: list[Any], scale: Any, count: Any) -> Any:
        """((loss, noted), gradients) of a batch, one part after the other."""
        if len(parts) == 1:
            return self._of_part(leaves, parts[0], None, scale, count, None)
        counts = self._counts(parts)
        stacked = jax.tree.map(lambda *arrays: jnp.stack(arrays), *parts)

        def one(total: Any, part: Any) -> Any:
            index, batch = part
            found = self._of_part(leaves, batch, counts, scale, count, index)
            return jax.tree.map(jnp.add, total, found), None

        shapes = jax.eval_shape(lambda b: self._of_part(leaves, b, counts, scale, count, np.uint32(0)), parts[0])
        zeros = jax.tree.map(lambda s: jnp.zeros(s.shape, s.dtype), shapes)
        return jax.lax.scan(one, zeros, (jnp.arange(len(parts), dtype=jnp.uint32), stacked))[0]

    def _counts(self, parts: list[Any]) -> list[Any]:
        """The number of targets of each answer, over all parts."""
        counts = [jnp.stack([jnp.sum(t >= 0) for *_, t in answered(jnp, self.model, part)]) for part in parts]
        return list(jnp.sum(jnp.stack(counts), axis=0))

    def _of_part(self, leaves: Any, batch: Any, counts: Any, scale: Any, count: Any, index: Any) -> Any:
        """((loss, noted), gradients) of one share of a batch; without ``counts`` of a whole one."""

        def objective(leaves: Any) -> Any:
            random = SOURCES[self.policy.random].of_step(self.seed, count, index)
            notes, shares = tables(capture=False), self.policy.accumulate
            losses = self._losses(leaves, batch, random=random, **notes)
            by = [counted for *_, counted in losses] if counts is None else counts
            means = [(name, weight, total / n) for (name, weight, total, _, _), n in zip(losses, by, strict=True)]
            loss = sum(weight * mean for _, weight, mean in means) + sum(notes["losses"].values()) / shares
            noted = {n: v / shares for n, v in summary(notes["losses"], notes["stats"]).items()}
            noted |= {name: mean for name, _, mean in means[1:]}
            if not self.loss.plain:
                noted["nll"] = losses[0][3] / by[0]
            value = loss + sum(notes["drives"].values())
            return value if scale is None else value * scale, (loss, noted)

        (_, found), grads = jax.value_and_grad(objective, has_aux=True)(leaves)
        return found, grads if scale is None else [g / scale.astype(g.dtype) for g in grads]

    def _clip(self, grads: list[Any]) -> tuple[list[Any], Any]:
        """g · min(1, clip / ‖g‖), and ‖g‖; parameters with a rule of their own stay out of both."""
        norm = jnp.sqrt(sum(jnp.sum(jnp.square(g)) for g, counts in zip(grads, self.counted, strict=True) if counts))
        if self.clip is None:
            return grads, norm
        scale = jnp.where(norm > self.clip, self.clip / norm, 1.0)
        return [g * scale.astype(g.dtype) if c else g for g, c in zip(grads, self.counted, strict=True)], norm

    def _norms(self, leaves: list[Any]) -> list[Any]:
        """The norm of every parameter: of leaves that hold several layers, one for each."""
        split = zip(leaves, self.program.split.variables, strict=True)
        return [jnp.sqrt(jnp.sum(jnp.square(_wide(a)), axis=range(v.stacked, a.ndim))) for a, v in split]

    def _named(self, norms: Any) -> Detail:
        variables = self.program.split.variables

        def named(found: list[Any]) -> dict[str, float]:
            pairs = zip(variables, found, strict=True)
            return {path: float(n) for v, f in pairs for path, n in zip(v.paths, np.ravel(f), strict=True)}

        return Detail(grad=named(norms[0]), weight=named(norms[1]), update=named(norms[2]))

    def _loss(self, leaves: Any, batch: Any) -> Any:
        """(Σ nll, count) of the main answer."""
        return self._losses(leaves, batch)[0][3:]

    def _losses(self, leaves: Any, batch: Any, **notes: Any) -> list[tuple[str, float, Any, Any, Any]]:
        """(name, weight, Σ loss, Σ nll, count) of each answer, the main one first."""
        own, where = parted(self.model, batch)
        chunk = self.policy.loss_chunk
        score = Chunks(batch["targets"], self.loss, chunk) if chunk else None
        output, _ = self.program.call(leaves, own, where, score=score, **notes)
        how = summed if score and score.used else self._of_logits
        return [
            (name, weight, *how(answer(self.model, output, i), targets, batch.get("weights")))
            for i, (name, weight, targets) in enumerate(answered(jnp, self.model, batch))
        ]

    def _of_logits(self, logits: Any, targets: Any, weights: Any) -> tuple[Any, Any, Any]:
        return cross_entropy(logits, targets, self.loss, weights)

    def evaluate(self, batch: Batch) -> tuple[float, int]:
        with precision(self.policy):
            nll, counted = self._evaluate(self.leaves, self.ready(batch))
        return float(nll), int(counted)

    def weights(self) -> Weights:
        return self.program.split.unpack(self.leaves)

    def optimizer_state(self) -> OptimizerState:
        step, slots = self.rule.export(self.opt)
        guard = {name: np.asarray(value).item() for name, value in self.guard.items()}
        return OptimizerState(
            step=int(step), slots={n: self.program.split.unpack(s) for n, s in slots.items()},
            skipped=guard["skipped"],
            scale=LossScale(value=guard["scale"], good=guard["good"]) if self.policy.scaled else None,
        )  # fmt: skip

    def restore(self, weights: Mapping[str, np.ndarray], state: OptimizerState) -> None:
        dtype = DTYPES[self.policy.param]
        variables = self.program.split.variables
        with precision(self.policy):
            self.leaves = self.program.leaves(weights)
            packed = {name: self.program.split.pack(slot, dtype) for name, slot in state.slots.items()}
            slots = {name: place_params(variables, slot, self.policy) for name, slot in packed.items()}
            self.opt = place_state(self.rule.restore(self.opt, state.step, slots), self.policy)
            self.guard = self._guard(state.skipped, (state.scale or LossScale()) if self.policy.scaled else None)
        self.count = state.step + state.skipped


def _after(guard: Guard, finite: Any, accepted: Any) -> Guard:
    """What is known after a step, see :class:`archlab.optim.optimizer.LossScale`."""
    after = {"skipped": guard["skipped"] + jnp.where(accepted, 0, 1).astype(jnp.int32)}
    if "scale" in guard:
        good = jnp.where(finite, guard["good"] + 1, 0).astype(jnp.int32)
        grown = jnp.where(good >= LossScale.PATIENCE, 2.0, 1.0)
        after["scale"] = jnp.where(finite, guard["scale"] * grown, guard["scale"] / 2).astype(jnp.float32)
        after["good"] = jnp.where(good >= LossScale.PATIENCE, 0, good).astype(jnp.int32)
    return after


def _difference(new: list[Any], old: list[Any]) -> list[Any]:
    return [_wide(a) - _wide(b) for a, b in zip(new, old, strict=True)]


def _wide(a: Any) -> Any:
    return a.astype(jnp.promote_types(a.dtype, jnp.float32))
