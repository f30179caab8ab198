import http.client
import json
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from archlab.errors import InputError
from archlab.generation_test import TOKENIZER, alphabet
from archlab.serving.batching import Batcher
from archlab.serving.server import LARGEST, Server
from archlab.testing.bigram import BigramDecoder


class Failing(BigramDecoder):
    def step(self, tokens):
        raise ZeroDivisionError("bug")


def begun(decoder=BigramDecoder, stop=()):
    model, weights = alphabet()
    batcher = Batcher(decoder(model, weights, batch=3, length=64), vocab=8, stop=stop)
    return Server(("127.0.0.1", 0), name="letters", model=model, tokenizer=TOKENIZER, batcher=batcher)


@pytest.fixture
def server():
    made = begun()
    worker = threading.Thread(target=made.run)
    worker.start()
    yield made
    made.shutdown()
    worker.join(timeout=10)
    assert not worker.is_alive()


def ask(server, method, path, body=None, **headers):
    """(status, body)"""
    connection = http.client.HTTPConnection(*server.server_address, timeout=20)
    content = json.dumps(body) if isinstance(body, dict) else body
    connection.request(method, path, content, headers)
    answer = connection.getresponse()
    text = answer.read().decode()
    return answer.status, json.loads(text) if answer.headers["Content-Type"] == "application/json" else text


def complete(server, **body):
    return ask(server, "POST", "/v1/completions", body)


def test_a_text_with_what_it_took(server):
    status, answer = complete(server, prompt="abc", max_tokens=4, temperature=0, model="letters")
    assert status == 200 and answer["object"] == "text_completion" and answer["model"] == "letters"
    assert answer["choices"] == [{"index": 0, "text": "defg", "finish_reason": "length"}]
    assert answer["usage"] == {"prompt_tokens": 3, "completion_tokens": 4, "total_tokens": 7}
    assert ask(server, "GET", "/v1/models")[1]["data"] == [{"id": "letters", "object": "model"}]
    assert ask(server, "GET", "/health") == (200, {"status": "ok"})


def test_without_a_number_of_tokens_it_is_what_there_is_room_for(server):
    assert complete(server, prompt="abcd" * 10)[1]["usage"]["total_tokens"] == 65
    assert "do not fit the 64 places" in complete(server, prompt="abcde" * 13)[1]["error"]["message"]


def test_more_requests_than_rows_at_once(server):
    def one(i):
        return complete(server, prompt="abcdefgh"[i % 8], max_tokens=5 + i, temperature=0)[1]["choices"][0]["text"]

    with ThreadPoolExecutor(12) as pool:
        texts = list(pool.map(one, range(12)))
    assert texts == [("abcdefgh" * 4)[i % 8 + 1 :][: 5 + i] for i in range(12)]


def test_equal_seeds_draw_equally(server):
    def text(seed):
        body = {"prompt": "ab", "max_tokens": 30, "temperature": 4.0, "seed": seed}
        return complete(server, **body)[1]["choices"][0]["text"]

    assert text(1) == text(1) != text(2)


def test_a_stream_of_pieces(server):
    status, events = complete(server, prompt="abc", max_tokens=4, temperature=0, stream=True)
    lines = [line.removeprefix("data: ") for line in events.split("\n\n") if line]
    assert status == 200 and lines.pop() == "[DONE]"
    pieces = [json.loads(line) for line in lines]
    assert [piece["choices"][0]["text"] for piece in pieces] == ["d", "e", "f", "g", ""]
    assert [piece["choices"][0]["finish_reason"] for piece in pieces] == [None] * 4 + ["length"]
    assert len({piece["id"] for piece in pieces}) == 1


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"prompt": ""}, "prompt: it is empty"),
        ({}, "prompt: this field of Completion is required"),
        ({"prompt": "a", "max_token": 3}, "max_token: .*did you mean 'max_tokens'"),
        ({"prompt": "a", "temperature": -1}, "temperature: -1.0 must be ≥ 0"),
        ({"prompt": "a", "temperature": "hot"}, "temperature: "),
        ({"prompt": "a", "max_tokens": 0}, "max_tokens: 0 must be > 0"),
        ({"prompt": "a", "max_tokens": 90}, "do not fit the 64 places"),
        ({"prompt": "a?"}, "'[?]'"),
        ({"prompt": "a", "model": "numbers"}, "model: 'numbers' is not served here; this is 'letters'"),
        ("[1]", "is not a mapping"),
        ("{", "the body is no JSON"),
    ],
)
def test_what_cannot_be_answered_is_refused_in_one_sentence(server, body, message):
    status, answer = ask(server, "POST", "/v1/completions", body)
    assert status == 400 and answer["error"]["type"] == "invalid_request_error"
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(answer["error"]["message"])


def test_paths_and_sizes_that_are_not_taken(server):
    assert ask(server, "GET", "/")[0] == ask(server, "POST", "/v1/chat/completions", {})[0] == 404
    status, answer = ask(server, "POST", "/v1/completions", None, **{"Content-Length": str(LARGEST + 1)})
    assert status == 400 and "send at most 1,048,576 bytes" in answer["error"]["message"]


def test_an_error_of_the_model_is_told_and_ends_the_server():
    server, ended = begun(Failing), []

    def run():
        with pytest.raises(ZeroDivisionError):
            server.run()
        ended.append(True)

    worker = threading.Thread(target=run)
    worker.start()
    status, answer = complete(server, prompt="a", max_tokens=3)
    worker.join(timeout=10)
    assert (status, answer["error"], ended) == (500, {"message": "bug", "type": "server_error"}, [True])


def test_an_address_that_is_taken(server):
    model, weights = alphabet()
    batcher = Batcher(BigramDecoder(model, weights, batch=1, length=8), vocab=8)
    address = server.server_address
    with pytest.raises(InputError, match=f"cannot serve at 127.0.0.1:{address[1]}: .*; choose another --port"):
        Server(address, name="x", model=model, tokenizer=TOKENIZER, batcher=batcher)
