"""``twinloop components exchanges``: captures and logs as files of exchanges, which a driver replays."""

from __future__ import annotations

import random
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.scenarios.exchanges.recordings import MENDED, SHIPPED, field, lines, replay, verdicts
from tests.scenarios.exchanges.test_modbus import tcp
from tests.scenarios.export.test_pcap import LINES
from twinloop.components.host.host import Host
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.exchanges.conversing import sorted_out
from twinloop.scenarios.exchanges.frames import Seen, Stream
from twinloop.scenarios.exchanges.logs import Log, time_ns
from twinloop.scenarios.exchanges.modbus import RTU, TCP, crc
from twinloop.scenarios.export.capture import Capture
from twinloop.scenarios.export.exchanges import ExchangesFile
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.runner import Options, run

LOSSY = "{preset: lan, loss: 8 %, delay: 5 ms, jitter: 4 ms, duplicate: 8 %}"
MODEL = """\
format: 1
title: three registers of the specification's example
source: ours
step: 1 s
points:
  a: {address: 107, type: u16, signal: {kind: constant, level: 1}}
  b: {address: 108, type: u16, signal: {kind: constant, level: 1}}
  c: {address: 109, type: u16, signal: {kind: constant, level: 1}}
"""


def values(gives: Any) -> Any:
    """What a call gave but for its times, which a capture knows as they were on the wire."""
    if "err" in gives:
        return gives
    return [(one["point"], one["value"], one["status"]) for one in gives["ok"]["readings"]]


@pytest.mark.parametrize(
    ("text", "device", "flags"),
    [
        (field(SHIPPED), "press-sensor", ()),
        (field(SHIPPED).replace("{preset: lan}", LOSSY).replace("100 ms}", '300 ms, retries: "1"}'), "press-sensor", ()),
        (LINES.replace("loss: 5 %, corrupt: 5 %", "loss: 0 %"), "energy-meter", ("--protocol", "modbus-rtu")),
    ],
    ids=["tcp", "lossy", "rtu"],
)  # fmt: skip
def test_a_run_comes_back_from_its_capture(
    host: Host,
    tmp_path: Path,
    text: str,
    device: str,
    flags: tuple[str, ...],
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Recorded at the boundary and captured on the wire: both replay to the same values, call by call."""
    pytest.importorskip("dpkt", reason="needs twinloop[pcap]")
    whole, capture, out = tmp_path / "x.jsonl", tmp_path / "x.pcapng", tmp_path / "y.jsonl"
    watches = (ExchangesFile(whole, (), lambda: ("x", "d")), Capture(capture))
    run(load_text(text), Options(watches=watches), host)
    command = ["components", "exchanges", str(capture), "--device", device, "-o", str(out), *flags]
    if flags:
        assert main(command) == 3
        assert "there are several devices in it; name one with --server and --unit: bus/1 unit 1 (" in (
            capsys.readouterr().err
        )
        command += ["--server", "bus/1", "--unit", "1"]
    place = next(line for line in lines(whole) if "place" in line)
    for name, value in place["settings"]["options"]:
        command += ["--option", f"{name}={value}"]
    assert main(command) == 0, capsys.readouterr()
    _, calls = replay(SHIPPED, out)
    of = [
        line for line in lines(whole) if line.get("call") == "read-sensor" and line["place"] == place["place"]
    ]
    polls = [one for one in calls if one.call.export == "read-sensor"]
    assert len(polls) == len(of) > 4
    assert [values(one.came.gives) for one in polls] == [values(line["gives"]) for line in of]


def test_a_driver_that_fails_at_what_was_captured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a recorded driver there is nothing to compare with: errors and what was never asked are told."""
    log, model, out = tmp_path / "gateway.log", tmp_path / "meter.yaml", tmp_path / "x.jsonl"
    model.write_text(MODEL, encoding="utf-8")
    ask, got = tcp("03006B0003", 9), tcp("0306022B00000064", 9)
    log.write_text(
        f"# a gateway's own words\n2026-01-31 12:00:00.250 > {ask.hex(' ')}\n2026-01-31 12:00:00.270 < {got.hex()}\n"
        f"2026-01-31 12:00:01.250 > {tcp('03006B0003', 10).hex()}\n"
    )
    command = ["components", "exchanges", str(log), "--device", str(model), "-o", str(out)]
    assert main([*command, "--option", "timeout=100 ms"]) == 0
    printed = capsys.readouterr().out
    assert "unit 1 of the log: 2 exchanges in 2 polls" in printed
    assert "note  lines without bytes: 1" in printed
    assert main(["components", "replay", str(SHIPPED), str(out)]) == 1
    printed = capsys.readouterr().out
    assert "read-sensor at 1 s: the error bus: timeout" in printed
    found, calls = replay(SHIPPED, out)
    gave = calls[2].came.gives["ok"]["readings"]
    assert [one["value"] for one in gave] == [555.0, 0.0, 100.0]
    assert gave[0]["measured"] // 1_000_000 == 1_769_860_800_270
    assert found.recorded.header.epoch_ns == 1_769_860_800_250_000_000
    assert verdicts(calls) == ["equal", "gave", "gave", "differs"]
    _, calls = replay(MENDED, out)
    assert [one["value"] for one in calls[2].came.gives["ok"]["readings"]] == [555.0, 0.0, 100.0]
    assert calls[2].heard.counts.composed == 3


PYMODBUS = """\
2026-01-31 12:00:00,250 DEBUG logging:103 send: 0x1 0x3 0x0 0x6b 0x0 0x3 0x74 0x17
2026-01-31 12:00:00,300 DEBUG logging:103 Processing: 0x1 0x3
2026-01-31 12:00:00,312 DEBUG logging:103 recv: 0x1 0x3 0x6 0x2 0x2b 0x0 0x0 0x0 0x64 0x5 0x7a extra data: 0x0
"""
MBPOLL = """\
-- Polling slave 1... Ctrl-C to stop)
[00][01][00][00][00][06][01][03][00][6B][00][03]
Waiting for a confirmation...
<00><01><00><00><00><09><01><03><06><02><2B><00><00><00><64>
[108]: \t555
[00][02][00][00][00][06][01][03][00][6B][00][03]
Waiting for a confirmation...
ERROR Connection timed out: select
"""


def test_logs_of_other_tools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, model, out = tmp_path / "x.log", tmp_path / "meter.yaml", tmp_path / "x.jsonl"
    model.write_text(MODEL, encoding="utf-8")
    log.write_text(PYMODBUS)
    sent, got = Log(log).frames()
    assert sent.asked
    assert not got.asked
    assert sent.data[-2:] == crc(sent.data[:-2])
    assert got.at_ns is not None
    assert sent.at_ns is not None
    assert got.at_ns - sent.at_ns == 62_000_000
    log.write_text(MBPOLL)
    command = ["components", "exchanges", str(log), "--device", str(model), "-o", str(out)]
    assert main([*command, "--poll", "5 s"]) == 0
    assert "2 exchanges in 2 polls" in capsys.readouterr().out
    polls = [line for line in lines(out) if line.get("call") == "read-sensor"]
    assert [poll["at_ns"] for poll in polls] == [0, 5_000_000_000]
    assert polls[1]["bus"][0]["error"] == "timeout"


def test_what_cannot_be_read(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log, out = tmp_path / "x.log", tmp_path / "o.jsonl"
    log.write_text(f"1.0 > {tcp('03006B0003').hex()}\n1.1 > {tcp('03006B0003', 1, 2).hex()}\nsoon > 00\n")
    command = ["components", "exchanges", str(log), "-o", str(out), "--device"]
    for more, said in {
        ("press-sensr",): 'unknown device "press-sensr"; did you mean "press-sensor"',
        ("press-sensor",): 'x.log:3: "soon" is no time',
        ("nobody.yaml",): "nobody.yaml: no such file",
        ("press-sensor", "--poll", "soon"): "--poll: ",
        ("press-sensor", "--protocol", "opcua"): 'unknown protocol "opcua"',
        ("press-sensor", "--option", "timeout"): "expected KEY=VALUE",
        ("press-sensor", "-o", str(log)): "would be overwritten",
    }.items():
        assert main([*command, *more]) == 3, more
        assert said in capsys.readouterr().err
    log.write_text(log.read_text().replace("soon > 00\n", ""))
    assert main([*command, "press-sensor"]) == 3
    assert "there are several devices in it" in capsys.readouterr().err
    assert main([*command, "press-sensor", "--unit", "7"]) == 3
    assert "nobody of these is meant" in capsys.readouterr().err
    log.write_text("nothing\n")
    assert main([*command, "press-sensor"]) == 3
    assert "there is no request of modbus-tcp in it" in capsys.readouterr().err
    assert not out.exists()


@given(st.integers(1, 30), st.integers(0, 1 << 32), st.randoms(use_true_random=False))
def test_segments_that_come_late_or_twice(count: int, first: int, chance: random.Random) -> None:
    """Frames of a stream cut at random, its segments out of order and some of them twice; the numbers may go
    past 2^32."""
    frames = [tcp(f"0304{index:08x}", index) for index in range(count)]
    data = b"".join(frames)
    cuts = sorted({0, len(data), *(chance.randrange(len(data)) for _ in range(count))})
    segments = [(begin, data[begin:end]) for begin, end in pairwise(cuts)]
    segments += [chance.choice(segments) for _ in range(count // 3)]
    segments.sort(key=lambda one: one[0] + chance.randrange(60))
    stream = Stream()
    stream.opened(first % (1 << 32))
    found = []
    for at_ns, (begin, piece) in enumerate(segments):
        found += stream.came(at_ns, (first + 1 + begin) % (1 << 32), piece)
    found += stream.over()
    assert [frame for _, frame in found] == frames
    assert stream.missing == 0


def test_a_segment_that_the_capture_has_not(tmp_path: Path) -> None:
    frames = [tcp(f"0304{index:08x}", index) for index in range(6)]
    stream = Stream()
    found = stream.came(0, 100, frames[0])
    found += stream.came(1, 100 + 2 * len(frames[0]), frames[2])
    found += stream.over()
    assert [frame for _, frame in found] == [frames[0], frames[2]]
    assert stream.missing == 1


def test_answers_belong_to_their_requests() -> None:
    """Two requests at a time, answered the other way round; a wrong transaction answers who asked last."""
    ask = [Seen(at, True, tcp("0300000001", at), "a") for at in (1, 2)]
    got = [Seen(10 + at, False, tcp(f"0302000{at}", at), "a") for at in (2, 1)]
    found, damaged = sorted_out(
        TCP,
        [*ask, *got, Seen(20, True, tcp("0300000001", 3), "a"), Seen(21, False, tcp("03020009", 77), "a")],
    )
    said = found["a", 1]
    assert [one.answer for one in said.asked] == [tcp("03020001", 1), tcp("03020002", 2), tcp("03020009", 77)]
    assert [one.came_ns for one in said.asked] == [11, 12, 21]
    assert damaged == said.unasked == 0
    broken = b"\1\3\2"
    request = bytes.fromhex("010300000001")
    found, damaged = sorted_out(
        RTU,
        [
            Seen(1, True, request + crc(request), "l"),
            Seen(2, False, broken, "l"),
            Seen(3, False, broken, "l"),
        ],
    )
    assert found["l", 1].asked[0].answer == broken + broken
    right = bytes.fromhex("01030200ff")
    pieces = [Seen(at, False, one, "l") for at, one in enumerate((right, crc(right)))]
    found, _ = sorted_out(RTU, [Seen(0, True, request + crc(request), "l"), *pieces])
    assert found["l", 1].asked[0].answer == right + crc(right)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("12.5", 12_500_000_000),
        ("1970-01-01T00:00:01Z", 1_000_000_000),
        ("1970-01-01 00:00:01.000000007", 1_000_000_007),
        ("1970-01-01T01:00:01,5+01:00", 1_500_000_000),
        ("yesterday", None),
        ("2026-13-01T00:00:00Z", None),
    ],
)
def test_times_of_a_log(text: str, expected: int | None) -> None:
    assert time_ns(text) == expected


def test_a_plain_capture_of_ethernet(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As tcpdump writes it: pcap with us, Ethernet, a second connection after the first, a segment twice."""
    dpkt = pytest.importorskip("dpkt", reason="needs twinloop[pcap]")
    capture, model, out = tmp_path / "x.pcap", tmp_path / "meter.yaml", tmp_path / "x.jsonl"
    model.write_text(MODEL, encoding="utf-8")
    near, far = b"\x0a\0\0\1", b"\x0a\0\0\2"

    def packet(asked: bool, port: int, number: int, data: bytes) -> bytes:
        ports = (port, 502) if asked else (502, port)
        ends = (near, far) if asked else (far, near)
        segment = dpkt.tcp.TCP(sport=ports[0], dport=ports[1], seq=number, data=data, flags=0x18)
        ip = dpkt.ip.IP(src=ends[0], dst=ends[1], p=6, data=segment)
        ip.len = len(ip)
        return bytes(dpkt.ethernet.Ethernet(data=ip))

    with capture.open("wb") as file:
        writer = dpkt.pcap.Writer(file, nano=False)
        for poll, port in ((0, 40000), (1, 40001)):
            ask, got = tcp("03006B0003", poll), tcp(f"03060{poll}2B00000064", poll)
            for at_s, one in (
                (0.000, packet(True, port, 1000, ask)),
                (0.010, packet(True, port, 1000, ask)),
                (0.020, packet(False, port, 7, got[:5])),
                (0.030, packet(False, port, 12, got[5:])),
            ):
                writer.writepkt(one, ts=1_700_000_000 + poll + at_s)
    command = ["components", "exchanges", str(capture), "--device", str(model), "-o", str(out)]
    assert main(command) == 0, capsys.readouterr()
    assert "unit 1 of 10.0.0.2:502: 2 exchanges in 2 polls" in capsys.readouterr().out
    bus = [one for line in lines(out) for one in line.get("bus", ())]
    assert [one["after_ns"] for one in bus] == [30_000_000, 30_000_000]
    assert lines(out)[0]["epoch_ns"] == 1_700_000_000_000_000_000
    _, calls = replay(SHIPPED, out)
    assert [one.came.gives["ok"]["readings"][0]["value"] for one in calls[2:]] == [0x2B, 0x12B]
    capture.write_bytes(capture.read_bytes()[:-3])
    assert main(command) == 0


def test_a_serial_line_is_no_tcp(host: Host, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A read of two registers from 0 on, 01 03 0000 0002 C40B, would be a frame of Modbus TCP to unit C4."""
    pytest.importorskip("dpkt", reason="needs twinloop[pcap]")
    model, capture = tmp_path / "model" / "two.yaml", tmp_path / "x.pcapng"
    model.parent.mkdir()
    model.write_text(MODEL[: MODEL.index("  a:")] + "  a: {address: 0, type: u32, signal: {level: 7}}\n")
    text = LINES.replace("device: energy-meter", "device: model/two.yaml").replace("count: 4", "count: 1")
    run(load_text(text, tmp_path / "s.yaml"), Options(watches=(Capture(capture),)), host)
    command = ["components", "exchanges", str(capture), "--device", str(model), "-o", str(tmp_path / "o")]
    assert main(command) == 3
    assert "there is no request of modbus-tcp in it; --protocol" in capsys.readouterr().err
    assert main([*command, "--protocol", "modbus-rtu"]) == 0
    assert "unit 1 of bus/1: " in capsys.readouterr().out


def test_without_the_package(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    capture = tmp_path / "x.pcap"
    capture.write_bytes(b"\xd4\xc3\xb2\xa1")
    monkeypatch.setitem(__import__("sys").modules, "dpkt", None)
    command = ["components", "exchanges", str(capture), "--device", "meter", "-o", str(tmp_path / "o")]
    assert main(command) == 3
    assert 'pip install "twinloop[pcap]"' in capsys.readouterr().err
