"""Who may come in: the token, the Host and the Origin of every request, the WebSocket's included.

Belongs here: the middleware, its cookie, the headers of every answer. Never: what is served (server.py).
"""

from __future__ import annotations

import ipaddress
import platform
import secrets
from collections.abc import Awaitable, Callable

from aiohttp import web
from yarl import URL

HEADERS = {
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}
"""of every answer: nothing of it is for other pages, nor to be kept"""
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; font-src 'self'; "
    "img-src 'self' data: blob:; connect-src 'self' ws://{host}; frame-ancestors 'none'; base-uri 'none'; "
    "form-action 'none'"
)
"""xterm.js makes style elements of its own, so these are allowed; scripts in the page aren't"""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def is_loopback(address: str) -> bool:
    """Whether only this machine reaches it."""
    return address == "localhost" or ipaddress.ip_address(address).is_loopback


class Gate:
    """Lets those in who have the token, from no other page than our own.

    ``bind`` is the address that is listened on, "localhost" or an IP address. ``port`` is known when the
    server listens: until then every request is refused.
    """

    def __init__(self, token: str, bind: str) -> None:
        self._token, self._bind = token, bind
        self.port: int | None = None

    @property
    def cookie(self) -> str:
        """Its name; cookies of all ports of a host are one heap, so the port stands in it."""
        return f"twinloop_{self.port}"

    @property
    def url(self) -> str:
        """What is opened in the browser, with the token. For an address that stands for all of this
        machine's, the one that this machine itself can open."""
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(self._bind, self._bind)  # noqa: S104  # compared only
        return str(
            URL.build(scheme="http", host=host, port=self.port, path="/", query={"token": self._token})
        )

    def application(self) -> web.Application:
        """An empty one behind this gate."""

        async def asked(request: web.Request, handler: Handler) -> web.StreamResponse:
            return await self._pass(request, handler)

        app = web.Application(middlewares=[web.middleware(asked)])
        app.on_response_prepare.append(self._head)
        return app

    async def _head(self, request: web.Request, response: web.StreamResponse) -> None:
        response.headers.update(HEADERS)
        if self._is_ours(request.host):  # else the header's text would be the sender's
            response.headers["Content-Security-Policy"] = _POLICY.format(host=request.host)

    async def _pass(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        reason = self.refusal(request)
        if reason:
            return web.Response(status=403, text=reason + "\n")
        if request.path == "/" and "token" in request.query:
            # the address bar, the history and the next page needn't know it
            answer = web.Response(status=303, headers={"Location": "/"})
            answer.set_cookie(self.cookie, self._token, path="/", httponly=True, samesite="Strict")
            return answer
        return await handler(request)

    def refusal(self, request: web.Request) -> str:
        """Why this request isn't answered, as a sentence; empty when it is."""
        if not self._is_ours(request.host):
            return (
                "This address isn't one of this server's: open the URL that twinloop tui --web printed. "
                "A forwarded port has to have the same number on both sides."
            )
        origins = request.headers.getall("Origin", [])
        if any(origin != f"http://{request.host.lower()}" for origin in origins):
            return "This request comes from another page than the server's own, so it is refused."
        given = request.query.get("token", request.cookies.get(self.cookie))
        if given is None:
            return "The token is missing: open the URL that twinloop tui --web printed, with its token."
        if not secrets.compare_digest(given.encode("utf-8", "replace"), self._token.encode()):
            return (
                "The token isn't this server's, perhaps it is one of an earlier start: open the URL that "
                "twinloop tui --web printed."
            )
        return ""

    def _is_ours(self, host: str) -> bool:
        """Whether a Host header names this server. A name that somebody else's DNS resolves to this machine
        isn't ours: else a page of theirs would have our origin."""
        try:
            url = URL(f"http://{host}")
            name, port = (url.host or "").lower(), url.port
        except ValueError:
            return False
        if url.path != "/" or url.user or url.query_string or self.port is None or port != self.port:
            return False
        if self._bind not in ("0.0.0.0", "::"):  # noqa: S104  # compared only
            return name == self._bind or (name == "localhost" and is_loopback(self._bind))
        if name in ("localhost", platform.node().lower()):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # an address can't be made to lead elsewhere
