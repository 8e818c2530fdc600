"""What a redraw costs with ten thousand devices, in times of one with a hundred: from the engine's view,
through a pipe's pickle, to the cells of the terminal.

Belongs here: that row of ``make bench``, and the plants and the feed that it needs. Never: the bound
(ratios.py). Both plants are in one process and take turns; the time is CPU time of this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import pickle
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from twinloop.components.host.host import Host
from twinloop.scenarios.collector import COLLECTOR
from twinloop.tui.engine.engine import Engine
from twinloop.tui.engine.messages import Command, Look, Reply, RunTo
from twinloop.tui.engine.process import answer
from twinloop.tui.terminal.app import Twinloop

FEW, MANY = 100, 10_000
"""devices"""
SCREENS = ("overview", "fleet", "gateway", "latency")
SIZE = 200, 60
"""of the terminal: all panes are there"""
WARM_UP_S, STEP_NS = 5, 100_000_000
"""simulated time before the first redraw, and between two of them"""
WAIT_S = 60.0


class Held:
    """A feed whose engine stands still until it is told to go on; what the screen looks for is kept."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.asked = Look()
        self.replies: list[Reply] = [engine.plan]

    def look(self, look: Look) -> None:
        """What the screen wants to see."""
        self.asked = look

    def send(self, command: Command) -> None:
        """Nothing is done here."""

    def take(self) -> list[Reply]:
        """The plan, once."""
        taken, self.replies = self.replies, []
        return taken

    def on(self) -> None:
        """A step of simulated time."""
        self.engine.handle(RunTo(self.engine.world.env.now + STEP_NS))
        while self.engine.mode == "playing":
            self.engine.slice()

    def left(self, width: int) -> str:
        """No report."""
        return ""

    def close(self) -> None:
        """The world goes with the host."""


async def redrawn(app: Twinloop, feed: Held) -> float:
    """CPU seconds from a look to the cells."""
    done = asyncio.Event()
    took = [0.0]

    def work() -> None:
        took[0] = -time.process_time()
        app._took(pickle.loads(pickle.dumps(answer(feed.engine, feed.asked))))
        app.call_after_refresh(ends)

    def ends() -> None:
        took[0] += time.process_time()
        done.set()

    app.call_later(work)
    await asyncio.wait_for(done.wait(), WAIT_S)
    return took[0]


def measured(
    host: Host, folder: Path, plant: Callable[[int], str], samples: int
) -> dict[str, tuple[float, float]]:
    """Screen -> (milliseconds with few devices, with many): medians."""
    feeds = []
    for count in (FEW, MANY):
        file = folder / f"redraw-{count}.yaml"
        file.write_text(plant(count), encoding="utf-8")
        feeds.append(Held(Engine(host, file, None)))
    for feed in feeds:
        feed.engine.handle(RunTo(WARM_UP_S * 1_000_000_000))
        while feed.engine.mode == "playing":
            feed.engine.slice()

    async def all_of_it() -> dict[str, tuple[float, float]]:
        apps = [Twinloop(Path("bench.yaml"), None, cast("Any", lambda *_, feed=feed: feed)) for feed in feeds]
        async with contextlib.AsyncExitStack() as stack:
            pilots = [await stack.enter_async_context(app.run_test(size=SIZE)) for app in apps]
            found = {}
            for screen in SCREENS:
                spent: list[tuple[float, float]] = []
                for i in range(samples + 2):
                    pair = []
                    for app, feed, pilot in zip(apps, feeds, pilots, strict=True):
                        if not i:
                            await redrawn(app, feed)
                            app.call_later(app.action_show, screen)
                            await pilot.pause()
                        feed.on()
                        pair.append(await redrawn(app, feed))
                    if i > 1:
                        spent.append((pair[0], pair[1]))
                found[screen] = (
                    1000 * statistics.median(few for few, _ in spent),
                    1000 * statistics.median(many for _, many in spent),
                )
            return found

    with COLLECTOR.calm():
        found = asyncio.run(all_of_it())
    for feed in feeds:
        feed.engine.world.close()
    return found
