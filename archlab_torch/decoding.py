"""Generation step by step."""

import contextlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch

from archlab import decoding
from archlab.inputs import split
from archlab.model import Model
from archlab.policy import Policy
from archlab.sampling import Sampling
from archlab.spec import state_schema
from archlab.weights import DTYPES, check
from archlab_torch.kernels import namespace as xp
from archlab_torch.layers import pack
from archlab_torch.module import to_numpy
from archlab_torch.program import Program
from archlab_torch.runtime import precision


class Decoder(decoding.Decoder):
    """The state's buffers are written in place."""

    def __init__(
        self, model: Model, weights: Mapping[str, np.ndarray], *, batch: int, length: int, policy: Policy
    ) -> None:  # fmt: skip
        super().__init__(model, batch=batch, length=length)
        self.policy = policy
        check(model.root(), weights)
        # no layer by itself: a prompt's length is seldom seen again, and a turn is compiled as a whole
        self.program = Program(model, model.width, policy.replace(compile=False), weights)
        self.state = self.empty(batch)
        self.known: set[Any] = set()  # what turns have been compiled for
        self.turn = self._compiled() if policy.compile else self._turn
        if not policy.compile or batch > 1:  # see kernels.linear.sums_rows
            pack(self.program.module, rows=batch)

    def logits(self, inputs: decoding.Inputs, *, every: bool = False) -> np.ndarray:
        own, where = (
            {name: self.program.share(array) for name, array in table.items()}
            for table in split(self.model, inputs, DTYPES[self.policy.compute])
        )
        with precision(self.policy), torch.no_grad():
            logits, self.state = self.program.call(own, where, self.state, fresh=self.seen == 0)
        logits = self.model.main(logits)
        return to_numpy(logits if every else logits[:, -1])

    def drawn(self, tokens: np.ndarray, uniforms: np.ndarray, sampling: Sampling, vocab: int | None) -> np.ndarray:
        share, columns = self.program.share, []
        given, positions, numbers = share(tokens), share(self._next), share(uniforms.T.astype(np.float32))
        ones = torch.ones_like(given)[:, None]
        key = sampling, vocab
        with precision(self.policy), torch.no_grad(), _trusting(self.policy.compile and key in self.known):
            for column in numbers.T:
                own, where = {"tokens": given[:, None]}, {"positions": positions[:, None], "segments": ones}
                drawn, self.state = self.turn(
                    own, self.program.context(own, where), self.state, column, sampling, vocab
                )
                given, positions = drawn.clone(), positions + 1  # a CUDA graph writes to the same place each time
                columns.append(given)
        self.known.add(key)
        return to_numpy(torch.stack(columns, dim=1)).astype(np.int32)

    def empty(self, batch: int) -> Any:
        return self.program.initial_state(batch, self.length)

    def emptied(self) -> Any:
        schema = state_schema(self.program.part, self.batch, self.length)
        for node, buffer in zip(leaves(schema), leaves(self.state), strict=True):
            buffer.fill_(node.fill)  # in place: a CUDA graph knows it by its address
        return self.state

    def placed(self, row: int, one: Any) -> Any:
        for buffer, single in zip(leaves(self.state), leaves(one), strict=True):
            buffer[row].copy_(single[0])
        return self.state

    def _turn(
        self, own: Any, ctx: Any, state: Any, uniforms: Any, sampling: Sampling, vocab: int | None
    ) -> tuple[Any, Any]:
        """(tokens (B,), state): take in one token of each sequence and draw the next."""
        logits, state = self.program.within(ctx, own, state)
        return sampling.choose(self.model.main(logits)[:, -1, :vocab].float(), uniforms, xp), state

    def _compiled(self) -> Callable[..., tuple[Any, Any]]:
        """:meth:`_turn` as one program, on GPUs a CUDA graph."""
        if self.program.device.type != "cuda":
            return torch.compile(self._turn, dynamic=False)
        for buffer in leaves(self.state):
            torch._dynamo.mark_static_address(buffer)
        return torch.compile(self._turn, dynamic=False, mode="reduce-overhead")


def _trusting(known: bool) -> contextlib.AbstractContextManager[None]:
    """Where a compiled program has run before, with all that it is called with alike, that is not checked each time."""
    return torch.compiler.set_stance(skip_guard_eval_unsafe=True) if known else contextlib.nullcontext()


def leaves(state: Any) -> Iterator[Any]:
    """The tensors of a state, or what its schema says of them."""
    if not isinstance(state, dict | list):
        yield state
        return
    for inner in state.values() if isinstance(state, dict) else state:
        yield from leaves(inner)
