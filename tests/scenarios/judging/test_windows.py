"""Expectations over windows, phases and spans after an event: what is counted, what is modelled, and when it
is over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import COMPONENTS, result
from twinloop.components.host.host import Host
from twinloop.scenarios.judging.verdict import Verdict

GATEWAY = {"board": "raspberry-pi-4", "transform": "normalize", "policy": "route", "store": {}}
S = 1_000_000_000


def judged(tmp_path: Path, host: Host, *expect: str, **changes: Any) -> list[Any]:
    return result(tmp_path, host, expect=list(expect), **changes).judged


def test_a_backlog_isnt_gone_while_its_messages_are_on_a_dead_connection(tmp_path: Path, host: Host) -> None:
    """The link heals at 13 s; what was sent before the cut is sent again too late for a user timeout of 10 s,
    and nobody dials for ten minutes."""
    dead = {**GATEWAY, "uplink": {"link": "cloud", "retry": {"first": "10 min", "max": "10 min"}}}
    changes: dict[str, Any] = {
        "duration": "120 s",
        "grace": "0 s",
        "links": {"plant": {"preset": "lan"}, "cloud": {"preset": "lte"}},
        "timeline": [{"at": "5 s", "cut": "cloud", "for": "8 s"}],
    }
    expect = ("backlog == 0 within 60 s after heal cloud", "stuck == 0 within 60 s after heal cloud")
    found = judged(tmp_path, host, *expect, gateways={"gw": dead}, **changes)
    assert [one.verdict for one in found] == [Verdict.FAIL] * 2
    assert found[1].why.startswith("stuck: the uplink of gw is waiting; ")
    usual = {**GATEWAY, "uplink": {"link": "cloud"}}
    long, short = judged(
        tmp_path,
        host,
        expect[0],
        "backlog == 0 within 1 s after heal cloud",
        gateways={"gw": usual},
        **changes,
    )
    assert (long.verdict, short.verdict) == (Verdict.PASS, Verdict.FAIL)
    assert 3 * S < long.measured < 10 * S, (
        "the session is lost 10 s after its first unanswered packet, and up again after a pause"
    )


def test_a_backlog_of_a_session_that_lives_is_over_with_its_acknowledgements(
    tmp_path: Path, host: Host
) -> None:
    found = judged(
        tmp_path,
        host,
        "backlog == 0 within 200 ms after heal plant",
        links={"plant": {"preset": "lan"}, "cloud": {"delay": "40 ms"}},
        timeline=[{"at": "5 s", "cut": "plant", "for": "5 s"}],
    )
    assert found[0].verdict is Verdict.PASS
    assert found[0].measured < 200_000_000


def test_a_count_is_of_whole_windows(tmp_path: Path, host: Host) -> None:
    """One device of ten points at 1 s, 20 s: 60 in each of three windows of 6 s; the last two seconds are
    none."""
    assert [
        (one.verdict, one.measured)
        for one in judged(
            tmp_path, host, "count(latency.gateway) == 60 over 6 s", "count(latency.gateway) >= 61 over 6 s"
        )
    ] == [(Verdict.PASS, 60), (Verdict.FAIL, 60)]


def test_windows_begin_with_their_phase(tmp_path: Path, host: Host) -> None:
    phases = [{"name": "a", "for": "7 s"}, {"name": "b", "for": "13 s"}]
    found = judged(
        tmp_path,
        host,
        "count(latency.gateway{phase=a}) >= 45 over 5 s",
        "count(latency.gateway{phase=b}) >= 50 over 5 s",
        "count(latency.gateway{phase=b}) <= 40 over 5 s",
        phases=phases,
    )
    assert [one.verdict for one in found] == [Verdict.PASS, Verdict.PASS, Verdict.FAIL]
    assert found[2].why == "worst in the window that begins at 7 s"


def test_the_band_is_that_of_the_phase(tmp_path: Path, host: Host) -> None:
    """In phase b the board is slow: most of its latency is modelled there, and may be twice as long; in phase
    a it isn't."""
    changes: dict[str, Any] = {
        "duration": "60 s",
        "links": {"plant": {"delay": "2 ms"}, "cloud": {}},
        "fleet": {"count": 5, "phase": "aligned"},
    }
    phases = [{"name": "a", "for": "50 s"}, {"name": "b", "for": "10 s"}]
    slow = {"at": "0 s", "phase": "b", "throttle": "gw", "speed": "0.5 %", "for": "9900 ms"}
    found = judged(
        tmp_path,
        host,
        "p50(latency.gateway{phase=b}) <= 30 ms",
        "p50(latency.gateway{phase=a}) <= 5500 us",
        "p50(latency.gateway) <= 30 ms over 5 s",
        phases=phases,
        timeline=[slow],
        **changes,
    )
    assert [one.verdict for one in found] == [Verdict.UNSURE, Verdict.PASS, Verdict.UNSURE]
    assert "it doesn't hold at the high end" in found[0].why
    changes["fleet"]["count"] = 20
    phases = [{"name": "a", "for": "30 s"}, {"name": "b", "for": "30 s"}]
    slow = {"at": "0 s", "phase": "a", "throttle": "gw", "speed": "0.1 %", "for": "29 s"}
    (after,) = judged(
        tmp_path, host, "p99(latency.gateway{phase=b}) <= 9 ms", phases=phases, timeline=[slow], **changes
    )
    assert after.verdict is Verdict.PASS


def test_a_queue_behind_a_slow_device_is_no_modelled_time(tmp_path: Path, host: Host) -> None:
    """Each poll takes 1.5 s on the bus where one is due every second: what waits waits for the bus."""
    driver = {**COMPONENTS["modbus-driver"], "with": {"timeout": "2 s"}, "limits": {"deadline": "5 s"}}
    changes: dict[str, Any] = {
        "duration": "30 s",
        "fleet": {"overrun": "queue"},
        "components": {**COMPONENTS, "modbus-driver": driver},
        "timeline": [{"at": "5 s", "device-fault": "m", "kind": "slow", "delay": "1500 ms", "for": "20 s"}],
    }
    found = judged(
        tmp_path, host, "p99(latency.stage{stage=queue}) <= 1 s", "p99(latency.gateway) <= 2 s", **changes
    )
    assert [one.verdict for one in found] == [Verdict.FAIL] * 2


@pytest.mark.parametrize("stage", ["queue", "driver"])
def test_a_queue_for_a_core_is_modelled_time(tmp_path: Path, host: Host, stage: str) -> None:
    """Twenty polls at once on a board at a thousandth of its speed wait for its cores."""
    slow = {"at": "0 s", "throttle": "gw", "speed": "0.1 %", "for": "19 s"}
    (found,) = judged(
        tmp_path,
        host,
        f"max(latency.stage{{stage={stage}}}) <= 1 us",
        fleet={"count": 20, "phase": "aligned"},
        timeline=[slow],
    )
    (value,) = [found.measured]
    (near,) = judged(
        tmp_path,
        host,
        f"max(latency.stage{{stage={stage}}}) <= {round(value * 1.2)} ns",
        fleet={"count": 20, "phase": "aligned"},
        timeline=[slow],
    )
    assert near.verdict is Verdict.UNSURE
