"""Every published SunSpec model, served, and read by SunSpec's own client (pysunspec2), which has nothing to do
with ours: it finds the models, their groups and their strings, and scales by the factors that it reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sunspec2.modbus.client import SunSpecModbusClientDeviceTCP

from tests.scenarios.wire.test_serve import on_the_wire, port_of
from twinloop.components.host.host import Host
from twinloop.devices.catalogue.sunspec import BASE, MODEL_BASE
from twinloop.devices.catalogue.sunspec_layout import counters, levels, places, published
from twinloop.devices.model.device import Device
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.planning.plan import Planner
from twinloop.scenarios.wire.wire import Endpoint, served
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.serving.plant import ServedPlant

HEAD = """\
format: 2
name: sunspec
duration: 60 s
links: {plant: {preset: lan}, cloud: {preset: lan}}
components:
  modbus-driver: {wasm: modbus-driver.wasm, grants: [fieldbus, clock, log]}
  normalize: {wasm: normalize.wasm, grants: [log]}
  route: {wasm: route.wasm, grants: [log]}
gateways:
  gw: {board: raspberry-pi-4, transform: normalize, policy: route, uplink: {link: cloud}}
expect: [count(samples.lost) == 0]
fleets:
"""
FLEET = "  {name}: {{device: {device}, protocol: modbus-tcp, poll: 60 s, link: plant, gateway: gw, driver: modbus-driver}}\n"
STILL_NS = 10**15
"""a step that no test lives to see the end of: what a client reads in several requests is of one instant"""
CHOSEN = (
    *(f"sunspec/{number}:live:texts" for number in (1, 12, 103, 122, 133, 160, 601, 701, 704, 705, 714, 803, 63001, 63002, 64410, 64411)),
    "sunspec/160:0", "sunspec/160:7", "sunspec/705:3x5", "sunspec/707:0", "sunspec/805:90", "sunspec/302:1", "sunspec/705:0:live",
)  # fmt: skip


def read(
    devices: list[str], host: Host, then: Callable[[Any], None] = lambda client: None
) -> list[tuple[Device, Any]]:
    """(each device, what SunSpec's client has found in it, and done ``then``)."""
    fleets = "".join(FLEET.format(name=f"m{i}", device=device) for i, device in enumerate(devices))
    spec, _ = served(Planner(load_text(HEAD + fleets, Path("sunspec.yaml")), host).world(), False)
    still = [replace(one, model=replace(one.model, step_ns=STILL_NS)) for one in spec.devices]
    plant = ServedPlant(replace(spec, devices=type(spec.devices)(still)), EPOCH_NS)
    found: list[tuple[Device, Any]] = []

    def scanned(endpoint: Endpoint) -> Any:
        port, unit = port_of(endpoint)
        client = SunSpecModbusClientDeviceTCP(slave_id=unit, ipaddr="127.0.0.1", ipport=port, timeout=30)
        client.scan()
        then(client)
        return client

    async def all_of_it() -> None:
        async with asyncio.timeout(120), on_the_wire(plant) as (_, endpoints):
            for server in plant.field.servers:
                device = server.device
                found.append((device, await asyncio.to_thread(scanned, endpoints[device.name])))

    try:
        with plant.field.inside():
            plant.boot()
            asyncio.run(all_of_it())
    finally:
        plant.close()
    return found


def flat(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(path, point) of all that the client has, instances by their number."""
    for name, point in group.points.items():
        yield path + name, point
    for name, inner in group.groups.items():
        if isinstance(inner, list):
            for i, one in enumerate(inner):
                yield from flat(one, f"{path}{name}.{i + 1}.")
        else:
            yield from flat(inner, f"{path}{name}.")


def agrees(device: Device, client: Any) -> int:
    """Is what the client says what the device holds? Returns how many points were compared."""
    number = int(device.model.name.removeprefix("sunspec/").partition(":")[0])
    assert client.base_addr == BASE
    assert [model.model_id for model in client.model_list] == [1, number], "one model, and the end"
    common, model = client.model_list
    assert (common.Mn.value, common.Md.value, common.Vr.value) == ("twinloop", "simulated", "1.0")
    assert not common.error_info
    assert not model.error_info
    theirs = {model.model_addr + point.offset: (path, point) for path, point in flat(model)}
    assert model.model_addr == MODEL_BASE
    end = max(address + point.len for address, (_, point) in theirs.items())
    assert end == MODEL_BASE + 2 + model.model_len, "its length is that of its points and groups"
    compared = 0
    for index, point in enumerate(device.model.points):
        if point.address < MODEL_BASE:
            continue
        path, read = theirs[point.address]
        if point.type == "text":
            assert read.value == point.text.content, path
        else:
            value = device.image.value(index)
            seen = read.cvalue
            if point.type == "u32" and read.pdef["type"] == "acc32" and value == 0:
                assert seen is None, "an accumulator of 0 is one that isn't there"
            else:
                assert seen == pytest.approx(value, rel=1e-6, abs=1e-12), (device.model.name, path)
        compared += 1
    return compared


@pytest.fixture(scope="module")
def plain(host: Host) -> list[tuple[Device, Any]]:
    return read([f"sunspec/{number}" for number in published()], host)


def test_sunspecs_own_client_reads_every_model(plain: list[tuple[Device, Any]]) -> None:
    assert [model.name for model in (device.model for device, _ in plain)] == [
        f"sunspec/{number}" for number in published()
    ]
    for device, client in plain:
        assert agrees(device, client) == len(device.model.points)


def test_it_finds_the_instances_of_every_group(plain: list[tuple[Device, Any]]) -> None:
    for (_, client), number in zip(plain, published(), strict=True):
        model = client.model_list[1]
        assert [path for path, _ in flat(model)] == [place.path for place in places(number, 0)[0]]
        for name, _ in counters(number).items():
            assert model.points[name].value == 2, (number, name)
        for name in levels(number)[0] if levels(number) else ():
            assert len(model.groups[name]) == 2


def test_strings_and_addresses_hold_something(plain: list[tuple[Device, Any]]) -> None:
    for (_, client), number in zip(plain, published(), strict=True):
        for path, point in flat(client.model_list[1]):
            if point.pdef["type"] in ("string", "ipaddr", "ipv6addr", "eui48"):
                assert point.is_impl(), (number, path)
    wifi = next(client for device, client in plain if device.model.name == "sunspec/11")
    assert wifi.model_list[1].MAC.value == "02:00:00:00:00:10"


def test_chosen_instances_live_factors_and_texts(host: Host) -> None:
    found = read([*CHOSEN], host)
    for device, client in found:
        compared = agrees(device, client)
        texts = 5 if device.model.name.endswith(":texts") else 0
        assert compared == len(device.model.points) - texts
    by_name = {device.model.name: client.model_list[1] for device, client in found}
    assert len(by_name["sunspec/160:7"].module) == by_name["sunspec/160:7"].N.value == 7
    assert [len(curve.Pt) for curve in by_name["sunspec/705:3x5"].Crv] == [5, 5, 5]
    assert "module" not in by_name["sunspec/160:0"].groups
    assert len(by_name["sunspec/805:90"].groups["lithium-ion-module-cell"]) == 90


def test_what_the_client_writes_is_there(host: Host) -> None:
    def write(client: Any) -> None:
        client.connect()
        model = client.model_list[1]
        if model.model_id == 705:
            model.Crv[1].Pt[2].V.cvalue = 97.0
            model.Crv[1].write()
        else:
            model.curve[1].CrvNam.value = "winter"
            model.curve[1].write()
        client.disconnect()

    (curves, _), (names, _) = read(["sunspec/705:2x3:live", "sunspec/126:texts"], host, write)
    index = curves.model.index("crv-2-pt-3-v")
    assert index is not None
    assert curves.image.value(index) == 97.0
    name = names.model.index("curve-2-crv-nam")
    assert name is not None
    cell, at = names.image.cell(name), names.model.points[name].address
    assert cell is not None
    assert cell.decode_text(names.image.read_raw("holding", at, 8) or b"") == "winter"
