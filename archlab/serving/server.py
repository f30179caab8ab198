"""``POST /v1/completions``: an HTTP server for one model, in the terms of OpenAI's API."""

import itertools
import json
import threading
import time
from collections.abc import Iterator
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

from archlab.config import Config
from archlab.errors import InputError
from archlab.generation import TextStream, new_tokens
from archlab.model import Model
from archlab.sampling import Sampling
from archlab.serving.batching import Batcher, Request, Ticket
from archlab.tokenizers import TrainedTokenizer

LARGEST = 1 << 20
"""Bytes of a request's body."""


class Completion(Config):
    """What is asked for: a text that continues ``prompt``.

    model
        The name of the model that is served, if any is given.
    max_tokens
        Null: 200, or as many as there is room for.
    temperature, top_k, top_p, seed
        See :class:`archlab.sampling.Sampling`.
    stream
        Whether pieces of the text are sent as they come.
    """

    prompt: str
    model: str | None = None
    max_tokens: int | None = None
    temperature: float = 1.0
    top_k: int | None = None
    top_p: float | None = None
    seed: int = 0
    stream: bool = False

    def check(self) -> None:
        self.require(self.max_tokens is None or self.max_tokens > 0, "max_tokens", "must be > 0 or null")
        self.into(Sampling)


class Server(ThreadingHTTPServer):
    """Serves one model under ``name``: connections have threads of their own, the model runs in one."""

    daemon_threads = True

    def __init__(
        self, address: tuple[str, int], *, name: str, model: Model, tokenizer: TrainedTokenizer, batcher: Batcher
    ) -> None:  # fmt: skip
        self.name, self.model, self.tokenizer, self.batcher = name, model, tokenizer, batcher
        self.numbers = itertools.count()
        try:
            super().__init__(address, Handler)
        except OSError as error:
            where = f"{address[0]}:{address[1]}"
            raise InputError(f"cannot serve at {where}: {error.strerror or error}; choose another --port") from None

    @property
    def url(self) -> str:
        host, port = self.server_address[:2]
        return f"http://{host!s}:{port}"

    def run(self) -> None:
        """Serve until ``shutdown()`` or an interrupt; raises what went wrong with the model."""
        failed: list[Exception] = []

        def work() -> None:
            try:
                self.batcher.run()
            except Exception as error:
                failed.append(error)
                self.shutdown()

        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        try:
            self.serve_forever()
        finally:
            self.batcher.close()
            worker.join()
            self.server_close()
        if failed:
            raise failed[0]

    def submit(self, asked: Completion) -> Ticket:
        """The ticket of a request; :class:`InputError` where it cannot be answered."""
        if asked.model not in (None, self.name):
            raise InputError(f"model: {asked.model!r} is not served here; this is {self.name!r}")
        tokens = np.asarray(self.tokenizer.encode(asked.prompt), dtype=np.int32)
        if not len(tokens):
            raise InputError("prompt: it is empty; give at least one character to continue")
        count = new_tokens(self.model, len(tokens), asked.max_tokens)
        if asked.max_tokens is None:
            count = max(1, min(count, self.batcher.length - len(tokens) + 1))
        return self.batcher.submit(Request(tokens=tokens, count=count, sampling=asked.into(Sampling)))


class Handler(BaseHTTPRequestHandler):
    """One request."""

    server: Server
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/health":
            self._answer({"status": "ok"})
        elif self.path == "/v1/models":
            self._answer({"object": "list", "data": [{"id": self.server.name, "object": "model"}]})
        else:
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no {self.path}; GET /v1/models or /health")

    def do_POST(self) -> None:
        if self.path != "/v1/completions":
            self._refuse(HTTPStatus.NOT_FOUND, f"there is no {self.path}; POST to /v1/completions")
            return
        try:
            asked = Completion.from_dict(self._body())
            ticket = self.server.submit(asked)
        except InputError as error:
            self._refuse(HTTPStatus.BAD_REQUEST, str(error))
            return
        try:
            (self._stream if asked.stream else self._complete)(ticket)
        except OSError:  # who asked has gone
            self.close_connection = True
        finally:
            ticket.cancel()

    def _complete(self, ticket: Ticket) -> None:
        try:
            text = "".join(self._pieces(ticket))
        except Exception as error:
            self._refuse(HTTPStatus.INTERNAL_SERVER_ERROR, str(error))
            return
        read, written = len(ticket.request.tokens), ticket.drawn
        used = {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written}
        self._answer({**self._answered(), **_choice(text, ticket.reason), "usage": used})

    def _stream(self, ticket: Ticket) -> None:
        """Server-sent events: pieces of text, the reason why it ended, and "[DONE]"."""
        self.close_connection = True  # the stream's length is not known before
        self._head("text/event-stream", {"Cache-Control": "no-cache"})
        answer = self._answered()
        try:
            for piece in self._pieces(ticket):
                self._event(answer | _choice(piece, None))
            self._event(answer | _choice("", ticket.reason))
        except OSError:
            raise
        except Exception as error:
            self._event({"error": _error(str(error), HTTPStatus.INTERNAL_SERVER_ERROR)})
        self.wfile.write(b"data: [DONE]\n\n")

    def _pieces(self, ticket: Ticket) -> Iterator[str]:
        """The text as it comes; bytes of an unfinished character wait for the rest."""
        found: list[str] = []
        stream = TextStream(self.server.tokenizer, 0, lambda _, piece: found.append(piece))
        for token in ticket:
            stream.add(token)
            yield from found
            found.clear()
        stream.finish()
        yield from found

    def _body(self) -> Any:
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            raise InputError(f"Content-Length is {length or 'missing'}; send at most {LARGEST:,} bytes of JSON")
        try:
            return json.loads(self.rfile.read(int(length)))
        except ValueError as error:
            raise InputError(f"the body is no JSON: {error}") from None

    def _answered(self) -> dict[str, Any]:
        """What all pieces of an answer begin with."""
        number = f"cmpl-{next(self.server.numbers)}"
        return {"id": number, "object": "text_completion", "created": int(time.time()), "model": self.server.name}

    def _answer(self, content: Any, status: HTTPStatus = HTTPStatus.OK) -> None:
        body = json.dumps(content, ensure_ascii=False).encode()
        self._head("application/json", {"Content-Length": str(len(body))}, status)
        self.wfile.write(body)

    def _refuse(self, status: HTTPStatus, message: str) -> None:
        self.close_connection = True  # a body that was not read must not be taken for the next request
        self._answer({"error": _error(message, status)}, status)

    def _event(self, content: Any) -> None:
        self.wfile.write(b"data: " + json.dumps(content, ensure_ascii=False).encode() + b"\n\n")

    def _head(self, kind: str, fields: dict[str, str], status: HTTPStatus = HTTPStatus.OK) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, **fields}.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Nothing: who asks is told, and nobody else."""


def _choice(text: str, reason: str | None) -> dict[str, Any]:
    return {"choices": [{"index": 0, "text": text, "finish_reason": reason}]}


def _error(message: str, status: HTTPStatus) -> dict[str, str]:
    return {"message": message, "type": "invalid_request_error" if status < 500 else "server_error"}
