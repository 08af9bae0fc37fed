"""A vendor on a bad day, in a process of its own: every response is late, one in ten says 429, one in fifty 500.

Speaks chat completions and Anthropic's messages, by the path that is asked. Which try of which message fails hangs on a
hash of the two: runs meet the same faults in whatever order they ask. It counts, and tells at /report.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import sys
import time
from collections import Counter

DELAY, BUSY, BROKEN, RETRY_AFTER = 0.1, 0.10, 0.02, "0.1"
LIFETIME = 300.0  # seconds; it ends by itself should nobody end it
_REASONS = {200: "OK", 429: "Too Many Requests", 500: "Internal Server Error"}
_USAGE = {"prompt_tokens": 60, "completion_tokens": 1, "total_tokens": 61}
_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Yes"}, "finish_reason": "stop"}
COMPLETION = {"id": "x", "object": "chat.completion", "created": 1, "model": "bad-1", "choices": [_CHOICE]}
MESSAGE = {
    "id": "msg_01",
    "type": "message",
    "role": "assistant",
    "model": "bad-1",
    "content": [{"type": "text", "text": "Yes"}],
    "stop_reason": "end_turn",
    "stop_sequence": None,
    "usage": {"input_tokens": 60, "output_tokens": 1},
}
BODIES = {
    "/v1/chat/completions": json.dumps(COMPLETION | {"usage": _USAGE}).encode(),
    "/v1/messages": json.dumps(MESSAGE).encode(),
}


class Day:
    """What was asked and what was said."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.statuses: Counter[int] = Counter()
        self.under_way = self.most = 0

    def status(self, message: str) -> int:
        """What this try of a message gets."""
        coin = hashlib.blake2b(f"{self.asked[message]} {message}".encode(), digest_size=8).digest()
        luck = int.from_bytes(coin, "big") / 2**64
        return 429 if luck < BUSY else 500 if luck < BUSY + BROKEN else 200

    def report(self) -> dict[str, float]:
        """Counts of the day, and the CPU seconds that it cost."""
        return {
            "requests": self.asked.total(),
            "busy": self.statuses[429],
            "broken": self.statuses[500],
            "answered": len(self.answered),
            "repeated": self.answered.total() - len(self.answered),
            "most_under_way": self.most,
            "cpu": time.process_time(),
        }


class Talk(asyncio.Protocol):
    """One connection, requests one after the other."""

    def __init__(self, day: Day) -> None:
        self.day, self.held = day, b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.held += data
        head, end, rest = self.held.partition(b"\r\n\r\n")
        if not end:
            return
        lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines[1:])}
        length = int(headers.get("content-length", 0))
        if len(rest) < length:
            return
        self.held = rest[length:]
        path = lines[0].split(" ")[1]
        if path == "/report":
            self._send(200, json.dumps(self.day.report()).encode())
        else:
            self._take(path, json.loads(rest[:length])["messages"][-1]["content"])

    def _take(self, path: str, message: str) -> None:
        day = self.day
        status = day.status(message)
        day.asked[message] += 1
        day.under_way += 1
        day.most = max(day.most, day.under_way)
        asyncio.get_running_loop().call_later(DELAY, self._answer, path, message, status)

    def _answer(self, path: str, message: str, status: int) -> None:
        self.day.under_way -= 1
        self.day.statuses[status] += 1
        if status == 200:
            self.day.answered[message] += 1
        self._send(status, BODIES[path] if status == 200 else b'{"error": {"message": "later"}}')

    def _send(self, status: int, body: bytes) -> None:
        more = f"retry-after: {RETRY_AFTER}\r\n" if status == 429 else ""
        head = f"HTTP/1.1 {status} {_REASONS[status]}\r\ncontent-type: application/json\r\n{more}"
        self.transport.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)  # type: ignore[attr-defined]


async def serve() -> None:
    """Serve on a free port of loopback, which is printed; until the standard input ends."""
    day, loop = Day(), asyncio.get_running_loop()
    server = await loop.create_server(lambda: Talk(day), "127.0.0.1", 0, backlog=256)
    print(server.sockets[0].getsockname()[1], flush=True)
    async with asyncio.timeout(LIFETIME):
        await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(serve())
