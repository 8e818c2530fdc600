"""``--exchanges``: what is in the file is what the run's books say, asking for it changes nothing, and a
replay of it is equal, call by call."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.plants import WASM
from tests.scenarios.cli.test_cli import TINY
from tests.scenarios.exchanges.recordings import (
    FIELD,
    SHIPPED,
    field,
    lines,
    recorded,
    replay,
    verdicts,
)
from tests.scenarios.export.test_pcap import CASES
from tests.scenarios.wire.test_attach import serving
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.exchanges.reading import Recorded
from twinloop.scenarios.export.exchanges import ExchangesFile
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.runner import Options, run
from twinloop.sim.world import World

DRIVERS = {"mqtt": "mqtt-driver", "opcua": "opcua-driver"}


@pytest.mark.parametrize("name", ["worse", "cut", "crashes", "lines", "pair", "mqtt", "opcua"])
def test_a_recording_replays_equal(name: str, host: Host, tmp_path: Path) -> None:
    """Lost and late answers, crashes, serial lines, pairs, protocols with sessions."""
    path = tmp_path / "x.jsonl"
    result = recorded(host, CASES[name], path)
    if name not in ("pair", "opcua"):  # they take long
        assert result.data["digest"] == run(load_text(CASES[name]), Options(), host).data["digest"]
    assert host.makes is Instance
    found, calls = replay(WASM / f"{DRIVERS.get(name, 'modbus-driver')}.wasm", path)
    assert set(verdicts(calls)) <= {"equal", "skipped"}, [one.compared for one in calls if one.compared.texts]
    assert verdicts(calls).count("equal") > 0.8 * len(calls)
    counts = found.counts
    assert (counts.elsewhere, counts.composed, counts.never, counts.unused) == (0, 0, 0, 0)
    exchanges = [one for call in Recorded(path).calls() if not call.cut for one in call.bus]
    assert counts.reused == sum(one.op != "reset" for one in exchanges)
    assert found.recorded.end == "finished"


def test_what_stands_in_it(host: Host, tmp_path: Path) -> None:
    """One poll of a press-sensor: 16 registers from 0 on, by function 3, as the specification writes it."""
    path = tmp_path / "x.jsonl"
    recorded(host, field(SHIPPED, ""), path)
    header, place, *rest = lines(path)
    assert header == {
        "twinloop": "exchanges", "version": 1, "by": header["by"], "scenario": "x", "digest": "d", "seed": 1,
        "clock": "simulated", "epoch_ns": 1_767_225_600_000_000_000,
    }  # fmt: skip
    assert (place["device"], place["gateway"], place["protocol"]) == ("presses/1", "gw", "modbus-tcp")
    assert ["timeout", "100 ms"] in place["settings"]["options"]
    assert [one["call"] for one in rest[:3]] == ["start", "configure", "read-sensor"]
    poll = rest[2]
    (exchange,) = poll["bus"]
    assert exchange["asks"] == "000100000006010300000010"
    assert exchange["gets"].startswith("000100000023010320")
    assert exchange["frame"] == {"length-field": {"offset": 4, "size": 2, "big-endian": True, "adjust": 0}}
    assert exchange["timeout_ns"] == 100_000_000
    assert 0 < exchange["at_ns"] < exchange["at_ns"] + exchange["after_ns"] <= poll["took_ns"]
    (now,) = poll["given"]["clock.now"]
    assert {one["measured"] for one in poll["gives"]["ok"]["readings"]} == {now}
    assert rest[-1] == {"end": "finished", "calls": 8, "exchanges": 6}


def test_only_what_is_asked_for(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenario, path = tmp_path / "s.yaml", tmp_path / "x.jsonl"
    scenario.write_text(TINY, encoding="utf-8")
    assert main(["run", str(scenario), "--exchanges", str(path), "--exchanges-of", "presses/2"]) == 0
    assert {line["device"] for line in lines(path) if "device" in line} == {"presses/2"}
    assert lines(path)[0]["digest"] in capsys.readouterr().out or lines(path)[0]["digest"]
    assert main(["run", str(scenario), "--exchanges", str(path), "--exchanges-of", "press"]) == 3
    assert 'unknown device or fleet "press"; did you mean' in capsys.readouterr().err
    assert main(["run", str(scenario), "--exchanges-of", "presses"]) == 3
    assert "it goes with --exchanges FILE" in capsys.readouterr().err
    assert main(["run", str(scenario), "--exchanges", str(scenario)]) == 3
    assert "which it would overwrite" in capsys.readouterr().err
    for flags in (["--seeds", "1..2"], ["--check"]):
        assert main(["run", str(scenario), "--exchanges", str(path), *flags]) == 3
        assert "a recording is of one run" in capsys.readouterr().err
    assert scenario.read_text(encoding="utf-8") == TINY


def test_a_run_that_is_aborted_says_so(host: Host, tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"

    def started(world: World) -> None:
        world.env.call_at(2_500_000_000, world.stop)

    watch = ExchangesFile(path, (), lambda: ("x", "d"))
    run(load_text(field(SHIPPED, "")), Options(watches=(watch,), started=started), host)
    assert lines(path)[-1]["end"] == "aborted"
    found, calls = replay(SHIPPED, path)
    assert found.recorded.end == "aborted"
    assert set(verdicts(calls)) <= {"equal", "skipped"}


def test_a_device_that_is_attached(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Over a real socket, at the wall's pace."""
    path = tmp_path / "x.jsonl"
    text = field(SHIPPED, "").replace("duration: 6 s", "duration: 2 s\npace: {tolerance: 30 s}")
    with serving(tmp_path, text.replace("100 ms", "400 ms"), 1) as (at, _):
        code = main(["attach", str(tmp_path / "s.yaml"), "--map", str(at), "--exchanges", str(path)])
    assert code == 0, capsys.readouterr()
    header, *_ = lines(path)
    assert header["clock"] == "real"
    found, calls = replay(SHIPPED, path)
    assert set(verdicts(calls)) == {"equal"}
    assert found.counts.reused >= 2


def test_without_room_it_is_this_machines_fault(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("no /dev/full")
    scenario = tmp_path / "s.yaml"
    scenario.write_text(TINY, encoding="utf-8")
    assert main(["run", str(scenario), "--exchanges", "/dev/full"]) == 71
    assert "the recording ends there" in capsys.readouterr().err


@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    seed=st.integers(1, 10_000),
    loss=st.integers(0, 30),
    jitter_ms=st.integers(0, 60),
    kind=st.sampled_from(("exception", "truncated", "slow")),
    share=st.integers(5, 100),
    retries=st.integers(0, 3),
)
def test_whatever_happens_in_the_field(
    host: Host, tmp_path: Path, seed: int, loss: int, jitter_ms: int, kind: str, share: int, retries: int
) -> None:
    more = {"exception": ", code: 4", "slow": ", delay: 130 ms", "truncated": ""}[kind]
    text = FIELD.replace("DRIVER", str(SHIPPED)).replace("name: field", f"name: field\nseed: {seed}")
    text = text.replace(
        "{preset: lan}", f"{{preset: lan, loss: {loss} %, delay: 60 ms, jitter: {jitter_ms} ms}}"
    )
    text = text.replace("{timeout: 100 ms}", f'{{timeout: 100 ms, retries: "{retries}"}}')
    text += f"timeline:\n  - {{at: 1 s, device-fault: presses/1, kind: {kind}{more}, share: {share} %, for: 3 s}}\n"
    path = tmp_path / "x.jsonl"
    recorded(host, text, path)
    _, calls = replay(SHIPPED, path)
    assert set(verdicts(calls)) <= {"equal", "skipped"}, [one.compared for one in calls if one.compared.texts]
