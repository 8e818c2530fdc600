"""The door at which onlookers ask: HTTP on 127.0.0.1, GET only, with a token, one answer a connection.

Belongs here: sockets and limits. Never: what is told (state.py). Nothing that comes in here can change, hold
up or end what is served.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

from twinloop.scenarios.text.errors import ScenarioError

if TYPE_CHECKING:
    from twinloop.scenarios.onlookers.state import State

HOST = "127.0.0.1"
CONNECTIONS_MAX = 16
"""at a time; one more is refused with 503"""
REQUEST_BYTES_MAX, REQUEST_S = 4096, 5.0
"""of a request up to its empty line, and how long it may take to come"""
ANSWER_S = 5.0
"""for an onlooker to read its answer; who is slower is cut off"""
FAREWELL_S, WATCHES_S = 3.0, 3.0
"""how long the door stays open for who looks on to hear of the end, and since when it must have asked"""
WHO_MAX = 64
"""letters of an onlooker's name"""
_REASONS = {
    200: "OK",
    400: "Bad Request",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    431: "Request Header Fields Too Large",
    503: "Service Unavailable",
}


class Door:
    """One, for a state. ``open`` it inside a running loop, ``close`` it when done."""

    def __init__(self, state: State) -> None:
        self._state, self._token = state, secrets.token_urlsafe(24)
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._onlookers: dict[str, float] = {}
        """who has asked, and hasn't heard of the end -> when last"""

    async def open(self, port: int) -> str:
        """Listen (port 0: any that is free); returns the URL with the token. Raises ScenarioError."""
        try:
            self._server = await asyncio.start_server(
                self._come, HOST, port, limit=REQUEST_BYTES_MAX, backlog=CONNECTIONS_MAX
            )
        except OSError as error:
            raise ScenarioError(
                "--watch-port", None, "", f"{HOST}:{port}: {error.strerror or error}"
            ) from error
        bound: Any = self._server.sockets[0].getsockname()
        return f"http://{HOST}:{bound[1]}/?token={self._token}"

    async def farewell(self) -> None:
        """Whoever looks on gets the end to see, unless it doesn't ask for it in time."""
        ends = time.monotonic() + FAREWELL_S
        while time.monotonic() < ends and any(
            asked > time.monotonic() - WATCHES_S for asked in self._onlookers.values()
        ):
            await asyncio.sleep(0.02)

    async def close(self) -> None:
        """Nobody can ask any more, and who is being answered is cut off."""
        if self._server is None:
            return
        self._server.close()
        for writer in list(self._writers):
            writer.transport.abort()
        await self._server.wait_closed()

    # ---- one connection --------------------------------------------------------------------------
    async def _come(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._writers) >= CONNECTIONS_MAX:
            writer.write(_answer(503, _error(f"{CONNECTIONS_MAX} connections stand already")))
            writer.close()
            return
        self._writers.add(writer)
        try:
            async with asyncio.timeout(REQUEST_S):
                answer = await self._hear(reader)
            async with asyncio.timeout(ANSWER_S):
                writer.transport.set_write_buffer_limits(0)  # drained: all of it is the system's
                writer.write(answer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (TimeoutError, OSError, EOFError):
            writer.transport.abort()
        finally:
            self._writers.discard(writer)

    async def _hear(self, reader: asyncio.StreamReader) -> bytes:
        """The answer to one request."""
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            return _answer(431, _error(f"a request has {REQUEST_BYTES_MAX} bytes at most"))
        words = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ")
        if len(words) != 3 or not words[2].startswith("HTTP/1."):
            return _answer(400, _error("expected an HTTP/1.1 request"))
        try:
            url = urlsplit(words[1])
            asked = {key: some[-1] for key, some in parse_qs(url.query, max_num_fields=8).items()}
            after, device = int(asked.get("after", "0")), int(asked.get("device", "-1"))
        except ValueError:
            return _answer(400, _error("expected numbers: after=LINE, device=INDEX"))
        if not hmac.compare_digest(asked.get("token", "").encode(), self._token.encode()):
            return _answer(403, _error("the token isn't the one that this serve has printed"))
        if words[0] != "GET":
            return _answer(405, _error("it can only be looked at: GET"))
        if url.path == "/plan":
            return _answer(200, await self._state.plan())
        if url.path not in ("/", "/state"):
            return _answer(404, _error("there are /plan and /state"))
        over = self._state.over
        told = await self._state.now(after, device)
        self._asked(asked.get("who", "")[:WHO_MAX], over)
        return _answer(200, told)

    def _asked(self, who: str, over: bool) -> None:
        """Who has a name is waited for at the end."""
        self._onlookers.pop(who, None)
        if who and not over:
            while len(self._onlookers) >= CONNECTIONS_MAX:
                del self._onlookers[next(iter(self._onlookers))]
            self._onlookers[who] = time.monotonic()


def _error(text: str) -> str:
    return json.dumps({"error": text})


def _answer(code: int, body: str) -> bytes:
    data = body.encode()
    head = (
        f"HTTP/1.1 {code} {_REASONS[code]}\r\n"
        "Content-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(data)}\r\n"
        "Cache-Control: no-store\r\nX-Content-Type-Options: nosniff\r\nConnection: close\r\n\r\n"
    )
    return head.encode() + data
