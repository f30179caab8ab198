"""What decoders write in one call is what they write token by token, and what the definitions write."""

import threading

import jax
import numpy as np
import pytest

from archlab.activations import Sigmoid, SiLU
from archlab.backends import find_backend
from archlab.block import Block
from archlab.channels.glu import GLU
from archlab.inits import Normal
from archlab.mixers.attention import Attention
from archlab.mixers.mamba2 import Mamba2
from archlab.model import Head, tiny_model
from archlab.norms import RMSNorm
from archlab.parity.cases import drawn_weights
from archlab.policy import Policy
from archlab.residuals import PreNorm
from archlab.rotary import RoPE
from archlab.sampling import Sampling
from archlab.score_bias import ALiBi
from archlab.serving.batching import Batcher, Request
from archlab.speculation import Speculator
from parity_tests.numpy_backend import NumpyBackend
from parity_tests.small_models import llama

BACKENDS = ("jax", "torch")
EXACT = Policy.exact()
GREEDY = Sampling(temperature=0.0)
PROMPT = np.array([[0, 0, 3, 9, 4, 1, 7], [5, 2, 8, 8, 0, 1, 6]], dtype=np.int32)
SEGMENTS = np.array([[0, 0, 1, 1, 1, 1, 1], [1] * 7], dtype=np.int32)
COUNT = 12
SIGHTS = {
    "grouped": {"window": None},
    "window": {"window": 5, "kv_heads": 1, "sink": Normal(std=1.0)},
    "chunk": {"window": None, "chunk": 4, "gate": Sigmoid()},
    "everything": {"window": None, "softcap": 2.0, "qk_norm": RMSNorm(epsilon=1e-6), "score_bias": ALiBi()},
}


def hybrid():
    """Layers with a cache and layers with a recurrent state."""
    norm = RMSNorm(epsilon=1e-5)
    mixer = Attention(
        heads=4, kv_heads=2, visibility="causal", bias=False, out_bias=False, rotary=RoPE(theta=1e4, layout="half")
    )
    channel = GLU(hidden=16, activation=SiLU(), bias=False)
    recurrent = next(example.spec for example in Mamba2.examples() if example.width == 16)
    layers = tuple(Block(mixer=m, channel=channel, residual=PreNorm(norm=norm)) for m in (mixer, recurrent))
    model = tiny_model(layer=layers[0], head=Head(bias=False), norm=norm)
    return model.replace(stack=model.stack.replace(pattern=layers))


MODELS = {"window": llama(), "cache": llama(window=None), "hybrid": hybrid()}


def weights_of(model, seed=3):
    return drawn_weights(model.root(), seed)


def decoder(backend, model, seed=3, length=PROMPT.shape[1] + COUNT, rows=len(PROMPT), policy=EXACT):
    made = NumpyBackend() if backend == "plain" else find_backend(backend)
    how = {} if backend == "plain" else {"policy": policy}
    return made.decoder(model, weights_of(model, seed), batch=rows, length=length, **how)


def written(decoder, sampling, sizes=(COUNT,), **prefill):
    tokens = sampling.draw(decoder.prefill(PROMPT, SEGMENTS, **prefill), 0).astype(np.int32)
    pieces = [tokens[:, None]]
    for size in sizes:
        first = sum(piece.shape[1] for piece in pieces)
        pieces.append(decoder.write(pieces[-1][:, -1], size, sampling, first=first))
    return np.concatenate(pieces, axis=1).tolist()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MODELS)
def test_many_tokens_in_one_call_are_what_the_definition_writes_one_by_one(backend, name):
    model = MODELS[name]
    for sampling in (GREEDY, Sampling(seed=4, top_k=7, top_p=0.9)):
        truth = written(decoder("plain", model), sampling)
        assert written(decoder(backend, model), sampling) == truth
        assert written(decoder(backend, model), sampling, sizes=(1, 4, COUNT - 5)) == truth


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MODELS)
def test_a_prompt_may_come_in_pieces(backend, name):
    whole, cut = decoder(backend, MODELS[name]), decoder(backend, MODELS[name])
    expected = whole.prefill(PROMPT, SEGMENTS)
    np.testing.assert_allclose(cut.prefill(PROMPT, SEGMENTS, piece=3), expected, rtol=1e-6, atol=1e-6)
    assert whole.seen == cut.seen == PROMPT.shape[1]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MODELS)
def test_a_draft_changes_no_greedy_text(backend, name):
    model, small = MODELS[name], MODELS["cache"]
    truth = written(decoder(backend, model), GREEDY)
    target, draft = decoder(backend, model), decoder(backend, small, seed=3 if model is small else 5)
    pieces = [GREEDY.draw(target.prefill(PROMPT, SEGMENTS), 0).astype(np.int32)[:, None]]
    draft.prefill(PROMPT, SEGMENTS)
    pair = Speculator(target, draft, GREEDY, lookahead=3)
    while (left := COUNT + 1 - sum(piece.shape[1] for piece in pieces)) > 0:
        pieces.append(pair.write(pieces[-1][:, -1], left))
    assert np.concatenate(pieces, axis=1).tolist() == truth
    assert (pair.tally.kept == pair.tally.proposed) == (model is small)


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_decoder_comes_back_to_its_mark(backend):
    one = decoder(backend, MODELS["hybrid"], length=40)
    one.prefill(PROMPT, SEGMENTS)
    mark, tokens = one.mark(), PROMPT[:, -1]
    before = one.write(tokens, 5, GREEDY)
    one.rewind(mark)
    assert one.write(tokens, 5, GREEDY).tolist() == before.tolist()


def course(decoder, prompt):
    """Logits after a whole prompt and after three further tokens, and what is written then."""
    after = [decoder.prefill(prompt), *np.moveaxis(decoder.score(prompt[:, :3]), 1, 0)]
    return np.stack(after), decoder.write(prompt[:, 3], 6, GREEDY).tolist()


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", SIGHTS)
def test_prompts_without_padding_and_single_rows_go_by_paths_of_their_own(backend, name):
    """Nothing is cached yet where a prompt comes first; the keys of one row are read before the new one is written."""
    model = llama(**SIGHTS[name])
    for rows in (1, 2):
        found, truth = (course(decoder(who, model, rows=rows), PROMPT[-rows:]) for who in (backend, "plain"))
        np.testing.assert_allclose(found[0], truth[0], rtol=1e-9, atol=1e-9)
        assert found[1] == truth[1]


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_decoder_that_was_reset_is_a_new_one(backend):
    one, new = (decoder(backend, MODELS["hybrid"]) for _ in range(2))
    course(one, PROMPT)
    one.reset()
    assert one.seen == 0
    for left, empty in zip(jax.tree.leaves(one.state), jax.tree.leaves(new.state), strict=True):
        np.testing.assert_array_equal(left, empty)
    np.testing.assert_array_equal(course(one, PROMPT[::-1])[0], course(new, PROMPT[::-1])[0])


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MODELS)
def test_requests_that_join_and_leave_a_batch_get_what_they_get_alone(backend, name):
    """Five requests of unequal length on two rows: they wait for each other, and take each other's places."""
    model = MODELS[name]
    prompts = [PROMPT[0, 2:], PROMPT[1], PROMPT[1, :2], PROMPT[0, 3:], PROMPT[1, 4:]]
    samplings = [GREEDY, Sampling(seed=4), Sampling(seed=5, top_k=7, top_p=0.9), GREEDY, Sampling(temperature=0.5)]
    truth = []
    for i, (prompt, sampling) in enumerate(zip(prompts, samplings, strict=True)):
        alone = decoder("plain", model, rows=1)
        first = sampling.draw(alone.prefill(prompt[None]), 0).astype(np.int32)
        truth.append([int(first[0]), *alone.write(first, 3 + 2 * i, sampling, first=1)[0].tolist()])

    batcher = Batcher(decoder(backend, model), vocab=model.vocab)
    requests = [
        Request(tokens=prompt, count=len(tokens), sampling=sampling)
        for prompt, sampling, tokens in zip(prompts, samplings, truth, strict=True)
    ]
    tickets = [batcher.submit(request) for request in requests[:3]]
    for _ in range(3):
        batcher.step()
    tickets += [batcher.submit(request) for request in requests[3:]]
    worker = threading.Thread(target=batcher.run)
    worker.start()
    try:
        assert [list(ticket) for ticket in tickets] == truth
    finally:
        batcher.close()
        worker.join()
    assert {ticket.reason for ticket in tickets} == {"length"}


@pytest.mark.parametrize("rows", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_a_compiled_decoder_sums_what_the_others_multiply(rows):
    model, prompt = MODELS["cache"], PROMPT[-rows:]
    plain, fast = (decoder("torch", model, rows=rows, policy=Policy(compile=on)) for on in (False, True))
    tokens = [d.write(GREEDY.draw(d.prefill(prompt), 0).astype(np.int32), COUNT - 1, GREEDY) for d in (plain, fast)]
    assert tokens[0].tolist() == tokens[1].tolist()
    again = prompt[:, :1]
    np.testing.assert_allclose(fast.score(again), plain.score(again), rtol=1e-5, atol=1e-5)
