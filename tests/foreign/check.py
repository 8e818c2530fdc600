"""``make test-foreign``: clients that nobody here wrote against ``twinloop serve``, unchanged and in the versions
of clients.toml. Exit code 1 when one is not content.

Belongs here: what each client is asked, and what it must answer. Never: how it is installed (environments.py),
what devices hold (held.py).
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.foreign.environments import Client, Missing, clients, python_of
from tests.foreign.held import Held
from tests.foreign.serving import serving
from tests.scenarios.wire.test_serve import SCENARIO
from tests.test_docs_datasheet import files
from twinloop.devices.catalogue.sunspec import MODEL_BASE
from twinloop.devices.catalogue.sunspec_any import sunspec_model
from twinloop.devices.catalogue.sunspec_layout import published
from twinloop.devices.model.device import Device
from twinloop.scenarios.file.datasheet.writing import write_model
from twinloop.sim.kernel.random import RandomStreams

HERE = Path(__file__).resolve().parent
RUN = HERE / "clients"
TIME_ZONE_S = 3600
"""what the example's inverter says of its time zone: the client takes it from each time"""
OF_BITS = {
    "state_1": [["Grid-Connected"], ["Grid-Connected", "Grid-Connected normally"]],
    "state_2": [["Unlocked", "PV connected", "DSP data collection"]],
    "alarm_1": [["Grid Overvoltage"]],
    "device_status": ["On-grid"],
}
"""what huawei-solar makes of bits and of a state that it knows by a word"""
BITS = {"on_grid", "on_grid_normally", "grid_loss", "grid_overvoltage"}
"""points that the client doesn't know: it has the registers in which they lie"""
_FLEET = "protocol: modbus-tcp, poll: 60 s, link: plant, gateway: gw, driver: modbus-driver"
_SUNSPEC = """\
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


def ask(*command: str | Path) -> str:
    """What a client prints. Raises AssertionError with its own words when it fails."""
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def until_now(begun: float) -> int:
    """Seconds of a device's life that may have been seen."""
    return int(time.monotonic() - begun) + 5


# ---- one client each -----------------------------------------------------------------------------
def sdm_modbus(client: Client, folder: Path) -> str:
    """The meter, all that the client knows of it."""
    python, begun = python_of(client), time.monotonic()
    with serving(folder / "desk.yaml") as at:
        where = urlsplit(at["meters/1"])
        told = json.loads(
            ask(python, RUN / "sdm630.py", str(where.hostname), str(where.port), where.path.strip("/"))
        )
    held = Held(folder, "meter.yaml", "meters/1", until_now(begun))
    points = {point.name for point in held.model.points}
    wrong = [name for name in points if not held.has_value(name, told[name])]
    assert not wrong, [(name, told[name]) for name in wrong]
    assert not any(value for name, value in told.items() if name not in points), "what nothing describes"
    return f"{len(told)} values, {len(points)} points as held, the others 0"


def huawei_solar(client: Client, folder: Path) -> str:
    """The inverter, by its default unit id."""
    python, begun = python_of(client), time.monotonic()
    with serving(folder / "house.yaml") as at:
        where = urlsplit(at["inverters/1"])
        held = Held(folder, "inverter.yaml", "inverters/1", 60)
        names = [point.name for point in held.model.points]
        told = json.loads(ask(python, RUN / "sun2000.py", str(where.hostname), str(where.port), *names))
    assert until_now(begun) < 60, "this machine is too slow for what is compared"
    assert told["who"] == {
        "kind": "HuaweiSUN2000Bridge",
        "model": "SUN2000-5KTL-L1",
        "serial": "HV2140012345",
        "strings": 2,
        "battery": 2,
        "meter": True,
        "capacity control": True,
    }, told["who"]
    found: dict[str, Any] = told["found"]
    for name in ("startup_time", "system_time"):
        found[name] += TIME_ZONE_S
    assert set(names) - set(found) == BITS
    for name, value in found.items():
        right = value in OF_BITS[name] if name in OF_BITS else held.has_value(name, value)
        assert right, (name, value)
    assert told["written"] == 2000
    return f"{told['who']['model']} with battery and meter, {len(found)} points as held, one written"


def pysunspec2(client: Client, folder: Path) -> str:
    """Every published SunSpec model, its groups and instances. A step is very long here: what a client reads in
    several requests is of one instant."""
    python = python_of(client)
    models: dict[str, tuple[int, Device]] = {}
    fleets: list[str] = []
    for number in published():
        model = replace(sunspec_model(number), name=f"model/m{number}.yaml", step_ns=3_600_000_000_000)
        (folder / model.name).write_text(write_model(model), encoding="utf-8")
        models[f"m{number}/1"] = (
            number,
            Device(model, f"m{number}/1", 1, RandomStreams(1).key(f"device/m{number}/1")),
        )
        fleets.append(f"  m{number}: {{device: {model.name}, {_FLEET}}}")
    (folder / "sunspec.yaml").write_text(_SUNSPEC + "\n".join(fleets), encoding="utf-8")
    with serving(folder / "sunspec.yaml") as at:
        places = {name: urlsplit(at[name]) for name in models}
        first = next(iter(places.values()))
        units = {place.path.strip("/"): name for name, place in places.items()}
        told = json.loads(ask(python, RUN / "sunspec.py", str(first.hostname), str(first.port), *units))
    compared = 0
    for unit, name in units.items():
        number, device = models[name]
        assert told[unit][0] == number, (name, told[unit][0])
        device.advance(0)
        for i, point in enumerate(device.model.points):
            if point.address < MODEL_BASE:
                continue
            value, seen = device.image.value(i), told[unit][1][str(point.address)]
            none = point.type == "u32" and value == 0 and seen is None  # an accumulator of 0 is none
            assert none or (seen is not None and abs(seen - value) <= 1e-6 * max(1.0, abs(value))), (
                name,
                point.name,
                seen,
                value,
            )
            compared += 1
    return f"{len(models)} models, {compared} points as held"


def _battery(folder: Path) -> tuple[Held, dict[str, tuple[int, int]]]:
    held = Held(folder, "battery.yaml", "batteries/1", 90)
    return held, {point.name: (point.address, point.width) for point in held.model.points}


def mbpoll(folder: Path) -> str:
    """The battery monitor, register by register."""
    if shutil.which("mbpoll") is None:
        raise Missing("mbpoll isn't installed (apt install mbpoll)")
    held, places = _battery(folder)
    begun = time.monotonic()
    with serving(folder / "house.yaml") as at:
        where = urlsplit(at["batteries/1"])
        unit = parse_qs(where.query)["unit"][0]
        line = ["mbpoll", "-m", "rtu", "-a", unit, "-b", "19200", "-P", "none", "-0", "-1", "-t", "4"]
        for name, (address, count) in places.items():
            shown = ask(*line, "-r", str(address), "-c", str(count), where.path)
            words = [int(one) for one in re.findall(r"^\[\d+\]:\s+(\d+)", shown, re.MULTILINE)]
            assert held.has_words(name, words), (name, shown)
        assert "Written 1 references" in ask(*line, "-r", "280", where.path, "0")
        assert re.search(r"^\[280\]:\s+0$", ask(*line, "-r", "280", where.path), re.MULTILINE)
    assert until_now(begun) < 90, "this machine is too slow for what is compared"
    return f"{len(places)} points as held, over the line, one written"


def modbus_serial(folder: Path) -> str:
    """The battery monitor, its manners, too."""
    _need_node()
    held, places = _battery(folder)
    begun = time.monotonic()
    with serving(folder / "house.yaml") as at:
        wanted = json.dumps(sorted(set(places.values())))
        told = json.loads(ask("node", RUN / "battery.mjs", at["batteries/1"], wanted))
    assert until_now(begun) < 90, "this machine is too slow for what is compared"
    wrong = [name for name, (at_, _) in places.items() if not held.has_words(name, told["found"][str(at_)])]
    assert not wrong, wrong
    assert told["identity"] == ["Example", "BM-48", "1.4"], told["identity"]
    return f"{len(places)} points as held, over the line, identity, three refusals, one written"


def node_clients(folder: Path) -> str:
    """modbus-serial and node-opcua against shipped devices."""
    _need_node()
    with serving(folder / "shipped.yaml") as at:
        told = ask("node", RUN / "modbus.mjs", at["presses/3"], at["meters/2"])
        told += ask("node", RUN / "opcua.mjs", at["tanks/1"])
    return "\n    ".join(told.strip().splitlines())


def _need_node() -> None:
    if shutil.which("node") is None or not (HERE / "node_modules").exists():
        raise Missing("node and its packages aren't installed (npm)")


def main() -> int:
    """All of them, each by itself; says how it went."""
    known = clients()
    codes = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model").mkdir()
        for file, text in files().items():
            (folder / file).write_text(text, encoding="utf-8")
        (folder / "shipped.yaml").write_text(SCENARIO, encoding="utf-8")
        checks: dict[str, Callable[[], str]] = {
            f"sdm_modbus {known['sdm_modbus'].version}, meter": lambda: sdm_modbus(
                known["sdm_modbus"], folder
            ),
            f"huawei-solar {known['huawei-solar'].version}, inverter": lambda: huawei_solar(
                known["huawei-solar"], folder
            ),
            f"pysunspec2 {known['pysunspec2'].version}, every SunSpec model": lambda: pysunspec2(
                known["pysunspec2"], folder
            ),
            "mbpoll, battery monitor": lambda: mbpoll(folder),
            f"modbus-serial {known['modbus-serial'].version}, battery monitor": lambda: modbus_serial(folder),
            f"modbus-serial, node-opcua {known['node-opcua'].version}, shipped devices": lambda: node_clients(
                folder
            ),
        }
        for title, check in checks.items():
            try:
                print(f"{title}: {check()}", flush=True)
                codes.append(0)
            except Missing as missing:
                print(f"{title}: SKIPPED: {missing}", flush=True)
            except (AssertionError, subprocess.TimeoutExpired) as wrong:
                print(f"{title}: FAILED: {wrong}", flush=True)
                codes.append(1)
    return int(any(codes))


if __name__ == "__main__":
    sys.exit(main())
