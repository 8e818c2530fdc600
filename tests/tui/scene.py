"""One small scenario and an engine for it, in this process: no pipe, no second process, every wait is a turn
of its own."""

from __future__ import annotations

import asyncio
import pickle
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, cast

from twinloop.components.contract.errors import HostLimitError
from twinloop.components.host.host import Host
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.tui.engine.engine import SLICE_EVENTS, Engine
from twinloop.tui.engine.feed import Feed
from twinloop.tui.engine.final_report import final_report
from twinloop.tui.engine.messages import Command, FinalReport, Look, Quit, Refused, Reply, View
from twinloop.tui.engine.process import answer
from twinloop.tui.terminal.app import Twinloop

SCENARIO = """\
format: 2
name: seen
duration: 20 s
grace: 5 s
fleets:
  presses: {device: press-sensor, protocol: modbus-tcp, count: 4, poll: 500 ms, link: plant, gateway: gw, driver: modbus-driver}
  meters: {device: meter, protocol: modbus-rtu, count: 2, poll: 2 s, link: line, gateway: gw, driver: modbus-driver}
  tanks: {device: tank, protocol: opcua, count: 1, poll: 1 s, link: plant, gateway: gw, driver: opcua-driver}
links:
  plant: {preset: lan}
  line: {serial: 19200 Bd}
  cloud: {preset: lte}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  opcua-driver: {wasm: opcua-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {}}
timeline:
  - {at: 6 s, cut: cloud, for: 3 s}
  - {at: 12 s, write: tanks/1, point: pump, value: 0}
expect:
  - count(samples.lost) == 0
  - p99(latency.gateway{fleet=presses}) <= 50 ms
  - backlog == 0 within 10 s after heal cloud
"""
WAIT_S = 60.0
S = 1_000_000_000


def engine(host: Host, file: Path) -> Engine:
    return Engine(host, file, None)


def go(one: Engine) -> None:
    """Until it stands still."""
    while one.mode in ("playing", "rewinding"):
        before = one.world.events
        one.slice()
        assert one.world.events - before <= SLICE_EVENTS, "commands wait no longer than that"


def view(one: Engine, device: int = -1, rows: tuple[int, ...] = (), **more: Any) -> View:
    found = answer(one, Look(device, rows=rows, **more))
    assert isinstance(found, View)
    copied: View = pickle.loads(pickle.dumps(found))
    return copied


class Inline:
    """Behaves like a Feed; its engine plays one slice whenever it is listened to. In a thread, for a world
    may have an event loop of its own."""

    def __init__(self, host: Host, file: Path, seed: int | None, settings: tuple[str, ...] = ()) -> None:
        self.replies: list[Reply] = []
        self.sent: list[Command] = []
        self.answered: Look | None = None
        """the look that the last view taken answers"""
        self._asked: Look | None = None
        self.engine: Engine | None = None
        self._thread = ThreadPoolExecutor(1)
        self._run(self._begin, host, file, seed, settings)

    def _run(self, what: Callable[..., None], *arguments: Any) -> None:
        self._thread.submit(what, *arguments).result()

    def _begin(self, host: Host, file: Path, seed: int | None, settings: tuple[str, ...]) -> None:
        try:
            self.engine = Engine(host, file, seed, settings=settings)
            self.replies.append(self.engine.plan)
        except (ScenarioError, HostLimitError) as error:
            self.replies.append(Refused(str(error)))

    def send(self, command: Command) -> None:
        if isinstance(command, Look):
            self._asked = command
        else:
            self.sent.append(command)
        if self.engine is not None:
            self._run(self._handle, self.engine, command)

    look = send

    def _handle(self, engine: Engine, command: Command) -> None:
        reply = (
            FinalReport(final_report(engine, command.width))
            if isinstance(command, Quit)
            else answer(engine, command)
        )
        if reply is not None:
            self.replies.append(pickle.loads(pickle.dumps(reply)))

    def take(self) -> list[Reply]:
        if self.engine is not None:
            self._run(self.engine.slice)
        taken, self.replies = self.replies, []
        if any(isinstance(reply, View) for reply in taken):
            self.answered = self._asked
        return taken

    def left(self, width: int) -> str:
        self.send(Quit(width))
        return "".join(reply.text for reply in self.take() if isinstance(reply, FinalReport))

    @property
    def alive(self) -> bool:
        return self.engine is not None

    def close(self) -> None:
        if self.engine is not None:
            self._run(self.engine.explorer.forget)
            self._run(self.engine.world.close)
            self.engine = None
        self._thread.shutdown()


def inline(host: Host) -> Callable[..., Feed]:
    return cast("Callable[..., Feed]", lambda *given: Inline(host, *given))


async def until(pilot: Any, holds: Callable[[], bool]) -> None:
    """Wait for something that the engine brings about."""
    ends = time.monotonic() + WAIT_S
    while not holds():
        assert time.monotonic() < ends, "it didn't come about"
        await pilot.pause(0.02)


async def settled(pilot: Any, app: Twinloop) -> None:
    """Wait for the view that answers what is to be seen now: after a key that shows another screen the view at
    hand has nothing yet of what only that one asks for."""
    feed = cast("Any", app.feed)
    await until(pilot, lambda: feed.answered == app._look())


def with_app(
    file: Path,
    body: Callable[[Twinloop, Any], Awaitable[None]],
    size: tuple[int, int] = (100, 30),
    start: Callable[..., Feed] = Feed,
    beside: tuple[str, ...] | None = None,
) -> Twinloop:
    app = Twinloop(file, None, start, beside)

    async def all_of_it() -> None:
        async with app.run_test(size=size) as pilot:
            await until(pilot, lambda: app.view is not None or bool(app.problem))
            await body(app, pilot)
        assert not app.feed.alive, "the engine ends with the screen"
        assert app.companion is None

    asyncio.run(all_of_it())
    return app


def text_of(app: Twinloop) -> str:
    """What is on the screen."""
    return "\n".join(strip.text.rstrip() for strip in app.screen._compositor.render_strips()) + "\n"
