"""Text from a trained model, token by token, on any backend."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from archlab.backends import Backend
from archlab.decoding import Decoder
from archlab.errors import InputError
from archlab.model import Model, check_causal
from archlab.models.encoder_decoder import EncoderDecoder
from archlab.policy import Policy
from archlab.sampling import Sampling
from archlab.spec import schema
from archlab.speculation import Speculator
from archlab.tokenizers import TrainedTokenizer
from archlab.weights import Weights

DEFAULT_NEW_TOKENS = 200
LONGEST_PIECE = 32
"""Tokens written at a time, without a look at what they say: a stop token is seen after that many at the latest."""


@dataclass(frozen=True, kw_only=True)
class Generation:
    """A prompt and what the model wrote after it."""

    prompt: str
    text: str
    tokens: list[int]


@dataclass(frozen=True, kw_only=True)
class Draft:
    """A smaller model of the same vocabulary that proposes ``lookahead`` tokens at a time."""

    model: Model
    weights: Weights
    lookahead: int = 4


def generate(
    backend: Backend,
    model: Model,
    weights: Weights,
    tokenizer: TrainedTokenizer,
    prompts: Sequence[str],
    *,
    sources: Sequence[str] | None = None,
    max_new_tokens: int | None = None,
    stop: Sequence[int] = (),
    sampling: Sampling = Sampling(),
    policy: Policy = Policy(),
    draft: Draft | None = None,
    on_text: Callable[[int, str], None] = lambda index, piece: None,
) -> list[Generation]:
    """Continue every prompt by ``max_new_tokens`` tokens, all of them as one batch.

    Without ``max_new_tokens`` it is :data:`DEFAULT_NEW_TOKENS`, or what the model's positions leave after the
    longest prompt. A row ends before a token of ``stop``. ``on_text(i, piece)`` is called with each new piece of text
    of prompt i. Prompts of unequal length are padded on the left; the padding changes nothing.

    With a ``draft`` the tokens are those that a smaller model proposes and this one accepts
    (:mod:`archlab.speculation`): the same ones where the temperature is 0, and elsewhere other draws, equally
    distributed.

    An encoder-decoder reads ``sources``, one for each prompt; its prompts are how what it writes begins, and may be
    empty: its start token comes first.
    """
    model, weights = for_generation(model, weights)
    check_causal(model)
    first = _sources(model, tokenizer, prompts, sources)
    encoded = [_begun(model, tokenizer, prompt) for prompt in prompts]
    longest = max((len(ids) for ids in encoded), default=0)
    count = new_tokens(model, longest, max_new_tokens)
    tokens, segments = padded(encoded, left=True)
    length = max([longest + count, *(array.shape[1] for array in first.values())])
    decoder = backend.decoder(model, weights, batch=len(prompts), length=length, policy=policy)
    streams = [TextStream(tokenizer, i, on_text) for i in range(len(prompts))]
    # a vocabulary may be larger than the tokenizer's: those tokens mean nothing and are never drawn
    vocab = tokenizer.vocab_size
    drawn = sampling.draw(decoder.prefill(tokens, segments, **first)[:, :vocab], 0)[:, None].astype(np.int32)
    if draft is None:
        rest = _written(decoder, drawn[:, 0], count - 1, sampling, vocab)
    else:
        proposing, lighter = for_generation(draft.model, draft.weights)
        check_draft(model, proposing)
        small = backend.decoder(proposing, lighter, batch=len(prompts), length=length, policy=policy)
        small.prefill(tokens, segments)
        pair = Speculator(decoder, small, sampling, lookahead=draft.lookahead, vocab=vocab)
        rest = _speculated(pair, drawn[:, 0], count - 1)
    for piece in itertools.chain([drawn], rest):
        _read(streams, piece, stop)
        if all(stream.ended for stream in streams):
            break
    return [Generation(prompt=p, text=s.finish(), tokens=s.ids) for p, s in zip(prompts, streams, strict=True)]


def for_generation(model: Model, weights: Weights) -> tuple[Model, Weights]:
    """A model without what only its training needs, and the weights that are left."""
    model = model.for_generation()
    return model, {path: weights[path] for path in schema(model.root())}


def pieces(count: int) -> Iterator[int]:
    """``count`` tokens in pieces: 1, 2, 4, … so that text begins to come at once, then :data:`LONGEST_PIECE`."""
    size = 1
    while count > 0:
        yield min(size, count)
        count, size = count - size, min(2 * size, LONGEST_PIECE)


def _written(decoder: Decoder, tokens: np.ndarray, count: int, sampling: Sampling, vocab: int) -> Iterator[np.ndarray]:
    """(B, n) tokens after ``tokens`` (B,), ``count`` in all."""
    first = 1
    for piece in pieces(count):
        drawn = decoder.write(tokens, piece, sampling, first=first, vocab=vocab)
        yield drawn
        tokens, first = drawn[:, -1], first + piece


def _speculated(pair: Speculator, tokens: np.ndarray, count: int) -> Iterator[np.ndarray]:
    """(B, n) tokens after ``tokens`` (B,), ``count`` in all."""
    while count > 0:
        drawn = pair.write(tokens, count)
        yield drawn
        tokens, count = drawn[:, -1], count - drawn.shape[1]


def check_draft(model: Model, draft: Model) -> None:
    """Raise :class:`InputError` unless ``draft`` can propose tokens to ``model``."""
    check_causal(draft)
    for role, one in (("model", model), ("draft", draft)):
        if isinstance(one, EncoderDecoder):
            raise InputError(f"the {role} is an encoder-decoder; a draft proposes to models that read tokens alone")
    mine, theirs = model.inputs()["tokens"].below, draft.inputs()["tokens"].below
    if mine != theirs:
        raise InputError(f"the draft knows {theirs} tokens, the model {mine}; a draft needs the model's own tokenizer")


def _read(streams: "Sequence[TextStream]", drawn: np.ndarray, stop: Sequence[int]) -> None:
    """Add tokens (B, n) to the texts, up to a token of ``stop``."""
    for stream, row in zip(streams, drawn, strict=True):
        for token in row.tolist():
            stream.ended |= token in stop
            if not stream.ended:
                stream.add(token)


def _begun(model: Model, tokenizer: TrainedTokenizer, prompt: str) -> np.ndarray:
    """The tokens of a prompt; an encoder-decoder's begin with its start token."""
    if not isinstance(model, EncoderDecoder):
        return _encode(tokenizer, prompt)
    return np.array([model.start, *(tokenizer.encode(prompt) if prompt else ())], dtype=np.int32)


def _sources(
    model: Model, tokenizer: TrainedTokenizer, prompts: Sequence[str], sources: Sequence[str] | None
) -> dict[str, Any]:
    """What an encoder reads: tokens (B, S), padded on the right, and their segments."""
    if not isinstance(model, EncoderDecoder):
        if sources is not None:
            raise InputError(f"a {type(model).__name__} reads no sources; leave them out")
        return {}
    if sources is None or len(sources) != len(prompts):
        count = "none" if sources is None else str(len(sources))
        raise InputError(f"an encoder-decoder needs a source for each of the {len(prompts)} prompts; {count} are given")
    if model.source is not None and "source_tokens" not in model.inputs():
        raise InputError(f"model.source: a {type(model.source).__name__} reads no text; use the backend's decoder")
    tokens, segments = padded([_encode(tokenizer, source) for source in sources], left=False)
    return {"source_tokens": tokens, "source_segments": np.ones_like(tokens) if segments is None else segments}


def _encode(tokenizer: TrainedTokenizer, prompt: str) -> np.ndarray:
    ids = np.asarray(tokenizer.encode(prompt), dtype=np.int32)
    if len(ids) == 0:
        raise InputError("the prompt is empty; give at least one character to continue")
    return ids


def new_tokens(model: Model, prompt: int, asked: int | None) -> int:
    """How many tokens to write after ``prompt`` ones: as asked, or as the model's positions allow."""
    if prompt == 0:
        raise InputError("there is no prompt; give at least one")
    if asked is not None and asked < 1:
        raise InputError(f"max_new_tokens is {asked}; it must be > 0")
    limit = model.limit()
    if limit is None:
        return asked or DEFAULT_NEW_TOKENS
    if prompt >= limit:
        raise InputError(f"the prompt has {prompt} tokens, but the model knows only {limit} positions; shorten it")
    if asked is not None and prompt + asked > limit:
        raise InputError(
            f"a prompt of {prompt} tokens and {asked} new ones exceed the model's {limit} positions; "
            f"ask for at most {limit - prompt} new tokens"
        )
    return asked or min(DEFAULT_NEW_TOKENS, limit - prompt)


def padded(rows: Sequence[np.ndarray], *, left: bool, least: int = 0) -> tuple[np.ndarray, np.ndarray | None]:
    """(B, T) tokens, padded on the left or on the right, and segments with 0 for padding; None where nothing is.

    T is the length of the longest row, and ``least`` at least.
    """
    longest = max(least, *(len(ids) for ids in rows))
    tokens = np.zeros((len(rows), longest), dtype=np.int32)
    segments = np.zeros_like(tokens)
    for i, ids in enumerate(rows):
        start = longest - len(ids) if left else 0
        tokens[i, start : start + len(ids)] = ids
        segments[i, start : start + len(ids)] = 1
    return tokens, segments if (segments == 0).any() else None


class TextStream:
    """Turns tokens into text as they come; bytes of an unfinished character wait for the rest."""

    def __init__(self, tokenizer: TrainedTokenizer, index: int, on_text: Callable[[int, str], None]) -> None:
        self.ids: list[int] = []
        self.ended = False
        self._tokenizer, self._index, self._on_text = tokenizer, index, on_text
        self._sent = 0

    def add(self, token: int) -> None:
        self.ids.append(token)
        self._send(self._tokenizer.decode(self.ids).rstrip("\ufffd"))

    def finish(self) -> str:
        """The whole text; what still waited is sent as it is."""
        text = self._tokenizer.decode(self.ids)
        self._send(text)
        return text

    def _send(self, text: str) -> None:
        if len(text) > self._sent:
            self._on_text(self._index, text[self._sent :])
            self._sent = len(text)
