"""A driver that polls over UDP, in whole scenarios: values by hand, losses that it makes good itself, all books
closed, the same run in two processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.scenarios.cases import COMPONENTS, result, scenario
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.judging.verdict import Verdict
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.errors import ScenarioError

GUEST = Path(__file__).parent.parent / "guests" / "rust-udp-driver" / "rust-udp-driver.wasm"
COUNTER = """\
format: 1
title: a counter, a constant with a scale, a float
source: ours
step: 1 s
points:
  count: {address: 0, type: u32, signal: {kind: counter, level: 70000, swing: 3}}
  level: {address: 2, type: i16, scale: 0.1, signal: {kind: constant, level: -12.5}}
  flow: {address: 3, type: f32, signal: {kind: constant, level: 0.375}}
"""
SAME = """\
format: 1
title: three constants of one size
source: ours
step: 1 s
points:
  one: {address: 0, type: u16, signal: {kind: constant, level: 100}}
  two: {address: 1, type: u16, signal: {kind: constant, level: 200}}
  three: {address: 2, type: u16, signal: {kind: constant, level: 300}}
"""


def components(grants: list[Any] | None = None, **options: Any) -> dict[str, Any]:
    """With the UDP driver in modbus-driver's place."""
    own = {
        "wasm": str(GUEST),
        "grants": grants or ["clock", "log", "wasi:clocks", {"wasi:sockets": ["udp://device:502"]}],
        "with": {name: str(value) for name, value in options.items()},
    }
    return {"udp": own, "normalize": COMPONENTS["normalize"], "route": COMPONENTS["route"]}


def settings(**changes: Any) -> dict[str, Any]:
    """Of a scenario in which it reads one counter."""
    fleet = {"device": "model/counter.yaml", "count": 1, "driver": "udp", **changes.pop("fleet", {})}
    return {"fleet": fleet, "models": {"counter.yaml": COUNTER}, "components": components(), **changes}


def test_values_are_right_by_hand(tmp_path: Path, host: Host, bodies: list[Any]) -> None:
    """The counter counts 3 a second; a poll's requests are out at once, so that it shows the second's own."""
    found = result(tmp_path, host, **settings(duration="5 s"))
    assert found.verdict is Verdict.PASS, [one.why for one in found.judged]
    assert [body["values"] for body in bodies] == [
        {"count": 70_000 + 3 * k, "level": -12.5, "flow": 0.375} for k in range(5)
    ]
    truth, ledger = found.data["truth"], found.data["ledger"]
    assert truth["wrong"] == 0
    assert truth["checked"] == truth["readings"] == 15
    assert ledger["delivered"] == ledger["due"] == 15


def test_with_a_fifth_lost_some_polls_need_another_try(tmp_path: Path, host: Host) -> None:
    """Each exchange of three needs 1 / 0.64 tries: a poll takes longer by 50 ms for each that is lost."""
    found = result(
        tmp_path,
        host,
        **settings(
            duration="60 s", links={"plant": {"preset": "lan", "loss": "20 %"}, "cloud": {}},
            components=components(tries=10, timeout=50), expect=["count(samples.missed) == 0"],
        ),
    )  # fmt: skip
    assert found.verdict is Verdict.PASS, [one.why for one in found.judged]
    ledger = found.data["ledger"]
    assert ledger["delivered"] == ledger["due"] == 180
    assert found.data["truth"]["wrong"] == 0
    bus = found.data["latency"]["stages"]["bus"]
    assert bus["p50_ns"] > 50_000_000, "0.64^3 = 26 % of polls need no other try"
    assert 100_000_000 < bus["max_ns"] < 1_000_000_000


def test_the_port_that_is_granted_is_where_it_listens(tmp_path: Path, host: Host) -> None:
    grants = ["clock", "log", "wasi:clocks", {"wasi:sockets": ["udp://m/1:5020"]}]
    found = result(tmp_path, host, **settings(components=components(grants, port=5020), duration="3 s"))
    assert found.verdict is Verdict.PASS


@pytest.mark.parametrize("check", ["yes", "no"])
def test_who_takes_any_answer_for_its_own_is_found_out(tmp_path: Path, host: Host, check: str) -> None:
    """A copy of an answer is there when the next request is sent: its value is another point's."""
    found = result(
        tmp_path,
        host,
        **settings(
            models={"counter.yaml": SAME}, links={"plant": {"preset": "lan", "duplicate": "20 %"}, "cloud": {}},
            components=components(check=check),
        ),
    )  # fmt: skip
    truth = found.data["truth"]
    assert truth["readings"] == 60
    assert truth["checked"] >= 30
    assert (truth["wrong"] > 5) == (check == "no"), truth


@pytest.mark.parametrize("trouble", ["cut", "fault"])
def test_books_close_after_trouble(tmp_path: Path, host: Host, trouble: str) -> None:
    timeline: list[Any] = (
        [{"at": "5 s", "cut": "plant", "for": "4 s"}]
        if trouble == "cut"
        else [{"at": "5 s", "device-fault": "m/1", "kind": "slow", "delay": "300 ms", "for": "4 s"}]
    )
    found = result(tmp_path, host, **settings(timeline=timeline, expect=["count(samples.missed) < 20"]))
    assert found.verdict is Verdict.PASS, [one.why for one in found.judged]
    ledger = found.data["ledger"]
    assert ledger["delivered"] >= 3 * 15
    assert ledger["due"] == ledger["delivered"] + sum(ledger["missed"].values())


def test_two_processes_make_one_run(tmp_path: Path) -> None:
    links = {
        "plant": {"preset": "lan", "loss": "10 %", "duplicate": "10 %", "jitter": "20 ms", "delay": "20 ms", "corrupt": "5 %"},
        "cloud": {},
    }  # fmt: skip
    whole = settings(
        fleet={"count": 3},
        links=links,
        components=components(tries=3),
        expect=["count(component.faults) == 0"],
    )
    file = tmp_path / "case.yaml"
    file.write_text(scenario(tmp_path, **whole), encoding="utf-8")
    digests = set()
    for seed in ("0", "1"):
        out = tmp_path / f"out-{seed}"
        ended = subprocess.run(
            [sys.executable, "-m", "twinloop", "run", str(file), "--out", str(out)],
            env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert ended.returncode == 0, ended.stdout + ended.stderr
        found = json.loads((out / "result.json").read_text())["results"][0]
        assert found["truth"]["wrong"] == 0
        assert found["ledger"]["delivered"] > 0
        digests.add(found["digest"])
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("fleet", "links", "says"),
    [
        ({"protocol": "opcua"}, {"preset": "lan"}, "and only modbus-tcp devices answer over UDP; what reaches these is tcp://device:502"),
        ({"protocol": "modbus-rtu"}, {"serial": "9600 Bd"}, "its devices share a serial line"),
        ({"protocol": "mqtt", "publish": "1 s", "poll": None}, {"preset": "lan"}, "its devices speak to a broker"),
    ],
)  # fmt: skip
def test_who_speaks_no_udp_is_refused_before_the_run(
    tmp_path: Path, host: Host, fleet: Any, links: Any, says: str
) -> None:
    with pytest.raises(ScenarioError) as refused:
        result(
            tmp_path, host, fleet={"device": "press-sensor", "driver": "udp", **fleet}, links={"plant": links, "cloud": {}},
            components=components(),
        )  # fmt: skip
    assert says in str(refused.value)
    assert "components.udp.grants[3]" in str(refused.value)


@pytest.mark.parametrize(
    ("options", "option"),
    [
        (Options(wire=True), "--clock"),
        (Options(places={"m/1": "tcp://127.0.0.1:1/1"}, shown={"m/1": "tcp://127.0.0.1:2"}), "--map"),
    ],
)
def test_what_twinloop_serves_is_reached_over_tcp_only(
    tmp_path: Path, host: Host, options: Options, option: str
) -> None:
    loaded = load_text(scenario(tmp_path, **settings()), tmp_path / "case.yaml")
    with pytest.raises(ScenarioError) as refused:
        run(loaded, options, host)
    assert "udp may ask m/1 over UDP, and twinloop serve answers over TCP only" in str(refused.value)
    assert f"run without {option}" in str(refused.value)
