"""Repeated layers: written out, or one scan over the turns of the pattern."""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from archlab import stack as specs
from archlab.spec import Part, join, substate, updated
from archlab_jax.module import Builder, Module, Turns, natives

REMAT = {
    "dots": jax.checkpoint_policies.dots_saveable,
    "full": jax.checkpoint_policies.nothing_saveable,
}


@natives.register(specs.Stack)
class Stack(Module):
    """The pattern's layers, repeated, and the tail."""

    def build(self, part: Part, builder: Builder, path: str) -> None:
        spec, self.remat = part.spec, builder.policy.remat
        parts = [layer.at(part.width) for layer in spec.layers]
        # inside another scanned stack it is written out: that one's turns already hold its parameters
        scan = builder.policy.layers == "scan" and builder.turns is None
        first = len(spec.pattern) * spec.repeat if scan else 0
        self.turns = Turns(path=path, length=len(spec.pattern), count=spec.repeat)
        turn = Builder(policy=builder.policy, weights=builder.weights, turns=self.turns)
        scanned = parts[: len(spec.pattern)] if first else []
        self.turn = nnx.List([turn.module(p, join(path, f"layers.{i}")) for i, p in enumerate(scanned)])
        self.layers = nnx.List(
            [builder.module(p, join(path, f"layers.{i}")) for i, p in enumerate(parts[first:], start=first)]
        )  # fmt: skip

    def forward(self, x: Any, ctx: Any, state: Any) -> tuple[Any, Any]:
        if state is None:
            return self.train_layers(x, ctx), None
        states = []
        for i, layer in enumerate(self.written_out()):
            x, new = layer(x, ctx.at_depth(self.spec.depth(i)), substate(state, "layers")[i])
            states.append(new)
        return x, updated(state, layers=states)

    def train_layers(self, x: Any, ctx: Any) -> Any:
        """All layers without state, scanned and rematerialised as the policy says."""
        if len(self.turn):
            x = self.scan(x, ctx)
        offset = len(self.spec.layers) - len(self.layers)
        for i, layer in enumerate(self.layers, start=offset):
            x, notes = self.isolated(layer, ctx.at_depth(self.spec.depth(i)))(x)
            publish(ctx, notes)
        return x

    def isolated(self, layer: Module, ctx: Any) -> Any:
        """``layer`` as a pure function x → (y, notes), rematerialised as the policy says."""

        def run(x: Any) -> Any:
            records: dict[str, Any] | None = None if ctx.records is None else {}
            losses: dict[str, Any] | None = None if ctx.losses is None else {}
            y, _ = layer(x, ctx.replace(records=records, losses=losses), None)
            return y, (records or {}, losses or {})

        return run if self.remat == "none" else jax.checkpoint(run, policy=REMAT[self.remat])

    def scan(self, x: Any, ctx: Any) -> Any:
        """One loop over the turns; what the layers noted comes back with the turns' own names."""
        graph: Any
        graph, stacked = nnx.split(self.turn)

        def one_turn(x: Any, inputs: Any) -> tuple[Any, Any]:
            state, turn = inputs
            notes: tuple[dict, dict] = ({}, {})
            for i, layer in enumerate(nnx.merge(graph, state)):
                x, (records, losses) = self.isolated(layer, self.in_turn(ctx, turn, i))(x)
                notes[0].update(records)
                notes[1].update({n: notes[1].get(n, 0) + v for n, v in losses.items()})
            return x, notes

        x, (records, losses) = jax.lax.scan(one_turn, x, (stacked, jnp.arange(self.turns.count)))
        named = {p: v[turn] for first, v in records.items() for turn, p in enumerate(self.turns.paths(first))}
        publish(ctx, (named, {name: jnp.sum(v, axis=0) for name, v in losses.items()}))
        return x

    def in_turn(self, ctx: Any, turn: Any, index: int) -> Any:
        """The context of the pattern's layer ``index`` in the traced turn ``turn``."""
        depths = [self.spec.depth(t * self.turns.length + index) for t in range(self.turns.count)]
        random = None if ctx.random is None else ctx.random.in_turn(self.turns, turn)
        return ctx.replace(random=random).at_depth(
            self.spec.depth(turn * self.turns.length + index),
            by_turn=lambda function: jnp.asarray([function(depth) for depth in depths])[turn],
        )  # fmt: skip

    def written_out(self) -> list[Module]:
        """All layers one by one, scanned ones cut from their stacks."""
        if not len(self.turn):
            return list(self.layers)
        graph: Any
        graph, stacked = nnx.split(self.turn)
        layers: list[Module] = []
        for turn in range(self.spec.repeat):
            layers += list(nnx.merge(graph, jax.tree.map(lambda a, turn=turn: a[turn], stacked)))
        return layers + list(self.layers)


def publish(ctx: Any, notes: tuple[dict, dict]) -> None:
    """Hand on what an isolated layer noted."""
    for path, value in notes[0].items():
        ctx.record(path, value)
    for name, value in notes[1].items():
        ctx.add_loss(name, value)
