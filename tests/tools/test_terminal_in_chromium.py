"""``twinloop tui --web`` in a real browser, led by Chromium's DevTools protocol: the terminal's text arrives over
the WebSocket, keys reach it, nothing is fetched from elsewhere, the console has no error, and nobody is left
when the browser goes."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.processes import of_session
from tests.tui.scene import SCENARIO, WAIT_S

aiohttp = pytest.importorskip("aiohttp", reason="make test-tools, or pip install 'twinloop[web]'")
pytest.importorskip("textual_serve", reason="make test-tools, or pip install 'twinloop[web]'")

BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
pytestmark = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="who is there is read in /proc")
COMMAND = [sys.executable, "-c", "from twinloop.scenarios.cli.start import script; script()", "tui"]


def printed(process: subprocess.Popen[Any], found: Callable[[str], re.Match[str] | None]) -> str:
    """What a pattern finds in what the process prints."""
    assert process.stdout is not None
    for line in process.stdout:
        if match := found(line):
            return match[0]
    raise AssertionError("it ended without a word")


def until(holds: Callable[[], bool], what: str) -> None:
    ends = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends, what
        time.sleep(0.1)


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Leader of a session of its own, and its URL; one session at a time."""
    file = tmp_path / "it's; $(touch seen) here.yaml"  # a name is a name, whatever a shell would make of it
    file.write_text(SCENARIO, encoding="utf-8")
    errors = (tmp_path / "errors.txt").open("w", encoding="utf-8")
    process = subprocess.Popen(
        [*COMMAND, str(file), "--web", "--port", "0", "--sessions", "1"],
        stdout=subprocess.PIPE, stderr=errors, text=True, start_new_session=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )  # fmt: skip
    try:
        yield process, printed(process, re.compile(r"http://127\.0\.0\.1:\d+/\?token=\S+").search)
    finally:
        for one in of_session(process.pid):
            os.kill(one, signal.SIGKILL)
        process.wait()
        errors.close()


class Page:
    """One tab, and what it told."""

    def __init__(self, socket: Any) -> None:
        self._socket = socket
        self.text, self.fetched, self.wrong = "", list[str](), list[str]()
        self._sent = 0
        self._answers: dict[int, Any] = {}

    async def ask(self, method: str, **arguments: Any) -> Any:
        self._sent += 1
        number = self._sent
        await self._socket.send_json({"id": number, "method": method, "params": arguments})
        await self.hear(lambda: number in self._answers)
        return self._answers.pop(number)

    async def hear(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(WAIT_S):
            while not holds():
                self._heard(json.loads((await self._socket.receive()).data))

    def _heard(self, told: dict[str, Any]) -> None:
        what = told.get("params", {})
        match told.get("method"):
            case "Network.webSocketFrameReceived" if what["response"]["opcode"] == 2:
                self.text += base64.b64decode(what["response"]["payloadData"]).decode("utf-8", "replace")
            case "Network.requestWillBeSent":
                self.fetched.append(what["request"]["url"])
            case "Network.webSocketCreated":
                self.fetched.append(what["url"])
            case "Log.entryAdded" if what["entry"]["level"] in ("warning", "error"):
                self.wrong.append(what["entry"]["text"])
            case "Runtime.exceptionThrown":
                self.wrong.append(str(what["exceptionDetails"]))
        if "id" in told:
            self._answers[told["id"]] = told.get("result", told)

    async def value(self, expression: str) -> Any:
        return (await self.ask("Runtime.evaluate", expression=expression))["result"].get("value")

    async def comes(self, expression: str) -> None:
        async with asyncio.timeout(WAIT_S):
            while not await self.value(expression):
                await asyncio.sleep(0.1)


async def opened(client: Any, port: str, url: str) -> Page:
    """A new tab that goes to the URL."""
    async with client.put(f"http://127.0.0.1:{port}/json/new?about:blank") as answer:
        target = await answer.json()
    page = Page(await client.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0))
    for domain in ("Network", "Log", "Runtime", "Page"):
        await page.ask(f"{domain}.enable")
    await page.ask("Page.navigate", url=url)
    return page


async def looked(port: str, url: str, picture: Path) -> None:
    base = url.split("?", maxsplit=1)[0]
    async with aiohttp.ClientSession() as client:
        page = await opened(client, port, url)
        await page.hear(lambda: "presses" in page.text and "paused" in page.text)
        await page.comes("document.body.classList.contains('-first-byte')")
        assert await page.value("location.href") == base, "the token doesn't stay in the address"
        assert await page.value("document.cookie") == "", "no script reads the cookie"
        assert await page.value("getComputedStyle(document.getElementById('said')).display") == "none"
        page.text = ""
        await page.ask("Input.dispatchKeyEvent", type="keyDown", text="?", key="?")
        await page.hear(lambda: "run as fast as possible" in page.text)
        shot = await page.ask("Page.captureScreenshot", format="png")
        picture.write_bytes(base64.b64decode(shot["data"]))
        other = await opened(client, port, url)
        await other.comes("document.body.classList.contains('-closed')")
        await other.comes("document.querySelector('#said p').textContent.startsWith('The one session')")
        await page.ask("Input.dispatchKeyEvent", type="keyDown", text="q", key="q")
        await page.comes("document.querySelector('#said p').textContent == 'The session has ended.'")
        page.text = ""
        await page.ask("Page.reload")
        await page.hear(lambda: "presses" in page.text)
    assert [one for one in page.fetched if not re.sub("^ws:", "http:", one).startswith((base, "data:"))] == []
    assert page.wrong == []


@pytest.mark.skipif(BROWSER is None, reason="there is no Chromium: apt install chromium")
def test_the_terminal_is_seen_and_nobody_is_left(
    server: tuple[subprocess.Popen[str], str], tmp_path: Path
) -> None:
    process, url = server
    browser = subprocess.Popen(
        [
            str(BROWSER), "--headless", "--no-sandbox", "--enable-unsafe-swiftshader", "--remote-debugging-port=0",
            f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1200,800", "about:blank",
        ],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        where = printed(browser, re.compile(r"ws://127\.0\.0\.1:\d+").search)
        asyncio.run(looked(where.rpartition(":")[2], url, tmp_path / "seen.png"))
        assert len(of_session(process.pid)) > 1
    finally:
        os.killpg(browser.pid, signal.SIGKILL)
        browser.wait()
    until(lambda: of_session(process.pid) == [process.pid], "the session ends with its browser")
    assert not list(tmp_path.glob("seen")), "the scenario's name was no command"
    process.send_signal(signal.SIGINT)
    rest, _ = process.communicate(timeout=WAIT_S)
    assert process.returncode == 0
    assert "p99(latency.gateway{fleet=presses}) <= 50 ms" in rest, (
        "the report of the session that was left with q"
    )


@pytest.mark.parametrize("how", ["ctrl-c", "ctrl-c-early", "terminated", "killed"])
def test_the_server_takes_its_sessions_with_it(
    server: tuple[subprocess.Popen[str], str], tmp_path: Path, how: str
) -> None:
    process, url = server

    async def looked_at() -> None:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(url.replace("?", "ws?")) as socket,
        ):
            text = ""
            while how != "ctrl-c-early" and "presses" not in text:
                text += (await socket.receive_bytes(timeout=WAIT_S)).decode("utf-8", "replace")
            until(lambda: len(of_session(process.pid)) >= (2 if how == "ctrl-c-early" else 3), "it begins")
            if how.startswith("ctrl-c"):
                os.killpg(process.pid, signal.SIGINT)  # a terminal tells all that were started in it
            else:
                process.send_signal(signal.SIGTERM if how == "terminated" else signal.SIGKILL)
            while (await socket.receive(timeout=WAIT_S)).type == aiohttp.WSMsgType.BINARY:
                continue

    asyncio.run(looked_at())
    until(lambda: of_session(process.pid) == [], "nobody is left")
    assert process.wait(WAIT_S) == (-signal.SIGKILL if how == "killed" else 0)
    assert (tmp_path / "errors.txt").read_text(encoding="utf-8") == ""
