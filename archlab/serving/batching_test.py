import threading

import numpy as np
import pytest

from archlab.errors import InputError
from archlab.generation_test import GREEDY, alphabet
from archlab.serving.batching import Batcher, Request
from archlab.testing.bigram import BigramDecoder


class Counting(BigramDecoder):
    """It notes the prompts it takes in, and how many tokens are fed to it at a time."""

    def __init__(self, *arguments, **sizes):
        super().__init__(*arguments, **sizes)
        self.admitted, self.fed = [], []

    def admit(self, row, tokens, segments=None):
        self.admitted.append((row, tokens.shape[1]))
        return super().admit(row, tokens, segments)

    def step(self, tokens):
        self.fed.append(tokens.tolist())
        return super().step(tokens)


def batcher(rows=2, length=100, stop=(), decoder=Counting):
    made = decoder(*alphabet(), batch=rows, length=length)
    return made, Batcher(made, vocab=8, stop=stop)


def ask(letters, count):
    return Request(tokens=np.array(letters, dtype=np.int32), count=count, sampling=GREEDY)


def run(batcher, steps):
    for _ in range(steps):
        batcher.step()


def test_a_row_is_taken_as_soon_as_it_is_free():
    decoder, batch = batcher()
    tickets = [batch.submit(ask(letters, count)) for letters, count in (([0], 2), ([3], 5), ([5, 6], 3))]
    run(batch, 4)
    assert [list(ticket) for ticket in tickets] == [[1, 2], [4, 5, 6, 7, 0], [7, 0, 1]]
    assert [row for row, _ in decoder.admitted] == [0, 1, 0]
    assert decoder.fed == [[1, 4], [7, 5], [0, 6], [0, 7]]  # a free row is fed a 0
    run(batch, 2)
    assert len(decoder.fed) == 4  # nobody is there


def test_a_token_that_ends_texts_is_not_given():
    _, batch = batcher(stop=(3,))
    ticket = batch.submit(ask([0], 9))
    run(batch, 3)
    assert (list(ticket), ticket.reason) == ([1, 2], "stop")


def test_prompts_are_padded_where_there_is_room():
    decoder, batch = batcher(rows=4, length=50)
    for tokens, count in (([0] * 5, 2), ([0] * 32, 2), ([0] * 33, 10), ([0] * 50, 1)):
        batch.submit(ask(tokens, count))
    batch.step()
    assert [length for _, length in decoder.admitted] == [32, 32, 41, 50]
    with pytest.raises(InputError, match=r"a prompt of 50 tokens and 2 new ones do not fit the 50 places .* --length"):
        batch.submit(ask([0] * 50, 2))


def test_rows_may_serve_for_longer_than_one_sequence_has_places():
    decoder, batch = batcher(rows=2, length=40)
    for _ in range(5):
        ticket = batch.submit(ask([0], 9))
        run(batch, 9)
        assert len(list(ticket)) == 9
    assert len(decoder.fed) == 40


def test_who_does_not_wait_any_more_gives_his_row_to_another():
    decoder, batch = batcher(rows=1)
    gone, queued, other = (batch.submit(ask([letter], 50)) for letter in range(3))
    batch.step()
    gone.cancel()
    queued.cancel()
    batch.step()
    assert decoder.fed == [[1], [3]] and len(decoder.admitted) == 2
    assert other.drawn == 2


def test_what_goes_wrong_reaches_all_who_wait():
    class Broken(BigramDecoder):
        def step(self, tokens):
            raise ZeroDivisionError("bug")

    _, batch = batcher(rows=1, decoder=Broken)
    tickets = [batch.submit(ask([0], 5)) for _ in range(2)]
    with pytest.raises(ZeroDivisionError):
        batch.run()
    for ticket in tickets:
        with pytest.raises(ZeroDivisionError, match="bug"):
            list(ticket)
    with pytest.raises(InputError, match="the server is stopping"):
        batch.submit(ask([0], 5))


def test_a_batcher_that_is_closed_leaves_nobody_waiting():
    _, batch = batcher(rows=1)
    worker = threading.Thread(target=batch.run)
    worker.start()
    assert list(batch.submit(ask([0], 2))) == [1, 2]
    batch.close()
    worker.join(timeout=10)
    assert not worker.is_alive()
