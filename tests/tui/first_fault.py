"""The tutorial's way from a FAIL to its cause, to a mended file and a PASS, key by key, with a picture at each
stop.

Belongs here: the keys and what has to be seen at each. Never: what screens show. The tests play it, and

    python -m tests.tui.first_fault

draws the tutorial's pictures. The editor is a program that writes into the file what the tutorial says.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tui.scene import text_of, until
from twinloop.tui.terminal.app import Twinloop
from twinloop.tui.terminal.picture import without_fonts

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "tutorial.md").read_text(encoding="utf-8")
SCENARIO = PAGE.split("# outage.yaml: FAIL\n")[1].split("```")[0]
BEFORE, STORE = "uplink: {link: cloud}}", "store: {capacity: 1 MiB}"
SIZE = 120, 36
KEYS_MAX = 12


@dataclass(frozen=True)
class Stop:
    """Keys, what has to be seen then, and the picture's name if there is one."""

    keys: tuple[str, ...]
    seen: tuple[str, ...]
    picture: str = ""


STOPS = (
    Stop(("f",), ("at the end: ✗ FAIL", "ratio(samples.delivered) == 100 %", "69.8 %")),
    Stop(("tab", "tab"), ("enter: why",), "fails"),
    Stop(("enter",), ("why: 3620 lost{no-store}, of 20 devices", "Worst moments", "cut cloud"), "why"),
    Stop(("enter",), ("trouble cut cloud", "✗ lost, no-store")),
    Stop(("enter",), ("✗ lost, no-store", "Calls of components", "modbus-driver", "read holding"), "sample"),
    Stop(("e",), ("outage.yaml was read again",)),
    Stop(("f",), ("at the end: ✓ PASS",), "passes"),
)
KEYS = [key for stop in STOPS for key in stop.keys]


def editor(folder: Path) -> str:
    """A command that does what the tutorial tells the reader to do in an editor."""
    program = folder / "editor.py"
    program.write_text(
        "import pathlib, sys\n"
        "file = pathlib.Path(sys.argv[-1])\n"
        f"file.write_text(file.read_text().replace({BEFORE!r}, {BEFORE[:-1] + ', ' + STORE + '}'!r}))\n",
        encoding="utf-8",
    )
    return f'"{sys.executable}" "{program}"'


async def walk(app: Twinloop, pilot: Any, drawn: Callable[[str, str], None]) -> None:
    """All stops; ``drawn`` hears of each picture: its name, and the SVG."""
    app.suspend = contextlib.nullcontext  # type: ignore[method-assign]  # no terminal is to be lent
    await until(pilot, lambda: app.view is not None)
    for stop in STOPS:
        for key in stop.keys:
            await pilot.press(key)
            await pilot.pause()
        await until(pilot, lambda stop=stop: all(one in text_of(app) for one in stop.seen))  # type: ignore[misc]
        if stop.picture:
            drawn(stop.picture, without_fonts(app.export_screenshot(title="twinloop tui outage.yaml")))


async def _pictures(folder: Path) -> None:
    file = folder / "outage.yaml"
    file.write_text(SCENARIO, encoding="utf-8")
    os.environ["VISUAL"] = editor(folder)
    app = Twinloop(file)
    async with app.run_test(size=SIZE) as pilot:

        def drawn(name: str, svg: str) -> None:
            target = DOCS / "pictures" / f"first-fault-{name}.svg"
            target.write_text(svg, encoding="utf-8")
            print(target.relative_to(DOCS.parent))

        await walk(app, pilot, drawn)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        asyncio.run(_pictures(Path(place)))
