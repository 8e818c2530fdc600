"""The hostile set: whatever a guest does, others keep their latency, the report names component, place and cause,
the run repeats, and Ctrl-C is heard."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.scenarios.cli.test_signals import HEARD_S, TRIES, cost_of_a_signal
from tests.scenarios.shipped_runs import ShippedRuns
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import LIBRARY, library_names, load_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run
from twinloop.sim.kernel.clock import MS

ODD, LINE, SHARED = "gw/driver/odd/1", "gw/driver/meters/1", "gw-b"
FAULTS = {
    "exits": (ODD, "exit"),
    "floods-log": (ODD, "out-of-fuel"),
    "floods-stderr": (ODD, "out-of-fuel"),
    "grows": (ODD, "memory-limit"),
    "hoards": (ODD, "quota"),
    "holds-the-bus": (LINE, "deadline"),
    "invalid-utf8": (ODD, "abi"),
    "loops": (ODD, "out-of-fuel"),
    "loops-in-start": (ODD, "out-of-fuel"),
    "policy-decides-for-nobody": (f"{SHARED}/policy", "contract"),
    "recurses": (ODD, "stack"),
    "returns-10-mb": (ODD, "transfer-limit"),
    "sleeps-for-ever": (ODD, "deadline"),
    "transform-loops": (f"{SHARED}/transform", "out-of-fuel"),
    "traps-on-the-third-poll": (ODD, "unreachable"),
}
"""scenario -> where its guest dies, five times, and of what"""
SAYS = {
    "fills-its-folder": (
        'error hostile, 18 times, first for odd/1 at 2 s: other("write: quota")',
        f"limit {ODD} (hostile) file-quota, 18 times",
    ),
    "nan-as-good": (
        "error hostile, 18 times, first for odd/1 at 2 s: a value that is no number, called Good",
        "180 readings are not what the device showed; odd/1 pressure",
    ),
    "opens-a-file-and-a-socket": (
        'error hostile, 18 times, first for odd/1 at 2 s: other("file: no folder, socket: access-denied")',
        f"denied {ODD} (hostile) wasi:sockets/tcp-create-socket#create-tcp-socket, 18 times",
    ),
}
"""scenarios whose guest goes on living: what the report says of it"""
GOOD: dict[str, dict[str, Any]] = {
    "driver": {"wasm": "modbus-driver.wasm", "grants": ["fieldbus", "clock", "log"]},
    "transform": {"wasm": "normalize.wasm", "grants": ["log"]},
    "policy": {"wasm": "route.wasm", "grants": ["log"]},
}
NAMES = sorted([*FAULTS, *SAYS])


def read(name: str) -> dict[str, Any]:
    """The scenario as it ships."""
    data: dict[str, Any] = yaml.safe_load((LIBRARY / "hostile" / f"{name}.yaml").read_text(encoding="utf-8"))
    return data


def result_of(name: str, data: dict[str, Any], host: Host) -> Result:
    """Of a changed one, in its place."""
    return run(load_text(yaml.safe_dump(data), LIBRARY / "hostile" / f"{name}.yaml"), Options(), host)


def give_good_guest(data: dict[str, Any]) -> None:
    """In place of the hostile one: the same plant and seed."""
    shared = [
        role
        for gateway in data["gateways"].values()
        for role in ("transform", "policy")
        if gateway[role] == "hostile"
    ]
    bad, good = data["components"]["hostile"], GOOD[shared[0] if shared else "driver"]
    options = {key: value for key, value in bad.get("with", {}).items() if key not in ("do", "from")}
    data["components"]["hostile"] = {**good, "limits": bad["limits"], "with": options}


def latencies(data: dict[str, Any]) -> dict[str, float]:
    """p99 of the others, by expectation."""
    return {
        one["expression"]: one["measured"]
        for one in data["expectations"]
        if one["expression"].startswith("p99(latency.gateway")
    }


def test_the_set_is_whole() -> None:
    assert [f"hostile/{name}" for name in NAMES] == [
        name for name in library_names() if name.startswith("hostile/")
    ]
    assert len(NAMES) >= 12


@pytest.mark.parametrize("name", NAMES)
def test_the_others_keep_their_latency(host: Host, shipped_runs: ShippedRuns, name: str) -> None:
    hostile = shipped_runs(f"hostile/{name}").data
    data = read(name)
    give_good_guest(data)
    data["expect"] = [text for text in data["expect"] if text.startswith("p99(latency.gateway")]
    good = result_of(name, data, host).data
    assert not good["gateways"]["gw"]["faults"]
    assert good["ledger"]["delivered"] == good["ledger"]["due"], "the good guest does its work"
    was, now = latencies(good), latencies(hostile)
    assert len(was) >= 2
    assert now == {text: pytest.approx(value, rel=0.1) for text, value in was.items()}


@pytest.mark.parametrize("name", ["floods-log", "floods-stderr", "loops", "returns-10-mb"])
def test_on_a_single_core_others_wait_for_one_limit_at_most(host: Host, name: str) -> None:
    """There is no other core for them: p99 doesn't hold, but none waits longer than a call may take, 10 ms, and
    2 ms for what comes after it."""
    longest = []
    for change in (lambda data: None, give_good_guest):
        data = read(name)
        change(data)
        data["gateways"]["gw"]["board"] = "beaglebone-black"
        data["expect"] = ["max(latency.gateway{fleet=presses}) <= 1 s"]
        longest.append(result_of(name, data, host).data["expectations"][0]["measured"] / MS)
    hostile, good = longest
    assert good < hostile < good + 12


@pytest.mark.parametrize("name", NAMES)
def test_a_hostile_run_repeats(host: Host, shipped_runs: ShippedRuns, name: str) -> None:
    """In another process, or after another run in this one: what it did there left nothing here."""
    file = LIBRARY / "hostile" / f"{name}.yaml"
    again = run(load_text(file.read_text(encoding="utf-8"), file), Options(), host)
    assert again.data["digest"] == shipped_runs(f"hostile/{name}").data["digest"]


@pytest.mark.parametrize("name", FAULTS)
def test_the_report_names_component_place_and_cause(shipped_runs: ShippedRuns, name: str) -> None:
    came, (place, cause) = shipped_runs(f"hostile/{name}"), FAULTS[name]
    told = {
        one: data["told"]["faults"] for one, data in came.data["gateways"].items() if data["told"]["faults"]
    }
    [gateway] = told
    assert gateway == place.split("/", maxsplit=1)[0]
    assert [(one["component"], one["instance"], one["cause"], one["count"]) for one in told[gateway]] == [
        ("hostile", place, cause, 5)
    ]
    assert f"fault {place} (hostile) {cause}, 5 times" in " ".join(came.printed.split())


@pytest.mark.parametrize("name", SAYS)
def test_the_report_names_who_was_refused_and_went_on(shipped_runs: ShippedRuns, name: str) -> None:
    came = shipped_runs(f"hostile/{name}")
    assert not came.data["gateways"]["gw"]["faults"]
    for text in SAYS[name]:
        assert text in " ".join(came.printed.split())


# ---- Ctrl-C --------------------------------------------------------------------------------------
WORST = """\
format: 2
name: worst
duration: 20000 s
fleets:
  m: {{device: press-sensor, protocol: modbus-tcp, poll: {poll}, link: plant, gateway: gw, driver: odd}}
links:
  plant: {{preset: lan}}
  cloud: {{preset: lan}}
components:
  odd: {{wasm: {wasm}, grants: [fieldbus, clock, log], limits: {{start: 10000 s}}, with: {{{options}}}}}
  normalize: {{wasm: normalize.wasm, grants: [log]}}
  route: {{wasm: route.wasm, grants: [log]}}
gateways:
  gw:
    board: raspberry-pi-4
    transform: normalize
    policy: route
    uplink: {{link: cloud}}
    supervision: {{first: 100 ms, max: 100 ms, quarantine: 1000000 in 1 s}}
expect:
  - count(samples.missed) == 0
"""


@pytest.mark.parametrize("deed", ["loop", "start", "grow", "flood-log", "flood-stderr", "watch"])
def test_ctrl_c_is_heard(tmp_path: Path, deed: str) -> None:
    """No limit but a deadline of hours. ``grow`` dies of its limit each time, and is started again at once."""
    wasm = LIBRARY / "hostile" / f"hostile-{'start' if deed == 'start' else 'driver'}.wasm"
    (tmp_path / "guest.wasm").write_bytes(wasm.read_bytes())
    options = "" if deed == "start" else f'do: {deed}, from: "1"'
    poll = "1 s" if deed == "grow" else "10000 s"
    (tmp_path / "s.yaml").write_text(WORST.format(wasm="guest.wasm", options=options, poll=poll))
    costs: list[float] = []
    while not costs or (costs[-1] >= HEARD_S and len(costs) < TRIES):
        costs.append(cost_of_a_signal(tmp_path, signal.SIGINT))
    assert 0 < min(costs) < HEARD_S, (
        f"CPU seconds from the signal to the end, 0 if it was over before: {costs}"
    )
