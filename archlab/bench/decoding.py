"""How fast a model writes: a prompt at once, then token after token."""

import time
from dataclasses import dataclass
from typing import Any

import numpy as np

from archlab.accounting import account
from archlab.backends import Backend
from archlab.bench.subject import random_inputs, sequences
from archlab.errors import InputError
from archlab.generation import for_generation
from archlab.model import check_causal
from archlab.run_config import RunConfig
from archlab.sampling import Sampling
from archlab.weights import DTYPES, Weights

GREEDY = Sampling(temperature=0.0)
NEW = 64  # tokens written in a round, where the length allows


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """Seconds of one prompt for all sequences, and of one new token for all of them."""

    prefill: float
    token: float


def check(run: RunConfig) -> None:
    """Raise :class:`InputError` unless the model writes tokens and there is room for some."""
    model = run.model.for_generation()
    if model.vocabulary() is None or model.vocabulary() != model.classes():
        raise InputError(f"--decode: this model, {type(model).__name__}, writes no tokens; leave it out")
    try:
        check_causal(model)
    except InputError as error:
        raise InputError(f"--decode: this model cannot write token by token: {str(error).lstrip(': ')}") from None
    if (length := sequences(run)["T"]) < 2:
        raise InputError(f"--decode: a sequence of {length} tokens leaves none to write; give --length 2 or more")


def spans(run: RunConfig) -> tuple[int, int]:
    """How many tokens the prompt has, half the length, and how many are written after it."""
    length = sequences(run)["T"]
    return length // 2, min(NEW, length - length // 2)


class Decoding:
    """A decoder for ``batch`` sequences and a random prompt for each."""

    def __init__(self, backend: Backend, run: RunConfig, weights: Weights, batch: int) -> None:
        model, weights = for_generation(run.model, weights)
        self.prompt, self.new = spans(run)
        inputs = dict(random_inputs(run.replace(model=model), batch, np.random.default_rng(0)))
        self.tokens = inputs.pop("tokens")[:, : self.prompt]
        self.first: dict[str, Any] = inputs
        length = max([self.prompt + self.new, *(array.shape[1] for array in inputs.values())])
        self.decoder = backend.decoder(model, weights, batch=batch, length=length, policy=run.policy)

    def round(self) -> Decoded:
        """Take in the prompts anew and write after them."""
        self.decoder.reset()
        began = time.perf_counter()
        logits = self.decoder.prefill(self.tokens, **self.first)
        read = time.perf_counter()
        self.decoder.write(logits.argmax(axis=-1).astype(np.int32), self.new, GREEDY)
        token = (time.perf_counter() - read) / self.new
        return Decoded(prefill=read - began, token=token)


def least_bytes(run: RunConfig, batch: int) -> int:
    """What must be read at least for one token of each sequence: the weights that a token meets, and the state.

    Weights count once for the whole batch, tables that are only looked up and an encoder's not at all, and of experts
    those of one token. The state is that of the sequence in the middle of what is written.
    """
    model, (prompt, new) = run.model.for_generation(), spans(run)
    counted = account(model, prompt + new // 2 or 1, dtype=run.policy.compute, batch=batch)
    once = [child.flops.weights for child in counted.root.children if child.name in model.stateless()]
    weights = (counted.root.flops.weights - sum(once)) / 2  # a multiply-add each
    return round(weights * DTYPES[run.policy.param].itemsize) + counted.state_bytes
