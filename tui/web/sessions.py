"""A process for each browser that looks, and what travels between the two.

Belongs here: the WebSocket, how many there may be, their end. Never: who may come in (gate.py), what the
process does (process.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

HEARTBEAT_S = 15.0
"""after which a browser that has vanished without a word is noticed"""
STOP_S = 5.0
"""that a session's process may take to end by itself"""
PLACE_S = 3.0
"""that a new session waits for a place: a page that is loaded anew comes before its old session has ended"""
CELLS_MAX = 1000
"""columns or lines of a browser's window"""
SIZE = (80, 24)


def command_line(file: Path, seed: int | None) -> str:
    """What textual-serve gives to a shell: each part is quoted, so a scenario's name stays a name.

    The process imports what this one has imported, and is what the shell becomes, so that no shell stands
    between. Ctrl-C is the server's business until the screen is there: then it ends the session, too.
    """
    code = f"import sys; sys.path[:] = {sys.path!r}; from twinloop.tui.web.process import main; main()"
    arguments = [str(file.absolute())] if seed is None else [str(file.absolute()), str(seed)]
    return f"trap '' INT; exec {shlex.join([sys.executable, '-c', code, *arguments])}"


class _Service(AppService):  # type: ignore[misc]  # an extra: without it mypy knows no such class
    """textual-serve's, whose end is sure: the browser is told of the process's end, and the process of the
    browser's."""

    async def run(self) -> None:
        """Until the process has ended."""
        try:
            await super().run()
        finally:
            await self.remote_close()

    async def stop(self) -> None:
        """Asks the process to end; ends it when it doesn't, or when nobody waits for it any more."""
        quitting = asyncio.create_task(self._quit())  # whose cancellation textual-serve would swallow
        try:
            await asyncio.wait([quitting], timeout=STOP_S)
        finally:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
        await asyncio.wait([quitting], timeout=STOP_S)

    async def _quit(self) -> None:
        await super().stop()
        if self._process is not None:
            await self._process.wait()


class Sessions:
    """At most ``most`` at a time, each a process that runs ``command`` in a shell.

    ``downloads`` are files that a session hands to the browser. ``place_s`` is how many seconds a new session
    waits for a place.
    """

    def __init__(self, command: str, most: int, downloads: DownloadManager, place_s: float = PLACE_S) -> None:
        self._command, self._most, self._downloads, self._place_s = command, most, downloads, place_s
        self._free = asyncio.Semaphore(most)
        self._open: dict[web.WebSocketResponse, None] = {}

    @property
    def full(self) -> str:
        """What is said when there is no place; empty: there is one."""
        if not self._free.locked():
            return ""
        held = "The one session of this server is" if self._most == 1 else f"All {self._most} sessions are"
        return f"{held} in use: close the window of another one, or start the server with more (--sessions)."

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """The handler of the WebSocket: until the browser or the process goes."""
        try:
            async with asyncio.timeout(self._place_s):
                await self._free.acquire()
        except TimeoutError:
            return web.Response(status=503, text=self.full + "\n")
        try:
            return await self._session(request)
        finally:
            self._free.release()

    async def _session(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_S)
        await socket.prepare(request)
        service = _Service(
            self._command,
            write_bytes=lambda data: _sent(socket.send_bytes(data)),
            write_str=lambda text: _sent(socket.send_str(text)),
            close=socket.close,
            download_manager=self._downloads,
        )
        self._open[socket] = None
        try:
            await service.start(
                *(_cells(request.query.get(name), SIZE[i]) for i, name in enumerate(("width", "height")))
            )
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await _take(message.data, socket, service)
        finally:
            del self._open[socket]
            await service.stop()
        return socket

    async def close(self) -> None:
        """All of them, as the server goes."""
        await asyncio.gather(*(socket.close(code=WSCloseCode.GOING_AWAY) for socket in list(self._open)))


async def _sent(sending: Any) -> None:
    """Nobody listens any more: what the process still says on its way out is nobody's."""
    with contextlib.suppress(ConnectionResetError):
        await sending


def _cells(given: Any, otherwise: int) -> int:
    try:
        return min(max(int(given), 1), CELLS_MAX)
    except (TypeError, ValueError, OverflowError):
        return otherwise


async def _take(text: str, socket: web.WebSocketResponse, service: _Service) -> None:
    """One message of the page's script: [kind, what]. What isn't one is left out: only the page's own script
    is to speak here."""
    try:
        kind, *rest = json.loads(text)
    except (ValueError, TypeError, RecursionError):
        return
    what = rest[0] if rest else None
    if kind == "stdin" and isinstance(what, str):
        await service.send_bytes(what.encode("utf-8", "replace"))
    elif kind == "resize" and isinstance(what, dict):
        width, height = _cells(what.get("width"), SIZE[0]), _cells(what.get("height"), SIZE[1])
        await service.set_terminal_size(width, height)
    elif kind == "ping":
        await _sent(socket.send_json(["pong", what]))
    elif kind == "blur":
        await service.blur()
    elif kind == "focus":
        await service.focus()
