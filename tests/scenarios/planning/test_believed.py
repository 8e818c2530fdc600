"""The gateway believes another table than the device has: `believes`, by hand."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cli.test_cli import TINY, run_json
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.load import load
from twinloop.scenarios.planning.feasibility import warnings
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.wire.places import attached
from twinloop.scenarios.wire.wire import served
from twinloop.sim.model.spec import WorldSpec
from twinloop.sim.world import World
from twinloop.tui.engine.watch import Watch

HAS = """\
format: 1
title: a meter
source: ours
step: 60 s
points:
  energy: {table: holding, address: 0, type: u32, scale: 0.1, signal: {level: 70000.5}}
  power: {table: holding, address: 2, type: i16, nan: [0x7FFF], signal: {level: -1200}}
  limit: {table: holding, address: 3, type: u16, scale: 0.1, writable: true, signal: {level: 50}}
  spare: {table: holding, address: 4, type: u16, signal: {level: 9}}
"""
"""70000.5 is 700005 = 0x000AAE65; with its words swapped 0xAE65000A = 2925854730, times 0.1: 292585473"""


def run(
    tmp_path: Path, believed: str | None, more: str = "", device: str = HAS
) -> tuple[int, dict[str, Any]]:
    """5 polls of one device, 4 points each."""
    (tmp_path / "model").mkdir(exist_ok=True)
    (tmp_path / "model" / "has.yaml").write_text(device)
    text = TINY.replace("press-sensor", "model/has.yaml").replace("count: 3", "count: 1")
    if believed is not None:
        (tmp_path / "model" / "believed.yaml").write_text(believed)
        text = text.replace("model/has.yaml,", "model/has.yaml, believes: model/believed.yaml,")
    file = tmp_path / "s.yaml"
    file.write_text(text.replace("p99(latency.gateway) <= 50 ms", "count(samples.missed) == 0") + more)
    return run_json(file)


MISTAKES = {
    "a word order": ("type: u32,", "type: u32, order: sw,", "energy", 292585473.0, 70000.5, "another word order"),
    "a scale": ("type: u32, scale: 0.1", "type: u32, scale: 0.01", "energy", 7000.05, 70000.5, "another scale"),
    "an address off by one": ("address: 2,", "address: 3,", "power", 500.0, -1200.0, "an address that is off by one"),
    "another address": ("address: 2,", "address: 4,", "power", 9.0, -1200.0, "another address"),
    "a type": ("address: 2, type: i16", "address: 2, type: u16", "power", 64336.0, -1200.0, "another type"),
    "an offset": ("type: u32, scale: 0.1", "type: u32, scale: 0.1, offset: 5", "energy", 70005.5, 70000.5, "another offset"),
}  # fmt: skip


@pytest.mark.parametrize("name", MISTAKES)
def test_what_is_believed_wrongly_is_named(tmp_path: Path, name: str) -> None:
    old, new, point, said, true, kind = MISTAKES[name]
    believed = HAS.replace(old, new, 1)
    if name.startswith(("an address", "another address")):  # what lies there isn't believed in
        there = "limit" if name.startswith("an ") else "spare"
        believed = "\n".join(line for line in believed.splitlines() if not line.startswith(f"  {there}:"))
    code, document = run(tmp_path, believed)
    truth = document["truth"]
    assert truth["wrong"] == 5, "each poll's"
    found = re.fullmatch(
        r"presses/1 (\S+), sample 0: read (\S+), the device showed (\S+) \(looks like (.*)\)",
        truth["example"],
    )
    assert found is not None, truth["example"]
    assert (found[1], found[4]) == (point, kind)
    assert (float(found[2]), float(found[3])) == pytest.approx((said, true))
    assert code == 1, "a reading that is wrong is no PASS"


def test_what_is_believed_rightly_is_no_news(tmp_path: Path) -> None:
    code, document = run(tmp_path, HAS.replace("a meter", "the same by another name"))
    assert (code, document["truth"]["wrong"], document["ledger"]["due"]) == (0, 0, 20)


def test_a_point_that_the_device_has_not_got_is_missed(tmp_path: Path) -> None:
    """It lies where the device shows something else: read, and yet nobody's."""
    code, document = run(tmp_path, HAS + "  ghost: {table: holding, address: 4, type: u16}\n".replace("4", "5"), device=HAS + "  other: {address: 5, type: u16, signal: {level: 3}}\n")  # fmt: skip
    assert code == 1
    assert document["ledger"]["due"] == 25
    assert document["ledger"]["missed"] == {"device": 5}


def test_a_point_that_is_not_believed_in_is_not_due(tmp_path: Path) -> None:
    code, document = run(
        tmp_path, HAS.replace("  spare: {table: holding, address: 4, type: u16, signal: {level: 9}}\n", "")
    )
    assert (code, document["ledger"]["due"]) == (0, 15)


def test_a_sentinel_that_is_not_believed_in_passes_as_no_number(tmp_path: Path) -> None:
    code, document = run(
        tmp_path, HAS.replace(", nan: [0x7FFF]", ""), device=HAS.replace("level: -1200", "level: 40000")
    )
    assert document["truth"]["wrong"] == 5
    assert "looks like another number that means that there is no value" in document["truth"]["example"]
    assert code == 1


NAMED = HAS + "  name: {address: 20, type: text, length: 4, text: pump}\n"
"""a device with a text of four registers, of which two are in use"""


def test_a_text_that_is_believed_to_be_shorter(tmp_path: Path) -> None:
    """What is cut off is empty: the text is right. Of a longer one a part is read, and the device shows the whole."""
    code, document = run(tmp_path, NAMED.replace("length: 4", "length: 2"), device=NAMED)
    assert (code, document["truth"]["wrong"], document["truth"]["checked"]) == (0, 0, 25)
    code, document = run(
        tmp_path, NAMED.replace("length: 4", "length: 2"), device=NAMED.replace("pump", "pump-12")
    )
    assert (code, document["truth"]["wrong"]) == (1, 5)
    assert document["truth"]["example"] == (
        "presses/1 name, sample 0: read 'pump', the device showed 'pump-12'"
    )


@pytest.mark.parametrize(
    ("device", "believed"),
    [
        (NAMED, HAS + "  name: {address: 20, type: u16}\n"),
        (
            HAS + "  name: {address: 20, type: u16, signal: {level: 16706}}\n",
            HAS + "  name: {address: 20, type: text, length: 1}\n",
        ),
    ],
    ids=["a number", "a text"],
)
def test_a_number_in_the_place_of_a_text_is_missed_and_not_wrong_as_well(
    tmp_path: Path, device: str, believed: str
) -> None:
    code, document = run(tmp_path, believed, device=device)
    assert code == 1
    assert document["ledger"]["missed"] == {"device": 5}
    assert document["truth"]["wrong"] == 0


def test_a_mistake_that_shows_once_is_seen(tmp_path: Path) -> None:
    """40100 is above what an i16 holds, for one of 200 polls: none of the first ten, which are compared anyway."""
    high = HAS.replace("step: 60 s", "step: 1 s").replace(
        "level: 9", "kind: square, level: 100, swing: 40000, period: 400 s, duty: 0.0025, phase: 300 s"
    )
    believed = high.replace("4, type: u16", "4, type: i16")
    run(tmp_path, believed, device=high)
    file = tmp_path / "s.yaml"
    file.write_text(file.read_text().replace("duration: 5 s", "duration: 200 s"))
    code, document = run_json(file)
    assert document["truth"]["checked"] == document["truth"]["readings"] == 800
    assert (code, document["truth"]["wrong"]) == (1, 1)


@pytest.mark.parametrize(
    ("believed", "own", "missed"),
    [("unit: 3\n", "unit: 5\n", {"rejected": 20}), ("", "unit: 5\n", {}), ("unit: 5\n", "unit: 5\n", {})],
)
def test_the_unit_id_of_the_believed_table_is_asked(
    tmp_path: Path, believed: str, own: str, missed: dict[str, int]
) -> None:
    """A table that names none leaves the device's own."""
    at = "points:"
    code, document = run(
        tmp_path, HAS.replace(at, believed + at), device=HAS.replace(at, own + at).replace("a meter", "it")
    )
    assert document["ledger"]["missed"] == missed
    assert code == bool(missed)


def test_another_device_of_the_line_that_answers_is_not_the_one_that_is_meant(tmp_path: Path) -> None:
    """All three are asked as unit 2: they are alike, and yet only what m/2 says is its own."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "has.yaml").write_text(HAS)
    (tmp_path / "model" / "believed.yaml").write_text(HAS.replace("points:", "unit: 2\npoints:"))
    text = TINY.replace("press-sensor,", "model/has.yaml, believes: model/believed.yaml,")
    text = text.replace("modbus-tcp", "modbus-rtu").replace(
        "plant: {preset: lan}", "plant: {serial: 19200 Bd}"
    )
    (tmp_path / "s.yaml").write_text(
        text.replace("p99(latency.gateway) <= 50 ms", "count(samples.missed) == 0")
    )
    code, document = run_json(tmp_path / "s.yaml")
    assert code == 1
    assert document["ledger"]["delivered"] == document["ledger"]["due"] == 60, (
        "nobody else would have noticed"
    )
    assert document["truth"]["wrong"] == 40
    assert document["truth"]["example"].endswith("(looks like a value that was not read in this poll)")


WRITE = """\
timeline:
  - {at: 2500 ms, write: presses/1, point: limit, value: 42}
"""


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("type: u16, scale: 0.1, writable", "type: u16, scale: 0.01, writable", "another scale"),
        (
            "  limit: {table: holding, address: 3",
            "  limit: {table: holding, address: 4",
            "an address that is off by one",
        ),
    ],
)
def test_writes_go_through_it(tmp_path: Path, old: str, new: str, kind: str) -> None:
    """42.0 is 420; by hundredths 4200, which the device takes for 420.0; one address on it sets something else."""
    believed = HAS.replace(old, new, 1)
    device = HAS
    if "address" in kind:
        believed = believed.replace(
            "  spare: {table: holding, address: 4, type: u16, signal: {level: 9}}\n", ""
        )
        device = HAS.replace("address: 4, type: u16,", "address: 4, type: u16, writable: true,")
    code, document = run(tmp_path, believed, WRITE, device)
    assert document["commands"] == {"issued": 1, "done": 1}
    assert document["truth"]["commands_wrong"] == 1
    assert f"({kind})" in document["truth"]["command_example"]
    assert code == 1


def test_what_can_t_be_believed_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for old, new, says in (
        (
            "device: press-sensor,",
            "device: press-sensor, believes: pres-sensor,",
            'did you mean "press-sensor"',
        ),
        ("protocol: modbus-tcp,", "protocol: opcua, believes: energy-meter,", "believed over Modbus"),
    ):
        (tmp_path / "s.yaml").write_text(
            TINY.replace(old, new)
            .replace("modbus-driver.wasm", "opcua-driver.wasm" if "opcua" in new else "modbus-driver.wasm")
            .replace("modbus-driver: {wasm: opcua", "modbus-driver: {wasm: opcua")
        )
        assert main(["check", str(tmp_path / "s.yaml")]) == 3
        assert says in capsys.readouterr().err


def planned(tmp_path: Path, host: Host) -> WorldSpec:
    run(tmp_path, HAS.replace("scale: 0.1, signal", "scale: 0.01, signal", 1))
    return Planner(load(tmp_path / "s.yaml"), host, None).world()


def test_served_devices_have_their_own_table(tmp_path: Path, host: Host) -> None:
    spec, left_out = served(planned(tmp_path, host), False)
    assert left_out == ["believes of presses: devices are served with their own table"]
    assert [(one.model.name, one.believed) for one in spec.devices] == [("model/has.yaml", None)]


def test_of_an_attached_device_only_the_believed_table_counts(tmp_path: Path, host: Host) -> None:
    spec, _ = attached(planned(tmp_path, host), {"presses/1": "tcp://127.0.0.1:502"})
    assert [(one.model.name, one.believed) for one in spec.devices] == [("model/believed.yaml", None)]


def test_the_terminal_shows_the_believed_points_with_the_device_s_values(tmp_path: Path, host: Host) -> None:
    believed = HAS.replace("address: 0, type: u32", "address: 0, type: u32, order: sw")
    believed += "  ghost: {address: 9, type: u16}\n  name: {address: 20, type: text, length: 4}\n"
    device = HAS + "  name: {address: 20, type: text, length: 4, text: pump}\n"
    run(tmp_path, believed, device=device)
    spec = Planner(load(tmp_path / "s.yaml"), host, None).world()
    world = World(spec, host)
    try:
        view = Watch(world).device(0)
    finally:
        world.close()
    assert view.values == ((70000.5, 0), (-1200.0, 0), (50.0, 0), (9.0, 0), (None, 0), ("pump", 0))


def test_another_unit_and_a_table_that_nobody_can_read_are_foreseen(tmp_path: Path, host: Host) -> None:
    """The numbers are right and mean something else; without function 3 no holding register is read."""
    believed = HAS.replace("points:\n", "points:\n  extra: {address: 30, type: u16, unit: bar}\n", 1)
    has = HAS.replace("points:\n", "points:\n  extra: {address: 30, type: u16, unit: kPa}\n", 1)
    run(tmp_path, believed, device=has)
    spec = Planner(load(tmp_path / "s.yaml"), host, None).world()
    assert [one for one in warnings(spec) if "believed in" in one] == [
        "presses: extra is believed in bar, and the device has it in kPa"
    ]
    run(tmp_path, HAS, device=has.replace("step:", "functions: [4]\nstep:", 1))
    spec = Planner(load(tmp_path / "s.yaml"), host, None).world()
    (told,) = (one for one in warnings(spec) if "doesn't know function" in one)
    assert told == "presses: it doesn't know function 3, by which its points in holding would be read"
