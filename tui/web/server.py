"""The server of ``twinloop tui --web``: what is served behind the gate, its start and its end.

Belongs here: routes, the page, listening, Ctrl-C. Never: who may come in (gate.py), sessions (sessions.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import html
import secrets
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from string import Template

from aiohttp import web
from textual_serve.server import Server

from twinloop.scenarios.text.errors import MachineError
from twinloop.tui.web.gate import Gate, is_loopback
from twinloop.tui.web.sessions import PLACE_S, STOP_S, Sessions, command_line

HERE = Path(__file__).parent
TOKEN_BYTES = 24
OWN = {"page.css": "text/css", "page.js": "text/javascript"}
"""our own files beside those of textual-serve"""


def application(
    gate: Gate, command: str, title: str, sessions: int, place_s: float = PLACE_S
) -> web.Application:
    """All that is served, behind the gate. ``command`` runs in a shell, once for each session."""
    library = Server(command)  # its files, and how a session's download reaches the browser
    places = Sessions(command, sessions, library.download_manager, place_s)
    page = Template((HERE / "page.html").read_text(encoding="utf-8"))

    async def index(request: web.Request) -> web.Response:
        text = page.substitute(title=html.escape(title), host=html.escape(request.host))
        return web.Response(text=text, content_type="text/html")

    async def own(request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in OWN:
            raise web.HTTPNotFound
        return web.Response(text=(HERE / name).read_text(encoding="utf-8"), content_type=OWN[name])

    async def free(request: web.Request) -> web.Response:
        return web.Response(text=places.full or "There is a place for a session: begin a new one.")

    async def end(app: web.Application) -> None:
        await places.close()

    app = gate.application()
    app.add_routes(
        [
            web.get("/", index),
            web.get("/ws", places.serve),
            web.get("/places", free),
            web.get("/own/{name}", own),
            web.get("/download/{key}", library.handle_download),
            web.static("/static", library.statics_path),
        ]
    )
    app.on_shutdown.append(end)
    return app


def serve(file: Path, seed: int | None, bind: str, port: int, sessions: int) -> None:
    """Print the URL, serve until Ctrl-C or SIGTERM; no process is left then.

    ``port`` 0 takes a free one. Raises MachineError when the address can't be listened on.
    """
    asyncio.run(_serve(file, seed, bind, port, sessions))


async def _serve(file: Path, seed: int | None, bind: str, port: int, sessions: int) -> None:
    stopped = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) != signal.SIG_IGN:  # nohup: it is to outlive its terminal
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    gate = Gate(secrets.token_urlsafe(TOKEN_BYTES), bind)
    app = application(gate, command_line(file, seed), f"twinloop: {file.stem}", sessions)
    async with listening(app, gate, bind, port):
        _say(gate, bind, sessions)
        await stopped.wait()


@asynccontextmanager
async def listening(app: web.Application, gate: Gate, bind: str, port: int) -> AsyncIterator[None]:
    """Within it the application is served; behind it all sessions have ended. The gate learns the port.

    Raises MachineError when the address can't be listened on.
    """
    # no log of requests: the first one has the token in it
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=3 * STOP_S)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, bind, port).start()
        except OSError as error:
            raise MachineError(
                f"--bind {bind} --port {port}: can't be listened on ({error.strerror}); "
                "is it in use? --port 0 takes a free one"
            ) from error
        gate.port = runner.addresses[0][1]
        yield
    finally:
        await runner.cleanup()


def _say(gate: Gate, bind: str, sessions: int) -> None:
    if not is_loopback(bind):
        print(
            f"warning: --bind {bind}: other machines reach this server. Nothing is encrypted, and whoever "
            "has the URL can cause trouble in the run and write files as you. An SSH tunnel needs no --bind.",
            file=sys.stderr,
        )
    with contextlib.suppress(BrokenPipeError):
        print(f"{gate.url}\nOpen it in a browser (at most {sessions} at a time). Ctrl-C ends it.", flush=True)
