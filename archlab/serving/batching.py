"""Continuous batching: requests join the batch of a decoder and leave it at any token."""

import queue
import threading
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from archlab.decoding import Decoder
from archlab.errors import InputError
from archlab.generation import padded
from archlab.sampling import Sampling

MULTIPLE = 32
"""Prompts are padded to multiples of it: what a backend compiles for one length serves others too."""


@dataclass(frozen=True, kw_only=True)
class Request:
    """``count`` tokens to be written after ``tokens`` (T,); fewer where a token that ends texts comes before."""

    tokens: np.ndarray
    count: int
    sampling: Sampling


class Ticket:
    """A request on its way. Iterating over it gives its tokens as they come."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.reason: Literal["stop", "length"] | None = None  # why it ended
        self.cancelled = False
        self.drawn, self.last = 0, 0
        self._tokens: queue.SimpleQueue[int | Exception | None] = queue.SimpleQueue()

    def __iter__(self) -> Iterator[int]:
        while (token := self._tokens.get()) is not None:
            if isinstance(token, Exception):
                raise token
            yield token

    def cancel(self) -> None:
        """Nobody waits for it any more; its place goes to another."""
        self.cancelled = True

    def give(self, token: int) -> None:
        self.drawn, self.last = self.drawn + 1, token
        self._tokens.put(token)

    def end(self, reason: Literal["stop", "length"]) -> None:
        self.reason = reason
        self._tokens.put(None)

    def fail(self, error: Exception) -> None:
        self._tokens.put(error)


class Batcher:
    """As many requests at a time as a decoder has sequences; the others wait in the order they came.

    A request gets the tokens that it would get alone: rows know nothing of each other, and its draws are numbered by
    itself. ``vocab`` is how many of the model's tokens may be drawn, ``stop`` which of them end a text.
    """

    def __init__(self, decoder: Decoder, *, vocab: int, stop: Collection[int] = ()) -> None:
        self._decoder, self._vocab, self._stop = decoder, vocab, stop
        self._rows: list[Ticket | None] = [None] * decoder.batch
        self._waiting: deque[Ticket] = deque()
        self._changed, self._closed = threading.Condition(), False

    @property
    def length(self) -> int:
        """How many tokens a sequence has places for; the last one of a text needs none."""
        return self._decoder.length

    def submit(self, request: Request) -> Ticket:
        """Queue a request; :class:`InputError` where it does not fit."""
        prompt, length = len(request.tokens), self.length
        if prompt + request.count - 1 > length:
            raise InputError(
                f"a prompt of {prompt} tokens and {request.count} new ones do not fit the {length} places of a "
                "sequence here; ask for fewer, or serve with a larger --length"
            )
        ticket = Ticket(request)
        with self._changed:
            if self._closed:
                raise InputError("the server is stopping; ask another one")
            self._waiting.append(ticket)
            self._changed.notify()
        return ticket

    def run(self) -> None:
        """Serve until :meth:`close`; what goes wrong here goes to all who wait, too."""
        error: Exception = InputError("the server has stopped; ask another one")
        try:
            while self._wait():
                self.step()
        except Exception as wrong:
            error = wrong
            raise
        finally:
            self.close()
            for ticket in (*filter(None, self._rows), *self._waiting):
                ticket.fail(error)

    def close(self) -> None:
        """Let :meth:`run` come to its end."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def step(self) -> None:
        """Let in who waits, as far as there are free rows; then one more token for everybody."""
        for row, ticket in enumerate(self._rows):
            if ticket is not None and ticket.cancelled:
                self._rows[row] = None
            while self._rows[row] is None and self._waiting:
                self._admit(row, self._waiting.popleft())
        if not any(self._rows):
            return
        for row, ticket in enumerate(self._rows):
            if ticket is None:
                self._decoder.release(row)
        last = [0 if ticket is None else ticket.last for ticket in self._rows]
        logits = self._decoder.step(np.array(last, dtype=np.int32))
        for row, ticket in enumerate(self._rows):
            if ticket is not None:
                self._rows[row] = self._draw(ticket, logits[row])

    def _wait(self) -> bool:
        """Whether to go on, once there is something to do."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._waiting or any(self._rows))
            return not self._closed

    def _admit(self, row: int, ticket: Ticket) -> None:
        if not ticket.cancelled:
            logits = self._decoder.admit(row, *self._padded(ticket.request))
            self._rows[row] = self._draw(ticket, logits)

    def _padded(self, request: Request) -> tuple[np.ndarray, np.ndarray | None]:
        """The prompt (1, T), padded on the left as far as there is room, and its segments; None without padding."""
        room = self.length - (request.count - 1)
        wanted = -(-len(request.tokens) // MULTIPLE) * MULTIPLE
        return padded([request.tokens], left=True, least=min(wanted, room))

    def _draw(self, ticket: Ticket, logits: np.ndarray) -> Ticket | None:
        """Give the next token, drawn from logits (V,); the ticket if it goes on."""
        request = ticket.request
        token = int(request.sampling.draw(logits[None, : self._vocab], ticket.drawn)[0])
        if token in self._stop:
            ticket.end("stop")
            return None
        ticket.give(token)
        if ticket.drawn < request.count:
            return ticket
        ticket.end("length")
        return None
