"""A session from a file: keys, waits, what has to be seen, pictures: for demonstrations and tests.

Belongs here: reading the file, and carrying it out. Never: what keys do (app.py). A step is a mapping of one
key: press, type, until, wait, see, picture.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textual.pilot import Pilot

from twinloop.scenarios.cli.evidence.files import writable
from twinloop.scenarios.judging.verdict import INTERNAL_ERROR
from twinloop.scenarios.text.document import parse_value, read_text
from twinloop.scenarios.text.errors import ScenarioError, shown_path, unknown
from twinloop.scenarios.text.units import duration, show_duration
from twinloop.tui.engine.messages import RunTo, View
from twinloop.tui.terminal.app import Twinloop
from twinloop.tui.terminal.picture import VIEWS, without_fonts

STEPS_MAX, KEYS_MAX, LOOK_S = 1_000, 200, 0.05
SEEN_WITHIN_S, REACHED_WITHIN_S = 20.0, 600.0
"""until what has to be seen is missed, and an instant of the run is given up"""
NOT_SEEN = 1
KINDS = {
    "press": "keys, one or a list: f, space, down",
    "type": "a text, key by key",
    "until": "an instant of the run that has to be reached",
    "wait": "a time on the wall's clock",
    "see": "a text that has to be on the screen",
    "picture": "a file that the screen is drawn into, SVG",
}


@dataclass(frozen=True, slots=True)
class Step:
    """One step. ``value``: keys, text, nanoseconds or a path, by its kind."""

    at: str
    kind: str
    value: Any


def read_session(file: Path) -> list[Step]:
    """The steps of a file; raises ScenarioError with the place in it."""
    data = parse_value(read_text(file), shown_path(file), ())
    if not isinstance(data, list) or not data:
        raise _error(file, "", f"expected a list of steps: {', '.join(KINDS)}")
    if len(data) > STEPS_MAX:
        raise _error(file, "", f"{len(data)} steps; at most {STEPS_MAX} are played")
    return [_step(file, number, one) for number, one in enumerate(data, 1)]


def _error(file: Path, place: str, text: str) -> ScenarioError:
    return ScenarioError(shown_path(file), None, place, text)


def _step(file: Path, number: int, data: Any) -> Step:
    place = f"step {number}"
    if not isinstance(data, dict) or len(data) != 1:
        raise _error(file, place, f"expected a mapping of one key: {', '.join(KINDS)}")
    ((kind, value),) = data.items()
    if kind not in KINDS:
        raise _error(file, place, unknown("step", str(kind), list(KINDS)))
    if kind in ("until", "wait"):
        try:
            value = duration(value)
        except (TypeError, ValueError) as error:
            raise _error(file, f"{place}: {kind}", str(error)) from error
    elif kind == "press":
        keys = value if isinstance(value, list) else [value]
        if not keys or len(keys) > KEYS_MAX:
            raise _error(file, f"{place}: {kind}", f"expected 1 to {KEYS_MAX} keys, got {len(keys)}")
        value = [str(key) for key in keys]
    elif not isinstance(value, str) or not value:
        raise _error(file, f"{place}: {kind}", f"expected {KINDS[kind]}")
    return Step(place, kind, value)


class Session:
    """Carries steps out. ``missed``: what should have been seen and wasn't, empty while all is well; ``say``
    hears of pictures."""

    def __init__(self, app: Twinloop, steps: list[Step], say: Callable[[str], None]) -> None:
        self._app, self._steps, self._say = app, steps, say
        self.missed = ""

    async def play(self, pilot: Pilot[Any]) -> None:
        """All of them, then the end of the screen."""
        await self._holds(lambda: self._app.view is not None, REACHED_WITHIN_S)
        for step in self._steps:
            if self.missed or self._app.problem or self._app.return_code or not self._app.is_running:
                break
            await getattr(self, f"_{step.kind}")(step, pilot)
        if not self._app.return_code:  # one that broke ends by itself, and says so
            self._app.exit(0)

    async def _press(self, step: Step, pilot: Pilot[Any]) -> None:
        await pilot.press(*step.value)
        await pilot.pause()

    async def _type(self, step: Step, pilot: Pilot[Any]) -> None:
        await pilot.press(*(_key(one) for one in step.value))
        await pilot.pause()

    async def _wait(self, step: Step, pilot: Pilot[Any]) -> None:
        await asyncio.sleep(step.value / 1e9)

    async def _until(self, step: Step, pilot: Pilot[Any]) -> None:
        self._app.feed.send(RunTo(step.value))
        still: list[View] = []

        def there() -> bool:
            """It stands still, at the last event before that instant, or at the run's end."""
            view = self._app.view
            if view is None or view.mode in ("playing", "rewinding"):
                still.clear()
            elif not any(view is one for one in still):
                still.append(view)
            return len(still) >= VIEWS

        if not await self._holds(there, REACHED_WITHIN_S):
            self.missed = f"{step.at}: the run didn't come to {show_duration(step.value)}"

    async def _see(self, step: Step, pilot: Pilot[Any]) -> None:
        wanted = " ".join(step.value.split())
        if not await self._holds(lambda: wanted in self.text(), SEEN_WITHIN_S):
            self.missed = f'{step.at}: "{step.value}" isn\'t on the screen'

    async def _picture(self, step: Step, pilot: Pilot[Any]) -> None:
        target = Path(step.value)
        writable("picture", target)
        self._app.redraw()
        await pilot.pause()
        name = self._app.plan.name if self._app.plan else ""
        drawn = without_fonts(self._app.export_screenshot(title=f"twinloop {name}"))
        target.write_text(drawn, encoding="utf-8")
        self._say(str(target))

    def text(self) -> str:
        """What is on the screen, lines joined, each run of blanks one."""
        lines = [strip.text for strip in self._app.screen._compositor.render_strips()]
        return " ".join(" ".join(lines).split())

    async def _holds(self, holds: Callable[[], bool], within_s: float) -> bool:
        for _ in range(round(within_s / LOOK_S)):
            if holds():
                return True
            if self._app.problem or not self._app.is_running:
                return False
            await asyncio.sleep(LOOK_S)
        return holds()


def _key(character: str) -> str:
    return {" ": "space", "\n": "enter"}.get(character, character)


def play(
    file: Path,
    seed: int | None,
    steps: list[Step],
    size: tuple[int, int] | None,
    beside: tuple[str, ...] | None = None,
) -> int:
    """Play a session; without a terminal on a screen of ``size``; ``beside``: what is changed in a second
    run. Returns the exit code: 1 when something wasn't seen. Raises ScenarioError."""
    app, pictures = Twinloop(file, seed, beside=beside), list[str]()
    session = Session(app, steps, pictures.append)
    app.run(headless=size is not None, size=size, auto_pilot=session.play)
    for picture in pictures:
        print(picture)
    if app.return_code:  # it broke: what broke it stands above
        print("error: a mistake in twinloop itself, please report it with the lines above", file=sys.stderr)
        return INTERNAL_ERROR
    if app.problem:
        name, _, text = app.problem.partition(": ")
        raise ScenarioError(name, None, "", text)
    if session.missed:
        print(session.missed)
        return NOT_SEEN
    return 0
