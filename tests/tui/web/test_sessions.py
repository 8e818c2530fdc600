"""Sessions of ``twinloop tui --web``: how many, what they are sent, and that each of them ends."""

from __future__ import annotations

import asyncio
import json
import os
import shlex
import subprocess
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual_serve", reason="make test, or pip install 'twinloop[web]'")

from aiohttp import ClientSession, WSMsgType, WSServerHandshakeError

from tests.tui.web.served import DEAF, FAILS, LEAVES, SAYS_HELLO
from twinloop.scenarios.text.errors import MachineError
from twinloop.tui.web import sessions as room
from twinloop.tui.web.gate import Gate
from twinloop.tui.web.server import application, listening
from twinloop.tui.web.sessions import command_line

TOKEN = "right-token"


def asked(
    command: str, most: int, body: Callable[[Any], Coroutine[Any, Any, None]], place_s: float = 0.05
) -> None:
    async def all_of_it() -> None:
        gate = Gate(TOKEN, "127.0.0.1")
        app = application(gate, command, "a plant", most, place_s)
        async with (
            asyncio.timeout(20),
            listening(app, gate, "127.0.0.1", 0),
            ClientSession(f"http://127.0.0.1:{gate.port}") as client,
        ):
            await body(client)

    asyncio.run(all_of_it())


def session(client: Any, more: str = "") -> Any:
    return client.ws_connect(f"/ws?token={TOKEN}{more}")


async def begun(client: Any) -> Any:
    socket = await session(client)
    assert await socket.receive_bytes() == b"hello"
    return socket


async def places(client: Any) -> str:
    return str(await (await client.get("/places", params={"token": TOKEN})).text())


def test_one_more_than_there_is_room_for_is_refused_with_a_sentence() -> None:
    async def body(client: Any) -> None:
        first, _second = await begun(client), await begun(client)
        with pytest.raises(WSServerHandshakeError) as found:
            await session(client)
        assert found.value.status == 503
        answer = await client.get("/ws", params={"token": TOKEN})
        assert answer.status == 503
        assert await answer.text() == (
            "All 2 sessions are in use: close the window of another one, or start the server with more "
            "(--sessions).\n"
        )
        assert (await places(client)).startswith("All 2 sessions are in use")
        await first.close()
        while (await places(client)).startswith("All"):
            await asyncio.sleep(0.01)
        await begun(client)

    asked(SAYS_HELLO, 2, body)


def test_a_page_that_is_loaded_anew_waits_for_its_own_place() -> None:
    async def body(client: Any) -> None:
        old = await begun(client)
        assert (await places(client)).startswith("The one session of this server is in use")
        new = asyncio.create_task(session(client))
        await asyncio.sleep(0.05)
        await old.close()
        assert await (await new).receive_bytes() == b"hello"

    asked(SAYS_HELLO, 1, body, place_s=10)


async def heard(socket: Any, message: Any) -> bytes:
    await socket.send_str(json.dumps(message))
    found = await socket.receive_bytes()
    assert isinstance(found, bytes)
    return found


def test_what_the_page_says_reaches_the_process() -> None:
    async def body(client: Any) -> None:
        socket = await begun(client)
        assert await heard(socket, ["stdin", "é?"]) == "é?".encode()
        told = await heard(socket, ["resize", {"width": 100, "height": 30}])
        assert json.loads(told) == {"type": "resize", "width": 100, "height": 30}
        told = await heard(socket, ["resize", {"width": 1e9, "height": -4}])
        assert json.loads(told) == {"type": "resize", "width": 1000, "height": 1}
        told = await heard(socket, ["resize", {"width": float("inf"), "height": "x"}])
        assert json.loads(told) == {"type": "resize", "width": 80, "height": 24}
        assert json.loads(await heard(socket, ["blur"])) == {"type": "blur"}
        assert json.loads(await heard(socket, ["focus"])) == {"type": "focus"}
        await socket.send_str('["ping", "5"]')
        assert await socket.receive_json() == ["pong", "5"]

    asked(SAYS_HELLO, 1, body)


@pytest.mark.parametrize(
    "text", ["", "{", "5", "[]", "{}", '"stdin"', '["stdin"]', '["stdin", 5]', '["resize", 5]', "[[]]", '["x", 1]', "[" * 9999]
)  # fmt: skip
def test_what_the_page_would_never_say_is_left_out(text: str) -> None:
    async def body(client: Any) -> None:
        socket = await begun(client)
        await socket.send_str(text)
        assert await heard(socket, ["stdin", "on"]) == b"on"

    asked(SAYS_HELLO, 1, body)


def test_a_size_that_is_none_is_the_usual_one() -> None:
    async def body(client: Any) -> None:
        async with session(client, "&width=x&height=99999999999999999999") as socket:
            assert await socket.receive_bytes() == b"hello"

    asked(SAYS_HELLO, 1, body)


@pytest.mark.parametrize("command", [LEAVES, FAILS], ids=["leaves", "fails"])
def test_the_browser_is_told_when_the_process_ends(command: str) -> None:
    async def body(client: Any) -> None:
        async with session(client) as socket:
            while (message := await socket.receive()).type == WSMsgType.BINARY:
                assert message.data == b"hello"
            assert message.type == WSMsgType.CLOSE

    asked(command, 1, body)


@pytest.mark.parametrize("dropped", [False, True])
def test_a_process_that_is_deaf_is_ended(monkeypatch: pytest.MonkeyPatch, dropped: bool) -> None:
    monkeypatch.setattr(room, "STOP_S", 0.1)
    deaf = list[int]()

    async def body(client: Any) -> None:
        socket = await begun(client)
        deaf.append(int(await socket.receive_bytes()))
        if not dropped:
            await socket.close()
            while (await places(client)).startswith("The one"):
                await asyncio.sleep(0.01)

    asked(DEAF, 1, body)
    with pytest.raises(ProcessLookupError):
        os.kill(deaf[0], 0)


@pytest.mark.parametrize(
    "name", ["a plant.yaml", "$(touch seen).yaml", "x'; touch seen; '.yaml", 'a"b`c\n.yaml', "-c"]
)
def test_a_name_stays_a_name_in_the_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(room.sys, "executable", str(tmp_path / "shows its arguments"))
    program = tmp_path / "shows its arguments"
    program.write_text('#!/bin/sh\nshift 2\nprintf "%s\\n--\\n" "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    done = subprocess.run(
        ["sh", "-c", command_line(Path(name), 7)], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"{tmp_path / name}\n--\n7\n--\n"
    assert sorted(one.name for one in tmp_path.iterdir()) == [program.name]


def test_a_session_without_a_seed_has_the_scenarios() -> None:
    assert shlex.split(command_line(Path("/x.yaml"), None))[-1] == "/x.yaml"
    assert shlex.split(command_line(Path("/x.yaml"), 0))[-2:] == ["/x.yaml", "0"]


def test_an_address_that_is_taken_is_this_machines_fault() -> None:
    async def twice() -> None:
        first, second = Gate(TOKEN, "127.0.0.1"), Gate(TOKEN, "127.0.0.1")
        async with listening(application(first, LEAVES, "a plant", 1), first, "127.0.0.1", 0):
            told = f"--bind 127.0.0.1 --port {first.port}: can't be listened on (.*in use.*); is it in use?"
            with pytest.raises(MachineError, match=told):
                async with listening(
                    application(second, LEAVES, "a plant", 1), second, "127.0.0.1", first.port or 0
                ):
                    raise AssertionError("nobody may listen twice")

    asyncio.run(twice())
