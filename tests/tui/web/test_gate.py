"""Who may come in to ``twinloop tui --web``: token, cookie, Host and Origin, on pages and on the WebSocket."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

pytest.importorskip("textual_serve", reason="make test, or pip install 'twinloop[web]'")

from aiohttp import WSServerHandshakeError
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request

from tests.tui.web.served import SAYS_HELLO
from twinloop.tui.web.gate import Gate, is_loopback
from twinloop.tui.web.server import OWN, application

TOKEN = "right-token"
PATHS = ("/", "/ws", "/places", "/own/page.js", "/static/js/textual.js", "/download/1", "/nothing")
OPEN = {
    "/": 303,
    "/ws": 400,
    "/places": 200,
    "/own/page.js": 200,
    "/static/js/textual.js": 200,
    "/nothing": 404,
}
"""status of those that may come in; /ws is asked without an upgrade here"""


@asynccontextmanager
async def served() -> AsyncIterator[tuple[Any, Gate]]:
    gate = Gate(TOKEN, "127.0.0.1")
    async with TestClient(TestServer(application(gate, SAYS_HELLO, "a <plant>", 1))) as client:
        gate.port = client.port
        yield client, gate


def asked(body: Callable[[Any, Gate], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        async with served() as (client, gate):
            await body(client, gate)

    asyncio.run(all_of_it())


async def refused(sent: Awaitable[Any], sentence: str) -> None:
    answer = await sent
    assert answer.status == 403
    assert answer.content_type == "text/plain"
    assert sentence in await answer.text()
    assert "Set-Cookie" not in answer.headers


@pytest.mark.parametrize("path", PATHS)
def test_nothing_is_answered_without_the_right_token(path: str) -> None:
    async def body(client: Any, gate: Gate) -> None:
        await refused(client.get(path), "The token is missing")
        for wrong in ("", "right-toke", "right-tokens", "RIGHT-TOKEN", "rîght-token"):
            await refused(client.get(path, params={"token": wrong}), "The token isn't this server's")
            await refused(
                client.get(path, headers={"Cookie": f"{gate.cookie}={wrong.replace('î', 'i ')}"}),
                "The token isn't this server's",
            )
        await refused(client.get(path, headers={"Cookie": f"token={TOKEN}"}), "The token is missing")

    asked(body)


@pytest.mark.parametrize(("path", "status"), OPEN.items())
def test_the_token_opens_each_path(path: str, status: int) -> None:
    async def body(client: Any, gate: Gate) -> None:
        answer = await client.get(path, params={"token": TOKEN}, allow_redirects=False)
        assert answer.status == status
        cookie = await client.get(path, cookies={gate.cookie: TOKEN}, allow_redirects=False)
        assert cookie.status == (200 if path == "/" else status)

    asked(body)


def test_the_token_is_shown_once_then_a_cookie_stands_for_it() -> None:
    async def body(client: Any, gate: Gate) -> None:
        first = await client.get("/", params={"token": TOKEN}, allow_redirects=False)
        assert (first.status, first.headers["Location"]) == (303, "/")
        assert first.headers["Set-Cookie"].split("; ") == [
            f"twinloop_{client.port}={TOKEN}", "HttpOnly", "Path=/", "SameSite=Strict",
        ]  # fmt: skip
        page = await client.get("/")  # the client keeps cookies
        text = await page.text()
        assert (page.status, page.content_type) == (200, "text/html")
        assert f'data-session-websocket-url="ws://127.0.0.1:{client.port}/ws"' in text
        assert "a &lt;plant&gt;" in text
        assert TOKEN not in text
        assert "https:" not in text, "nothing is fetched from elsewhere"
        for path in re.findall(r'(?:href|src)="(/[^"]+)"', text):
            assert (await client.get(path)).status == 200, path
        assert (await client.get("/own/page.html")).status == 404
        for name, kind in OWN.items():
            assert (await client.get(f"/own/{name}")).content_type == kind

    asked(body)


def test_a_page_of_someone_else_is_refused_and_ours_is_not() -> None:
    async def body(client: Any, gate: Gate) -> None:
        own = f"http://127.0.0.1:{client.port}"
        for path in PATHS:
            for origin in (
                "http://elsewhere.example", "null", "", "http://127.0.0.1", own.replace("http", "https"),
                f"http://127.0.0.1:{client.port + 1}", f"http://localhost:{client.port}", f"{own}.example",
            ):  # fmt: skip
                sent = client.get(path, params={"token": TOKEN}, headers={"Origin": origin})
                await refused(sent, "comes from another page")
        answer = await client.get("/places", params={"token": TOKEN}, headers={"Origin": own})
        assert answer.status == 200
        both = [("Origin", own), ("Origin", "http://elsewhere.example")]
        await refused(client.get("/places", params={"token": TOKEN}, headers=both), "another page")

    asked(body)


@pytest.mark.parametrize(
    ("arguments", "origin"),
    [
        ("", None),
        ("?token=wrong", None),
        (f"?token={TOKEN}", "http://elsewhere.example"),
        (f"?token={TOKEN}", "null"),
    ],
    ids=["no-token", "wrong-token", "foreign-origin", "opaque-origin"],
)
def test_the_websocket_is_refused_before_anything_is_started(arguments: str, origin: str | None) -> None:
    async def body(client: Any, gate: Gate) -> None:
        with pytest.raises(WSServerHandshakeError) as found:
            await client.ws_connect(f"/ws{arguments}", origin=origin)
        assert found.value.status == 403
        assert (await (await client.get("/places", params={"token": TOKEN})).text()).startswith(
            "There is a place"
        )

    asked(body)


@pytest.mark.parametrize("by_cookie", [False, True])
def test_the_websocket_of_our_page_is_served(by_cookie: bool) -> None:
    async def body(client: Any, gate: Gate) -> None:
        own = f"http://127.0.0.1:{client.port}"
        way = {"headers": {"Cookie": f"{gate.cookie}={TOKEN}"}} if by_cookie else {}
        async with client.ws_connect(
            "/ws" if by_cookie else f"/ws?token={TOKEN}", origin=own, **way
        ) as socket:
            assert await socket.receive_bytes() == b"hello"

    asked(body)


def test_another_host_is_refused_on_pages_and_on_the_websocket() -> None:
    async def body(client: Any, gate: Gate) -> None:
        host = {"Host": f"elsewhere.example:{client.port}"}
        for path in PATHS:
            await refused(
                client.get(path, params={"token": TOKEN}, headers=host), "isn't one of this server's"
            )
        # a page whose name was made to lead here has that name as its Origin and as its Host
        with pytest.raises(WSServerHandshakeError) as found:
            await client.ws_connect(f"/ws?token={TOKEN}", headers=host, origin=f"http://{host['Host']}")
        assert found.value.status == 403

    asked(body)


@pytest.mark.parametrize(
    ("bind", "host", "comes_in"),
    [
        ("127.0.0.1", "127.0.0.1:8000", True),
        ("127.0.0.1", "localhost:8000", True),
        ("127.0.0.1", "LocalHost:8000", True),
        ("127.0.0.1", "127.0.0.1", False),
        ("127.0.0.1", "127.0.0.1:8001", False),
        ("127.0.0.1", "127.0.0.2:8000", False),
        ("127.0.0.1", "localhost.example:8000", False),
        ("127.0.0.1", "elsewhere.example:8000", False),
        ("127.0.0.1", "x@127.0.0.1:8000", False),
        ("127.0.0.1", "127.0.0.1:8000/x", False),
        ("127.0.0.1", "127.0.0.1:8000?x", False),
        ("127.0.0.1", "127.0.0.1:80000", False),
        ("127.0.0.1", "[::1", False),
        ("127.0.0.1", "", False),
        ("localhost", "localhost:8000", True),
        ("::1", "[::1]:8000", True),
        ("::1", "localhost:8000", True),
        ("192.0.2.7", "192.0.2.7:8000", True),
        ("192.0.2.7", "localhost:8000", False),
        ("192.0.2.7", "192.0.2.8:8000", False),
        ("0.0.0.0", "192.0.2.7:8000", True),
        ("0.0.0.0", "[2001:db8::1]:8000", True),
        ("0.0.0.0", "localhost:8000", True),
        ("0.0.0.0", "gateway-lab:8000", True),
        ("0.0.0.0", "elsewhere.example:8000", False),
        ("::", "192.0.2.7:8000", True),
    ],
)
def test_which_names_are_this_servers(
    monkeypatch: pytest.MonkeyPatch, bind: str, host: str, comes_in: bool
) -> None:
    monkeypatch.setattr("platform.node", lambda: "Gateway-Lab")
    gate = Gate(TOKEN, bind)
    request = make_mocked_request("GET", f"/places?token={TOKEN}", headers={"Host": host})
    assert gate.refusal(request).startswith("This address isn't"), "it doesn't listen yet"
    gate.port = 8000
    assert (gate.refusal(request) == "") == comes_in


@pytest.mark.parametrize(
    ("bind", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:8000/?token=a-b_c"),
        ("localhost", "http://localhost:8000/?token=a-b_c"),
        ("::1", "http://[::1]:8000/?token=a-b_c"),
        ("0.0.0.0", "http://127.0.0.1:8000/?token=a-b_c"),
        ("::", "http://[::1]:8000/?token=a-b_c"),
    ],
)
def test_the_url_can_be_opened_on_this_machine(bind: str, url: str) -> None:
    gate = Gate("a-b_c", bind)
    gate.port = 8000
    assert gate.url == url


def test_which_addresses_only_this_machine_reaches() -> None:
    assert [is_loopback(one) for one in ("127.0.0.1", "127.9.9.9", "::1", "localhost")] == [True] * 4
    assert [is_loopback(one) for one in ("0.0.0.0", "::", "192.0.2.7", "2001:db8::1")] == [False] * 4


def test_no_answer_may_be_framed_kept_or_read_elsewhere() -> None:
    async def body(client: Any, gate: Gate) -> None:
        for path in PATHS:
            for token in (TOKEN, "wrong"):
                found = (await client.get(path, params={"token": token}, allow_redirects=False)).headers
                policy = found["Content-Security-Policy"]
                assert "default-src 'none'; script-src 'self';" in policy
                assert f"connect-src 'self' ws://127.0.0.1:{client.port};" in policy
                assert "frame-ancestors 'none'" in policy
                assert found["Referrer-Policy"] == "no-referrer"
                assert found["Cross-Origin-Resource-Policy"] == "same-origin"
                assert found["Cache-Control"] == "no-store"

    asked(body)
