"""What a guest dies of, told everywhere alike: in the report, in result.json, and in the terminal's log."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from tests.components import guests
from tests.tui.scene import S, engine, go, inline, text_of, until, view, with_app
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import LIBRARY, load
from twinloop.scenarios.report.console import report
from twinloop.scenarios.runner import Options, run
from twinloop.tui.command import command
from twinloop.tui.engine.messages import RunTo
from twinloop.tui.terminal.app import Twinloop

NESTED = "(func $scale (unreachable)) (func $convert (call $scale)) (func $poll (call $convert))"
START = "(func $set-up (unreachable)) (func $begin (call $set-up)) (start $begin)"
SAYS_1 = "(i32.store (i32.const 2048) (i32.const 1)) (i32.store (i32.const 2052) (i32.const {}))"
NOT_CONFIGURED = f"{SAYS_1.format(0)} (i32.const 2048)"
REJECTED_7 = f"{SAYS_1.format(2)} (i32.store (i32.const 2056) (i32.const 7)) (i32.const 2048)"
GUESTS = {
    "nested": guests.driver_text("(call $poll) EMPTY", arguments=NESTED),
    "starts": guests.driver_text("EMPTY", arguments=START),
    "unset": guests.driver_text(NOT_CONFIGURED),
    "rejects": guests.driver_text(REJECTED_7),
}
"""name of a component, of its fleet, and of its file -> what it is"""
SCENARIO = """\
format: 2
name: dies
duration: 6 s
grace: 4 s
fleets:
FLEETS
  loud: {device: press-sensor, protocol: modbus-tcp, poll: 1 s, link: plant, gateway: gw, driver: loud}
links:
  plant: {preset: lan}
  cloud: {preset: lte}
components:
COMPONENTS
  loud: {wasm: hostile-driver.wasm, grants: [fieldbus, clock, log], limits: {cpu: 10 ms, deadline: 500 ms}, with: {timeout: 200 ms, do: flood-stderr, from: "1"}}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}, store: {}}
expect:
  - count(component.faults{component=nested, cause=unreachable}) >= 1
"""
FLEET = (
    "  {0}: {{device: press-sensor, protocol: modbus-tcp, poll: 1 s, link: plant, gateway: gw, driver: {0}}}"
)
TRAP = "wasm trap: wasm `unreachable` instruction executed"


@pytest.fixture
def dies(tmp_path: Path) -> Path:
    """A scenario with a guest of each sort, in a folder of its own."""
    for name, text in GUESTS.items():
        (tmp_path / f"{name}.wasm").write_bytes(text)
    shutil.copy(LIBRARY / "hostile" / "hostile-driver.wasm", tmp_path)
    fleets = "\n".join(FLEET.format(name) for name in GUESTS)
    components = "\n".join(f"  {name}: {{wasm: {name}.wasm, grants: []}}" for name in GUESTS)
    path = tmp_path / "dies.yaml"
    path.write_text(SCENARIO.replace("FLEETS", fleets).replace("COMPONENTS", components), encoding="utf-8")
    return path


def test_the_result_and_the_report(host: Host, dies: Path) -> None:
    result = run(load(dies), Options(), host)
    told: dict[str, Any] = json.loads(json.dumps(result.data))["gateways"]["gw"]["told"]
    faults = {one["component"]: one for one in told["faults"]}
    nested, starts, loud = faults["nested"], faults["starts"], faults["loud"]
    assert (nested["instance"], nested["cause"], nested["message"]) == (
        "gw/driver/nested/1",
        "unreachable",
        TRAP,
    )
    assert (nested["functions"][:3], nested["fuel"] > 0) == (["scale", "convert", "poll"], True)
    assert (starts["message"], starts["functions"]) == (f"in its start code: {TRAP}", ["set-up", "begin"])
    assert starts["first_ns"] < 0, "it is told though nothing had been polled"
    assert (loud["cause"], "you will read this again" in loud["stderr"]) == ("out-of-fuel", True)
    errors = {one["component"]: (one["device"], one["error"]) for one in told["errors"]}
    assert errors == {"unset": ("unset/1", "not-configured"), "rejects": ("rejects/1", "rejected(7)")}
    text = io.StringIO()
    report(Console(file=text, width=400), result, "dies")
    lines = [line.strip() for line in text.getvalue().splitlines()]
    said = {
        line.split(" (")[0].rpartition("/driver/")[2].partition("/")[0]: line
        for line in lines
        if line.startswith("fault  ")
    }
    assert said["nested"].startswith("fault  gw/driver/nested/1 (nested) unreachable, ")
    assert f"{nested['fuel']} fuel: {TRAP} in scale < convert < poll" in said["nested"]
    assert (
        f"first at boot after {starts['fuel']} fuel: in its start code: {TRAP} in set-up < begin"
        in said["starts"]
    )
    assert any(line.startswith("stderr  ") and "you will read this again" in line for line in lines)
    assert any(line.startswith("error  unset, ") and line.endswith(": not-configured") for line in lines)
    assert any(line.startswith("error  rejects, ") and line.endswith(": rejected(7)") for line in lines)


def test_the_engines_log(host: Host, dies: Path) -> None:
    """Place, cause, fuel, message, functions; of the first boot too. The same run as without a screen."""
    one = engine(host, dies)
    one.handle(RunTo(4 * S))
    go(one)
    texts = [line.text for line in view(one).log if line.kind == "fault"]
    nested = [text for text in texts if text.startswith("gw/driver/nested/1 unreachable after ")]
    assert nested
    assert all(f" fuel: {TRAP} in scale < convert < poll" in text for text in nested)
    starts = [line for line in view(one).log if line.kind == "fault" and "gw/driver/starts/1" in line.text]
    assert starts[0].at_ns < 0
    assert all(f": in its start code: {TRAP} in set-up < begin" in line.text for line in starts)
    limits = [(line.at_ns, line.text) for line in view(one).log if line.kind == "limit"]
    assert 1 <= len(limits) < 20, "a guest that hits its limit again and again pushes nothing out of the log"
    one.world.close()


def test_the_screen(host: Host, dies: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        app.feed.send(RunTo(4 * S))
        await until(pilot, lambda: app.view is not None and app.view.snapshot.now_ns > 3 * S)
        await pilot.press("6")
        await until(pilot, lambda: "in scale < convert < poll" in text_of(app))
        assert "gw/driver/nested/1 unreachable after " in text_of(app)

    with_app(dies, body, size=(220, 60), start=inline(host))


class Breaks:
    """A terminal that an exception has ended, as Textual leaves it."""

    return_code = 1

    def __init__(self, file: Path, seed: int | None, beside: tuple[str, ...] | None) -> None:
        pass

    def run(self) -> None:
        pass


def test_a_screen_that_breaks_ends_with_a_code_of_its_own(
    file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """And not with that of a run that held."""
    monkeypatch.setattr("twinloop.tui.command._require_terminal", lambda: None)
    monkeypatch.setattr("twinloop.tui.terminal.app.Twinloop", Breaks)
    assert command([str(file)]) == 70
    assert "please report it" in capsys.readouterr().err
