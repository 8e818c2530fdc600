"""The search: what is found, in which order, how fast in a large plant, and what enter opens."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from textual.widgets import OptionList

from tests.tui.scene import Inline, S, engine, inline, until, view, with_app
from twinloop.components.host.host import Host
from twinloop.tui.engine.messages import DeviceInfo, Do, LogLine, RunTo
from twinloop.tui.screens.finding.search import GROUPS, SHOWN_MAX, Thing, search, things
from twinloop.tui.screens.finding.search_box import SearchBox
from twinloop.tui.screens.fleet_table import FleetTable
from twinloop.tui.terminal.app import Twinloop

CPU_S = 0.05
"""that a key may take"""


def thing(group: str, name: str, detail: str = "") -> Thing:
    return Thing(group, name, detail, -1, f"{name}\n{detail}".lower())


def test_the_best_match_comes_first_and_so_does_its_group() -> None:
    """Called so, begins so, has it in its name, has it anywhere."""
    known = [
        thing("Devices", "old-press/1"),
        thing("Devices", "press/1"),
        thing("Devices", "tank/1", "on the press's link"),
        thing("Links", "press"),
        thing("Log", "a line", "PRESS"),
    ]
    found = search(known, "Press")
    assert [group.group for group in found] == ["Links", "Devices", "Log"]
    assert [one.name for one in found[1].best] == ["press/1", "old-press/1", "tank/1"]
    assert [one.group for one in search(known, "press link")] == ["Devices"], "all words"
    assert search(known, "  ") == []
    assert search(known, "xyzzy") == []


def test_of_a_group_some_are_shown_and_all_are_counted() -> None:
    (found,) = search([thing("Devices", f"press/{i}") for i in range(100)], "press")
    assert (found.count, len(found.best)) == (100, SHOWN_MAX)


def test_everything_that_has_a_name_is_known(host: Host, file: Path) -> None:
    one = engine(host, file)
    one.handle(RunTo(7 * S))
    while one.mode == "playing":
        one.slice()
    one.handle(Do({"cut": "plant"}))
    known = things(one.plan, view(one))
    names = {group: [each.name for each in known if each.group == group] for group in GROUPS}
    assert names["Devices"][:2] == ["presses/1", "presses/2"]
    assert names["Gateways"] == ["gw"]
    assert sorted(names["Links"]) == ["cloud", "line", "plant"]
    assert {"modbus-driver", "opcua-driver", "normalize", "route"} <= set(names["Components"])
    assert len(names["Expectations"]) == 3
    assert names["Timeline"][:1] == ["cut cloud"]
    assert "cut: plant" in names["Timeline"]
    assert "write tanks/1" in names["Timeline"]
    assert len(names["Timeline"]) == 3, "none twice"
    assert "cloud cut" in names["Log"]
    (cut,) = [each for each in known if each.name == "cloud cut"]
    assert cut.number == 6 * S
    one.world.close()


def test_a_key_is_fast_with_ten_thousand_devices(host: Host, file: Path) -> None:
    """And 2 000 lines of the log: what is typed is looked for in well under 50 ms of CPU time."""
    one = engine(host, file)
    plan, seen = one.plan, view(one)
    point = plan.devices[0].points
    many = tuple(
        DeviceInfo(f"presses/{i}", "presses", "modbus-tcp", "plant", "gw", S, point) for i in range(10_000)
    )
    lines = tuple(LogLine(i, i, "component", f"gw gw/driver/presses/{i} down") for i in range(2000))
    known = things(replace(plan, devices=many), replace(seen, log=lines))
    typed = ["p", "pr", "presses", "presses 9", "presses/99", "gw down", "xyzzy"]
    spent = []
    for text in typed:
        took = []
        for _ in range(3):
            began = time.process_time()
            found = search(known, text)
            took.append(time.process_time() - began)
        spent.append(min(took))
        assert bool(found) is (text != "xyzzy")
    assert max(spent) < CPU_S, dict(zip(typed, spent, strict=True))
    one.world.close()


def test_what_was_found_is_opened(host: Host, file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        assert isinstance(app.feed, Inline)
        assert app.plan is not None

        async def open_(*keys: str) -> None:
            await pilot.press("ctrl+f")
            box = app.screen
            assert isinstance(box, SearchBox)
            await pilot.press(*keys)
            assert any(option.id for option in box.query_one(OptionList).options)
            await pilot.press("enter")
            assert app.screen is app.base

        await open_(*"meters", "down")
        assert (app.shown, app.plan.devices[app.chosen.device].name) == ("device", "meters/2")
        await open_(*"gw")
        assert app.shown == "gateway"
        await open_(*"p99")
        assert (app.shown, app.way.closer.expectation) == ("expectation", 1)
        await open_(*"line")
        assert app.shown == "fleet"
        assert len(app.base.query_one(FleetTable).chosen()) == 2, "both meters hang on it"
        await open_(*"normalize")
        assert (app.shown, app.way.closer.component) == ("component", "normalize")
        await open_(*"write", "space", *"tank")
        assert app.feed.sent[-1] == RunTo(12 * S)
        await until(pilot, lambda: app.view is not None and app.view.snapshot.now_ns > 11 * S)
        await pilot.press("ctrl+f", *"xyzzy", "enter")
        assert isinstance(app.screen, SearchBox), "there is nothing to open"
        await pilot.press("up", "escape")
        assert app.screen is app.base

    with_app(file, body, start=inline(host))
