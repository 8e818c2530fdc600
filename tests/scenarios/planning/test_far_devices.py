"""Devices behind a slow link: connecting has a timeout of its own, as libmodbus and pymodbus have it, and
what can't be is said before the run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import COMPONENTS, result
from twinloop.components.host.host import Host
from twinloop.scenarios.judging.verdict import Verdict


def far(tmp_path: Path, host: Host, delay: str, timeout: str, poll: str = "2 s", **changes: Any) -> Any:
    """Polls over a link with that delay each way. The first one connects."""
    driver = {**COMPONENTS["modbus-driver"], "with": {"timeout": timeout}}
    links = {"plant": {"delay": delay}, "cloud": {}}
    expect = ["ratio(samples.delivered) == 100 %", "max(latency.gateway) <= 1 s"]
    base: dict[str, Any] = {
        "fleet": {"poll": poll},
        "links": links,
        "components": {**COMPONENTS, "modbus-driver": driver},
        "expect": expect,
    }
    return result(tmp_path, host, **{**base, **changes})


def test_connecting_has_its_own_timeout(tmp_path: Path, host: Host) -> None:
    """260 ms to connect, 260 ms and a response for each exchange, each within 500 ms: the first poll takes
    540 ms, no poll is missed."""
    found = far(tmp_path, host, "130 ms", "500 ms")
    assert found.verdict is Verdict.PASS, found.judged
    assert 520_000_000 < found.data["latency"]["gateway"]["max_ns"] < 560_000_000
    assert found.data["latency"]["gateway"]["p50_ns"] < 290_000_000


@pytest.mark.parametrize(("delay", "passes"), [("240 ms", True), ("251 ms", False)])
def test_a_timeout_that_is_shorter_than_the_way_is_never_kept(
    tmp_path: Path, host: Host, delay: str, passes: bool
) -> None:
    """480 ms there and back is within a timeout of 500 ms, connecting and asking in turn; 502 ms isn't, and a
    run's notes say so."""
    found = far(tmp_path, host, delay, "500 ms")
    assert (found.verdict is Verdict.PASS) == passes
    assert any("no exchange ever ends well; a longer timeout" in note for note in found.notes) == (
        not passes
    ), found.notes
    if not passes:
        assert found.data["ledger"]["missed"] == {"timeout": found.data["ledger"]["due"]}


def test_a_deadline_too_short_for_connecting_and_a_silent_device_is_warned_of(
    tmp_path: Path, host: Host
) -> None:
    found = far(tmp_path, host, "130 ms", "800 ms", poll="1 s", duration="3 s")
    (note,) = [note for note in found.notes if "it is killed while it waits" in note]
    assert (
        "a timeout of 800 ms, after up to 260 ms for connecting over plant, is not over before its calls' deadline of 1 s"
        in note
    )
    found = far(tmp_path, host, "90 ms", "800 ms", poll="1 s", duration="3 s")
    assert not [note for note in found.notes if "it is killed while it waits" in note]


def test_other_protocols_connect_as_patiently(tmp_path: Path, host: Host) -> None:
    """OPC UA: each of the handshake's exchanges has its timeout; MQTT: a driver that sends first waits until
    it is connected."""
    names = {"opcua": "opcua-driver", "mqtt": "mqtt-driver"}
    for protocol, driver in names.items():
        options = {"timeout": "320 ms"} if protocol == "opcua" else {"timeout": "500 ms"}
        components = {
            **COMPONENTS,
            driver: {"wasm": f"{driver}.wasm", "grants": ["fieldbus", "clock", "log"], "with": options},
        }
        del components["modbus-driver"]
        fleet = {
            "protocol": protocol,
            "driver": driver,
            "poll": "4 s" if protocol == "opcua" else None,
            "publish": None if protocol == "opcua" else "4 s",
        }
        found = far(
            tmp_path,
            host,
            "130 ms",
            "500 ms",
            fleet=fleet,
            components=components,
            expect=["count(samples.missed{cause=timeout}) == 0"],
        )
        assert found.verdict is Verdict.PASS, (protocol, found.judged)
        assert found.data["ledger"]["delivered"] > 0.5 * found.data["ledger"]["due"]
