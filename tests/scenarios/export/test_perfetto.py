"""``--perfetto``: what is in the file is what the run's books say, and asking for it changes nothing."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.scenarios.cli.test_cli import TINY
from tests.scenarios.export.traces import BOOT_NS, busy_ns, named, read, shipped
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.export import packets
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.runner import Options, run
from twinloop.sim.world import World

pytest.importorskip("perfetto", reason="needs twinloop[perfetto]")
S = 1_000_000_000


def traced(host: Host, text: str, path: Path, limit: int = packets.EVENTS_MAX) -> tuple[Result, World, str]:
    from twinloop.scenarios.export.perfetto import PerfettoTrace

    worlds: list[World] = []
    trace = PerfettoTrace(path, limit)
    options = Options(watches=(trace,), started=worlds.append)
    result = run(load_text(text, Path("x.yaml")), options, host)
    return result, worlds[-1], trace.told


CASES = {
    "tiny": TINY,
    "serial": shipped("quickstart", duration="20 s", timeline=[{"at": "5 s", "cut": "cloud", "for": "5 s"}]),
    "crashes": TINY
    + "timeline:\n  - {at: 2 s, crash: gw, for: 1 s}\n  - {at: 4200 ms, fault-component: gw/driver/presses/2, cause: unreachable}\n",
    "pair": shipped("failover-hot"),
    "crowded": shipped("hundred-sensors-slow", duration="5 s"),
    "throttled": TINY.replace("raspberry-pi-4", "beaglebone-black").replace("count: 3", "count: 20")
    + "timeline:\n  - {at: 1 s, throttle: gw, speed: 50 %, for: 2 s}\n  - {at: 2 s, power-cut: gw, for: 2 s}\n",
}


@pytest.mark.parametrize("text", CASES.values(), ids=CASES)
def test_cores_are_held_as_long_as_the_books_say(host: Host, text: str, tmp_path: Path) -> None:
    plain = run(load_text(text, Path("x.yaml")), Options(), host)
    result, world, told = traced(host, text, tmp_path / "t")
    assert (result.digest, result.data["run"]["events"], told) == (
        plain.digest,
        plain.data["run"]["events"],
        "",
    )
    tracks = read(tmp_path / "t")
    for gateway in world.gateways:
        machine, process = gateway.machine, gateway.index + 1
        assert busy_ns(tracks, process) == machine.busy_total_ns() > 0
        mine = [track for track in tracks.values() if track.process == process and track.name[:5] == "core "]
        assert len(mine) == machine.board.cores
        end = world.spec.duration_ns
        share = busy_ns(tracks, process, end, 0) / (end * machine.board.cores)
        assert result.data["gateways"][gateway.name]["cpu_ratio"] == pytest.approx(share, abs=2e-3)
        notes = [notes for _, name, notes in named(tracks, "about this trace")[0].instants if "ends" in name]
        assert notes[0][f"busy_ns_of_{gateway.name}"] == machine.busy_total_ns()


def test_slices_say_whose_call_it_was(host: Host, tmp_path: Path) -> None:
    """No instance dies here, so each component's time is that of its calls and of its start code."""
    _, world, _ = traced(host, CASES["serial"], tmp_path / "t")
    tracks = read(tmp_path / "t")
    spent: dict[str, int] = {}
    for track in tracks.values():
        if track.name.startswith("core "):
            for begin, end, name, _ in track.slices:
                spent[name] = spent.get(name, 0) + end - begin
    budget = world.gateways[0].machine.budget
    instances = spent.pop("host: new instance")
    for name, meter in budget.meters.items():
        own = len([s for s in world.gateways[0].rack.all() if s.spec.name == name])
        started = budget.work_ns(budget.prices.instantiate_ns.value) * own
        assert spent.pop(name) == meter.cpu_ns + meter.instantiate_ns - started
        instances -= started
    assert instances == 0
    assert list(filter(lambda name: not name.startswith("host: "), spent)) == []
    assert {"host: publish", "host: ack", "host: store"} <= {*spent}


def test_lines_trouble_and_counters_have_their_times(host: Host, tmp_path: Path) -> None:
    result, world, _ = traced(host, CASES["serial"], tmp_path / "t")
    tracks = read(tmp_path / "t")
    for name, line in world.field.lines.items():
        (track,) = named(tracks, f"line {name}")
        assert len(track.slices) == line.exchanges > 0
        assert sum(end - begin for begin, end, _, _ in track.slices) == line.occupancy.busy_ns
        assert sum(notes["timed_out"] for *_, notes in track.slices) == line.timeouts
        assert {one[2].partition("/")[0] for one in track.slices} == {"meters"}
    assert [one[:3] for one in named(tracks, "timeline")[0].slices] == [(5 * S, 10 * S, "cut cloud")]
    assert [one[:3] for one in named(tracks, "link cloud")[0].slices] == [(5 * S, 10 * S, "cut")]
    waiting = named(tracks, "messages that wait in the store")[0].values
    assert max(value for _, value in waiting) == result.data["gateways"]["gw"]["store"]["waiting_peak"] > 0
    assert waiting[-1][1] == 0
    window = named(tracks, "messages in the uplink's window")[0].values
    assert max(value for _, value in window) == result.data["gateways"]["gw"]["uplink"]["window_peak"]
    memory = named(tracks, "memory of instances")[0].values
    assert max(value for _, value in memory) == result.data["gateways"]["gw"]["memory_peak_bytes"]


def test_what_overlaps_stands_still_and_comes_at_once(host: Host, tmp_path: Path) -> None:
    text = (
        TINY + "timeline:\n  - {at: 1 s, degrade: cloud, to: {loss: 2 %}, for: 2 s}\n"
        "  - {at: 2 s, cut: cloud, for: 2 s}\n  - {at: 2500 ms, cut: plant}\n"
        "  - {at: 3 s, write: presses/1, point: setpoint, value: 3}\n"
        "  - {at: 3 s, flap: cloud, down: 100 ms, up: 200 ms, for: 1 s}\n"
    )
    _, world, _ = traced(host, text, tmp_path / "t")
    tracks = read(tmp_path / "t")
    entries = [
        one[:3] for track in tracks.values() if track.name.startswith("timeline") for one in track.slices
    ]
    assert sorted(entries) == [
        (1 * S, 3 * S, "degrade cloud"),
        (2 * S, 4 * S, "cut cloud"),
        (2 * S + S // 2, world.env.now, "cut plant"),
        (3 * S, 4 * S, "flap cloud"),
    ]
    at_once = [
        one[:2] for track in tracks.values() if track.name.startswith("timeline") for one in track.instants
    ]
    assert at_once == [(3 * S, "write presses/1")]
    down = [
        one[:2]
        for track in tracks.values()
        if track.name.startswith("link cloud")
        for one in track.slices
        if one[2] == "down"
    ]
    tenth = S // 10
    assert down == [(3 * S + i * 3 * tenth, min(4 * S, 3 * S + i * 3 * tenth + tenth)) for i in range(4)]


def test_a_gateway_s_lives_and_faults(host: Host, tmp_path: Path) -> None:
    traced(host, CASES["crashes"], tmp_path / "t")
    tracks = read(tmp_path / "t")
    assert [name for _, name, _ in named(tracks, "gateway")[0].instants] == [
        "booting", "up", "down", "booting", "up",
    ]  # fmt: skip
    assert [one[:3] for one in named(tracks, "timeline")[0].slices] == [(2 * S, 3 * S, "crash gw")]
    instances = named(tracks, "instances")[0].instants
    assert (42 * S // 10, "gw/driver/presses/2 fault") in [one[:2] for one in instances]
    assert [name for _, name, _ in instances].count("gw/transform ready") == 2
    assert min(at for track in tracks.values() for at, _, _ in track.instants) == -BOOT_NS


def test_two_runs_write_the_same_bytes(host: Host, tmp_path: Path) -> None:
    for name in "ab":
        traced(host, CASES["crashes"], tmp_path / name)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_what_does_not_fit_is_said(
    host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from twinloop.scenarios.export.perfetto import PerfettoTrace

    monkeypatch.setattr(packets, "CHUNK_PACKETS", 16)
    _, _, told = traced(host, TINY, tmp_path / "t", 100)
    assert "the first 100 events" in told
    tracks = read(tmp_path / "t")
    events = [len(track.slices) + len(track.values) for track in tracks.values()]
    assert sum(events) <= 100
    (left,) = [
        notes for _, name, notes in named(tracks, "about this trace")[0].instants if "not whole" in name
    ]
    whole = traced(host, TINY, tmp_path / "whole")[2]
    assert whole == ""
    assert left["events"] == 100
    assert left["left_out"] > 50
    monkeypatch.setattr(PerfettoTrace.__init__, "__defaults__", (100,))
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    assert main(["run", str(file), "--perfetto", str(tmp_path / "cut")]) == 0
    assert "note:" in capsys.readouterr().err


def test_hostile_names_survive(tmp_path: Path) -> None:
    """No file can give such names; who wires a world in Python can."""
    file = packets.PacketFile(tmp_path / "t", packets.protos())
    name = "a\0b\ud800</script>\x1b[2J\u202e'\";" + "x" * 3000
    track = file.track(name)
    file.slice(track, 1, 2, name, "line", note=name)
    file.instant(file.thread(file.process(name, 1), 1001, name), 1, name, "line")
    file.close()
    tracks = read(tmp_path / "t")
    assert all(one.name.startswith("a\\x00b") and "</script>\\x1b[2J" in one.name for one in tracks.values())
    assert tracks[1].slices[0][2:] == (tracks[1].name, {"note": tracks[1].name})


REFUSED = {
    "--check": "--check runs a scenario twice",
    "--clock wire": "--clock wire has times of real sockets",
    "--seeds 1..3": "don't go together",
}


@pytest.mark.parametrize(("beside", "why"), REFUSED.items(), ids=REFUSED)
def test_what_makes_no_sense_is_refused(
    beside: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "quickstart", "--perfetto", str(tmp_path / "t"), *beside.split()]) == 3
    assert why in capsys.readouterr().err
    assert not (tmp_path / "t").exists()


def test_one_scenario_and_a_place_for_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "quickstart", "slow-line", "--perfetto", str(tmp_path / "t")]) == 3
    assert "2 scenarios are given; give one" in capsys.readouterr().err
    assert main(["run", "quickstart", "--perfetto", str(tmp_path)]) == 3
    assert "it is a folder" in capsys.readouterr().err
    assert main(["run", "quickstart", "--perfetto", str(tmp_path / "no" / "t")]) == 3
    assert "no such folder" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_no_room_is_this_machine_s(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "t").symlink_to("/dev/full")
    assert main(["run", "quickstart", "--perfetto", str(tmp_path / "t")]) == 71
    told = capsys.readouterr().err
    assert "No space left on device; the trace ends there: is there room for it?" in told
    assert "Traceback" not in told


def test_a_paced_run_is_the_same_one(tmp_path: Path) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text(TINY)
    digests = []
    for flags in ([], ["--clock", "paced", "--speed", "100", "--perfetto", str(tmp_path / "t")]):
        assert main(["run", str(file), "--json", str(tmp_path / "r.json"), *flags]) == 0
        digests.append(json.loads((tmp_path / "r.json").read_text())["results"][0]["digest"])
    assert digests[0] == digests[1]
    assert read(tmp_path / "t")
