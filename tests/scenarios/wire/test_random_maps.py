"""Random register maps on three arms: simulated, served to a client that is told nothing of us, attached; and what
`record` writes of a device with every type and order."""

from __future__ import annotations

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pymodbus.client import ModbusTcpClient

from tests.components.test_modbus_driver import ask, driver
from tests.components.test_modbus_types import BAD_SENSOR, maps, values_of
from tests.plants import plant
from tests.scenarios.cli.test_cli import TINY, run_json
from tests.scenarios.wire.test_attach import serving
from tests.sim.serving.test_served import Desk, bare
from tests.steady import steady
from twinloop.components.host.host import Host
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.encodings import ENCODINGS
from twinloop.devices.model.points import ORDERS, ORDERS_64, Point, Power, Text
from twinloop.devices.model.signal import Signal
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.datasheet.writing import write_model
from twinloop.sim.gateway.reader import point_configs


def every() -> DeviceModel:
    """Each type in each order that it has, two as bits, one scaled live, texts."""
    points: list[Point] = []
    at = 0
    for kind, encoding in ENCODINGS.items():
        for order in ORDERS:
            if order in ORDERS_64 and encoding.registers != 4:
                continue
            level: float = -7 if encoding.signed else 93
            point = Point(f"{kind}-{order}", "holding", at, kind, order)
            whole = (1 << 62) + 12_345 if kind in ("u64", "i64") else 9_007_199_254_740_993
            points.append(
                Point(
                    point.name,
                    "holding",
                    at,
                    kind,
                    order,
                    signal=Signal(level=whole if point.exact else float(level)),
                )
            )
            at += encoding.registers
    points += [
        Point("low", "holding", at, "u16", bits=(0, 4), signal=Signal(level=9.0)),
        Point("high", "holding", at, "i16", bits=(4, 12), signal=Signal(level=-1000.0)),
        Point("w-sf", "holding", at + 1, "i16", signal=Signal(level=-2.0)),
        Point("w", "holding", at + 2, "i16", power=Power("w-sf", at + 1), signal=Signal(level=12.34)),
        Point("name", "holding", at + 3, "text", text=Text(6, "Zähler 1")),
    ]
    return DeviceModel("model/m.yaml", "every type", "ours", ("modbus-tcp",), tuple(points), step_ns=10**9)


def scenario(folder: Path, model: DeviceModel, seconds: int = 3) -> Path:
    (folder / "model").mkdir(exist_ok=True)
    (folder / "model" / "m.yaml").write_text(write_model(model), encoding="utf-8")
    text = TINY.replace("press-sensor", "model/m.yaml").replace("count: 3", "count: 1")
    text = text.replace("duration: 5 s", f"duration: {seconds} s").replace(
        "p99(latency.gateway) <= 50 ms", "count(samples.missed) == 0"
    )
    text = text.replace("timeout: 200 ms", "timeout: 900 ms")  # a busy machine is no fault of the driver
    text = text.replace("duration:", "pace: {tolerance: 30 s}\nduration:")
    file = folder / "s.yaml"
    file.write_text(text, encoding="utf-8")
    return file


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=maps())
def test_a_random_map_is_read_as_it_is_shown(tmp_path: Path, points: tuple[Point, ...]) -> None:
    model = DeviceModel("model/m.yaml", "random", "ours", ("modbus-tcp",), points)
    code, document = run_json(scenario(tmp_path, model))
    truth = document["truth"]
    assert truth["wrong"] == 0, truth["example"]
    assert truth["checked"] == truth["readings"] - sum(document["quality"]["readings"]["bad"].values())
    assert document["ledger"]["due"] == 3 * len(points)
    assert code in (0, 1)


@steady
def test_every_type_served_and_attached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A client of its own reads the registers; then the shipped driver reads the same device over the same
    socket, and all that it says is what the device shows."""
    model = every()
    file = scenario(tmp_path, model)
    with serving(tmp_path, file.read_text(encoding="utf-8"), devices=1) as (at, _):
        url = at.read_text(encoding="utf-8").partition("tcp://")[2].partition('"')[0]
        host, _, rest = url.partition(":")
        port, _, unit = rest.partition("/")
        client = ModbusTcpClient(host, port=int(port))
        device = Device(model, "presses/1", 1, 0)
        device.advance(0)
        last = max(point.address + point.width for point in model.points)
        found: list[int] = []
        while len(found) < last:
            count = min(125, last - len(found))
            found += client.read_holding_registers(len(found), count=count, device_id=int(unit)).registers
        client.close()
        assert found == device.image.read_words("holding", 0, last)
        out = tmp_path / "attached.json"
        assert main(["attach", str(file), "--map", str(at), "--json", str(out)]) == 0, capsys.readouterr()
        text = out.read_text(encoding="utf-8")
        assert '"wrong": 0' in text
        assert f'"due": {3 * len(model.points)}' in text


MAPS_AT_ONCE = 6


@settings(
    max_examples=3,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # over sockets, shrinking takes minutes
)
@given(points=st.lists(maps(), min_size=MAPS_AT_ONCE, max_size=MAPS_AT_ONCE))
def test_random_maps_are_attached(tmp_path: Path, points: list[tuple[Point, ...]]) -> None:
    """A fleet for each map, all served by another process: what the driver says of each over its socket is
    what it says of the simulated one, and what the device shows."""
    file = scenario(tmp_path, DeviceModel("model/m.yaml", "random", "ours", ("modbus-tcp",), points[0]), 2)
    text = file.read_text(encoding="utf-8")
    (line,) = (one for one in text.splitlines(keepends=True) if "device: model/m.yaml" in one)
    fleets = []
    for number, one in enumerate(points):
        model = DeviceModel(f"model/m{number}.yaml", "random", "ours", ("modbus-tcp",), one)
        (tmp_path / "model" / f"m{number}.yaml").write_text(write_model(model), encoding="utf-8")
        fleets.append(line.replace("presses:", f"f{number}:").replace("m.yaml", f"m{number}.yaml"))
    text = text.replace(line, "".join(fleets))
    out = tmp_path / "attached.json"
    with serving(tmp_path, text, devices=MAPS_AT_ONCE) as (at, _):
        main(["attach", str(file), "--map", str(at), "--json", str(out)])
    found = json.loads(out.read_text(encoding="utf-8"))["results"][0]
    _, simulated = run_json(file)
    assert found["ledger"]["due"] == simulated["ledger"]["due"] == 2 * sum(len(one) for one in points)
    for document in (found, simulated):
        truth, bad = document["truth"], document["quality"]["readings"]["bad"]
        assert truth["wrong"] == 0, truth["example"]
        least = truth["readings"] - sum(bad.values())
        # of an attached device who serves it says, too, that it had no value
        assert least <= truth["checked"] <= least + (sum(bad.values()) if document is found else 0)
    assert found["truth"]["readings"] == simulated["truth"]["readings"]
    assert found["quality"]["readings"]["bad"] == simulated["quality"]["readings"]["bad"]


def test_record_writes_every_value_exactly(tmp_path: Path) -> None:
    """Texts are no numbers: a recording has none."""
    model = every()
    file = scenario(tmp_path, model)
    assert main(["record", str(file), "--for", "3 s", "--out", str(tmp_path / "recording")]) == 0
    device = Device(model, "presses/1", 1, 0)
    device.advance(0)
    rows = list(csv.DictReader((tmp_path / "recording" / "presses-1.csv").open(encoding="utf-8")))
    read: dict[str, set[str]] = {}
    for row in rows:
        assert row["status"] == "0"
        read.setdefault(row["point"], set()).add(row["value"])
    for index, point in enumerate(model.points):
        if point.text is not None:
            assert point.name not in read
            continue
        (value,) = read[point.name]
        assert (int(value) if point.exact else float(value)) == device.image.value(index), point.name


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(points=maps())
def test_a_random_map_is_served_as_it_is_simulated(host: Host, points: tuple[Point, ...]) -> None:
    """The shipped driver as the client of a served port."""
    model = DeviceModel("model/m.yaml", "random", "ours", ("modbus-tcp",), points)
    spec = bare(plant(host, count=1))
    desk = Desk(replace(spec, devices=tuple(replace(one, model=model) for one in spec.devices))).modbus()

    def answer(request: Any) -> Any:
        if request.name != "fieldbus.transact":
            return None
        asked, now = len(desk.heard), desk.plant.env.now
        desk.say(now, request.arguments[0])
        desk.plant.run_to(now + 1_000_000_000)
        assert len(desk.heard) == asked + 1
        return True, desk.heard[-1][1]

    try:
        with driver(host, point_configs(model, 0, "modbus-tcp")) as instance:
            got = values_of(ask(instance, answer).value)
        image = desk.plant.field.servers[0].device.image
        for i, point in enumerate(points):
            value = image.value(i)
            wanted = hex(BAD_SENSOR) if value - value != 0.0 else value
            assert got[i] == (wanted if point.text is None else point.text.content), point
    finally:
        desk.close()
