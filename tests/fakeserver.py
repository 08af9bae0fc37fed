"""An OpenAI-compatible server on loopback that fails on demand: what a vendor does on a bad day."""

from __future__ import annotations

import json
import math
import socket
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

SOON = {"retry-after-ms": "5"}


@dataclass(frozen=True)
class Play:
    """One response. `body` as a string is an answer's content; bytes are sent as they are.

    `places` are the probabilities of the answer's first tokens, place by place, the written one first.
    """

    body: str | bytes | None = "Yes"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    kind: str = "application/json"
    delay: float = 0.0
    hang_up: bool = False
    drip: float = 0.0  # seconds between bytes
    extra: dict[str, Any] = field(default_factory=dict)
    places: tuple[dict[str, float], ...] = ()

    def payload(self) -> bytes:
        if isinstance(self.body, bytes):
            return self.body
        message = {"role": "assistant", "content": self.body}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        if self.places:
            choice["logprobs"] = {"content": [_place(known) for known in self.places], "refusal": None}
        usage = {"prompt_tokens": 7, "completion_tokens": 2, "total_tokens": 9}
        base = {"id": "x", "object": "chat.completion", "created": 1, "model": "fake-1.2", "choices": [choice]}
        return json.dumps(base | {"usage": usage} | self.extra).encode()


def _place(known: dict[str, float]) -> dict[str, Any]:
    """One token with its alternatives, as OpenAI's API tells of it."""
    told = [
        {"token": token, "logprob": math.log(chance), "bytes": list(token.encode())} for token, chance in known.items()
    ]
    return {**told[0], "top_logprobs": told}


@dataclass
class Fake:
    """A running server and what it has seen."""

    url: str
    messages: list[str] = field(default_factory=list)  # user messages, one per request
    bodies: list[dict[str, Any]] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)
    answered: Counter[str] = field(default_factory=Counter)  # messages answered with 200
    lock: threading.Lock = field(default_factory=threading.Lock)


Behaviour = Callable[[str, int], Play]
"""User message and how often it was asked before -> what to do."""


Check = Callable[[str, dict[str, str], dict[str, Any]], Play | None]
"""Path, headers and body of a request -> the error that it earns, or None."""


def _handler(fake: Fake, behave: Behaviour, check: Check) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            try:
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            except (OSError, ValueError):
                return  # the client was killed in the middle of its request
            message = body["messages"][-1]["content"]
            headers = {name.lower(): value for name, value in self.headers.items()}
            with fake.lock:
                before = fake.messages.count(message)
                fake.messages.append(message)
                fake.bodies.append(body)
                fake.headers.append(headers)
                fake.times.append(time.monotonic())
            play = check(self.path, headers, body) or behave(message, before)
            time.sleep(play.delay)
            if play.hang_up:
                self.close_connection = True
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            try:
                self._send(play)
            except OSError:
                return  # the client has given up
            if play.status == 200:
                with fake.lock:
                    fake.answered[message] += 1

        def _send(self, play: Play) -> None:
            payload = play.payload()
            self.send_response(play.status)
            for name, value in {"content-type": play.kind, **play.headers}.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(payload)))
            self.end_headers()
            step = 1 if play.drip else max(1, len(payload))
            for start in range(0, len(payload), step):
                self.wfile.write(payload[start : start + step])
                time.sleep(play.drip)

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    block_on_close = False
    request_queue_size = 64


@contextmanager
def fake_server(behave: Behaviour = lambda _message, _before: Play(), check: Check = lambda *_: None) -> Iterator[Fake]:
    """Serve `behave` on a free loopback port; what `check` refuses doesn't get to it."""
    fake = Fake("")
    server = _Server(("127.0.0.1", 0), _handler(fake, behave, check))
    fake.url = f"http://127.0.0.1:{server.server_port}/v1"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield fake
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def closed_port() -> int:
    """A loopback port that nobody listens on."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        return int(holder.getsockname()[1])
