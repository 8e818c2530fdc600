"""A picture of a screen without a terminal: ``twinloop tui SCENARIO --screenshot out.svg``.

Belongs here: running to an instant and drawing once. Never: what a screen shows.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable
from pathlib import Path

from twinloop.scenarios.text.errors import ScenarioError
from twinloop.tui.engine.messages import RunTo, View
from twinloop.tui.terminal.app import Twinloop

LOOK_S = 0.05
_FONTS = re.compile(r"\s*@font-face \{[^}]*\}")
"""a picture asks nobody on the net for anything: the reader's own monospaced font does"""
VIEWS = 3
"""of the instant, before it is drawn: the first may have been asked for earlier"""


def picture(
    file: Path, seed: int | None, target: Path, at_ns: int, screen: str, size: tuple[int, int]
) -> None:
    """Write it as SVG; raises ScenarioError when the scenario can't be run, or the file not written."""
    drawn = without_fonts(asyncio.run(_drawn(file, seed, at_ns, screen, size)))
    try:
        target.write_text(drawn, encoding="utf-8")
    except OSError as error:
        raise ScenarioError("--screenshot", None, "", f"{target}: {error.strerror}") from error


def without_fonts(drawn: str) -> str:
    """A picture that asks nobody for anything."""
    return _FONTS.sub("", drawn)


async def _drawn(file: Path, seed: int | None, at_ns: int, screen: str, size: tuple[int, int]) -> str:
    app = Twinloop(file, seed)
    async with app.run_test(size=size) as pilot:
        await _until(app, lambda: app.view is not None)
        app.action_show(screen)
        app.feed.send(RunTo(at_ns))
        seen: list[View] = []

        def there() -> bool:
            """It stands still, and has been looked at since, with the device's details."""
            view = app.view
            if (
                view is not None
                and view.mode not in ("playing", "rewinding")
                and view.snapshot.now_ns >= 0
                and not any(view is one for one in seen)
            ):
                seen.append(view)
            return len(seen) >= VIEWS

        await _until(app, there)
        app.redraw()
        await pilot.pause()
        return app.export_screenshot(title=f"twinloop {app.plan.name if app.plan else ''}")


async def _until(app: Twinloop, holds: Callable[[], bool]) -> None:
    while not holds():
        if app.problem:
            raise ScenarioError(*_parted(app.problem))
        if not app.there:  # it has failed; the pilot says how
            raise RuntimeError("the screen is gone")
        await asyncio.sleep(LOOK_S)


def _parted(problem: str) -> tuple[str, None, str, str]:
    name, _, text = problem.partition(": ")
    return name, None, "", text
