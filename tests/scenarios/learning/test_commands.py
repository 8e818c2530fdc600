"""``twinloop device new | show | probe`` as they are typed: sources, a map by hand, a served device."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.scenarios.learning.arms import Clock, listening, model_of
from tests.scenarios.learning.test_register_list import METER
from tests.scenarios.wire.test_serve import SCENARIO, command
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.file.recordings import model_named
from twinloop.scenarios.learning.beginning import begin
from twinloop.scenarios.learning.showing import lines, shown
from twinloop.scenarios.text.errors import ScenarioError


# ---- new -----------------------------------------------------------------------------------------
def test_new_writes_a_file_and_says_what_is_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("map.csv").write_text(METER)
    assert main(["device", "new", "em38", "--from", "map.csv"]) == 0
    out = capsys.readouterr().out
    assert "model/em38.yaml: 20 points\n  twinloop device show model/em38.yaml" in out
    assert "twinloop check SCENARIO.yaml   with device: model/em38.yaml" in out
    before = Path("model/em38.yaml").read_text()
    assert main(["device", "new", "em38", "--from", "press-sensor"]) == 3
    assert capsys.readouterr().err == (
        "error: NAME: model/em38.yaml is there already, and nothing is overwritten: choose another name, or "
        "remove it\n"
    )
    assert Path("model/em38.yaml").read_text() == before
    assert main(["device", "new", "b", "--from", "model/em38.yaml", "--out", "other/b.yaml"]) == 0
    assert Path("other/b.yaml").read_text() == before, "a copy keeps comments and layout"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["../x", "--from", "press-sensor"],
            "NAME: expected a name such as boiler, of which model/boiler.yaml is made",
        ),
        (["x.yaml", "--from", "press-sensor"], "NAME: expected a name such as boiler"),
        (["x", "--from", "tank"], "--from: tank moves by physics: it has no file"),
        (["x", "--from", "tan"], '--from: tan: no such file, and unknown device "tan"; did you mean "tank"?'),
        (["x", "--from", "sunspec:9999"], 'unknown SunSpec model "9999"'),
        (["x", "--from", "sunspec:103:lve"], 'unknown option of sunspec/103 "lve"; did you mean "live"?'),
    ],
)
def test_new_refuses(
    arguments: list[str],
    told: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["device", "new", *arguments]) == 3
    assert told in capsys.readouterr().err
    assert not Path("model").exists()


@pytest.mark.parametrize(
    "source", ["press-sensor", "energy-meter", "sunspec:103", "sunspec:160:3", "sunspec:714:2:live:texts"]
)
def test_a_copy_answers_as_the_device_does(source: str) -> None:
    copied, there = begin("c", source).model, model_named(source.replace("sunspec:", "sunspec/", 1), "")
    assert (copied.points, copied.constants, copied.step_ns) == (there.points, there.constants, there.step_ns)


PRINTED = """\
Protocol configuration: Modbus TCP
Slave configuration...: address = [1]
                        start reference = 1, count = 2
Data type.............: 16-bit register, output (holding) register table

-- Polling slave 1...
[1]: \t100
[2]: \t65436 (-100)

Data type.............: 32-bit float (little endian), input register table

-- Polling slave 1...
[5]: \t-4.5

Data type.............: 32-bit integer (big endian), output (holding) register table

-- Polling slave 1...
[11]: \t-70000
Data type.............: 16-bit register, input register table

-- Polling slave 1...
[9]: \t0x0124
[9]: \t0x0125
Data type.............: discrete input

-- Polling slave 1...
[4]: \t1
"""


def test_what_mbpoll_printed(tmp_path: Path) -> None:
    """-70000 = 0xFFFEEE90; -4.5 = 0xC0900000, its lower half first."""
    file = tmp_path / "printed.txt"
    file.write_text(PRINTED)
    begun = begin("p", str(file))
    device = Device(begun.model, "p/1", 1, 0)
    device.advance(0)
    image = device.image
    assert image.read_words("holding", 0, 2) == [100, 65436]
    assert image.read_words("holding", 10, 2) == [0xFFFE, 0xEE90]
    assert image.read_words("input", 4, 2) == [0, 0xC090]
    assert image.read_words("input", 8, 1) == [0x124]
    assert image.read_bits("discrete", 3, 1) == [True]
    assert "address = reference - 1" in begun.notes[0]
    assert begun.notes[1].startswith("1 later values differ")
    assert begin("p", str(file), 0).model.points[0].address == 1
    file.write_text("Data type...: 9-bit thing\n-- Polling slave 1...\n[1]: 5\n")
    with pytest.raises(ScenarioError, match='1: expected a data type that mbpoll prints, got "9-bit thing"'):
        begin("p", str(file))


# ---- show ----------------------------------------------------------------------------------------
def test_show_by_hand() -> None:
    """5 s after the start, of steps of a second."""
    points = """\
  w-sf: {address: 0, type: i16, signal: {level: -1}}
  watts: {address: 1, type: i16, scale-from: w-sf, unit: W, nan: [0x8000], signal: {level: 230.5}}
  count: {table: input, address: 0x10, type: u32, order: CDAB, signal: {kind: counter, level: 65535, swing: 1}}
  alarm: {address: 2, type: u16, bits: 4..6, signal: {level: 5}}
  set: {address: 3, type: u16, scale: 0.1, offset: -40, unit: degC, access: read-write, signal: {level: 20}}
  name: {address: 4, type: text, length: 2, text: AB1}
  gone: {address: 6, type: i16, nan: [0x8000], signal: {level: -32768}}
  door: {table: coil, address: 3, type: u16, signal: {level: 1}}
  reset: {address: 7, type: u16, access: write-only}
"""
    head = "response: 3 ms\nlargest-read: 40\nholes: refused\nconstants: {holding: {0x20: 0xBEEF}}\n"
    told = lines(shown(model_of(points, head), 5_000_000_000, 1))
    table = [re.split(r"  +", line) for line in told[told.index("") + 1 :]]
    assert table[1:10] == [
        ["w-sf", "holding", "0", "0x0000", "FFFF", "i16", "-1", "read-only"],
        ["watts", "holding", "1", "0x0001", "0901", "i16", "x 10^w-sf", "230.5 W", "read-only", "0x8000"],
        ["count", "input", "16", "0x0010", "0004 0001", "u32 sw", "65540", "read-only"],
        ["alarm", "holding", "2", "0x0002", "0050", "u16 bits 4..6", "5", "read-only"],
        ["set", "holding", "3", "0x0003", "0258", "u16", "x 0.1 - 40", "20 degC", "read-write"],
        ["name", "holding", "4", "0x0004", "4142 3100", "text of 2 registers", '"AB1"', "read-only"],
        ["gone", "holding", "6", "0x0006", "8000", "i16", "none", "read-only", "0x8000"],
        ["door", "coil", "3", "0x0003", "1", "bit", "1", "read-only"],
        ["reset", "holding", "7", "0x0007", "0000", "u16", "0", "write-only"],
    ]
    assert "reads      40 registers at once at most; more are exception 03" in told
    assert "holes      registers that nothing describes don't exist: exception 02" in told
    assert "response   3 ms on a network, 3 ms on a line" in told
    assert "constants  holding 32: 0xBEEF" in told


def test_show_as_json_and_what_it_refuses(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "show", "press-sensor", "--at", "10 s", "--seed", "3", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert (data["device"], data["at_ns"], data["seed"]) == ("press-sensor", 10_000_000_000, 3)
    assert data["points"][9]["registers"] == [0x40C0, 0]
    assert main(["device", "show", "sunspec/103"]) == 0
    assert main(["device", "show", "tank"]) == 0, "a model that moves by physics has a map, too"
    capsys.readouterr()
    assert main(["device", "show", "pres-sensor"]) == 3
    assert 'unknown device "pres-sensor"; did you mean "press-sensor"?' in capsys.readouterr().err
    assert main(["device", "show", "press-sensor", "--at", "10"]) == 3
    assert '--at: expected a duration, e.g. "50 ms"' in capsys.readouterr().err


# ---- probe ---------------------------------------------------------------------------------------
def test_a_served_device_is_probed_over_tcp_and_a_terminal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By another process: what is there, and what stays, is the device's."""
    file = tmp_path / "served.yaml"
    file.write_text(SCENARIO.replace("device: meter,", "device: press-sensor,"))
    with command(file) as process:
        found = dict(process.stdout.readline().split() for _ in range(7))
        for name, extra in (
            ("presses/3", ["--looks", "2", "--every", "20 ms"]),
            ("meters/2", ["--timeout", "20 s", "--serial", "19200 Bd", "--looks", "1"]),
        ):
            target = tmp_path / f"{name.replace('/', '-')}.yaml"
            asked = ["--registers", "holding:0..15,coil:0..1", *extra, "-o", str(target)]
            assert main(["device", "probe", found[name], *asked]) == 0
            learned = read_model(target.read_text(), target, "l")
            device = Device(learned, "l/1", 1, 0)
            device.advance(0)
            assert device.image.read_words("holding", 14, 2) == [0x40C0, 0]
            assert (device.image.first["holding"], device.image.length["holding"]) == (0, 16)
            assert dict(learned.profile.identity)[1] == "press-sensor"
            assert not learned.profile.holes
        process.terminate()
        process.communicate(timeout=60)
    out = capsys.readouterr().out
    assert out.count("holding: 0..15; no holes between them") == 2
    assert out.count("reads: 16 registers at once are answered; whether more are wasn't seen") == 2


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["http://x/"], "URL: http://x/: expected tcp://host[:port][/unit]"),
        (["opc.tcp://x/"], "opcua has no registers: a Modbus device is probed"),
        (["rtu:///dev/ttyX"], "expected a unit id, as in rtu:///dev/ttyX?unit=1"),
        (["rtu:///nowhere/ttyX?unit=1"], "no connection: is the device there"),
        (["tcp://127.0.0.1:1/1", "--timeout", "100 ms"], "no connection: is the device there"),
        (["tcp://127.0.0.1/999"], 'unit "999": expected 0 to 255'),
        (["tcp://127.0.0.1/1", "--every", "1"], '--every: expected a duration, e.g. "50 ms"'),
        (["tcp://127.0.0.1/1", "--parity", "evn"], '--parity: unknown parity "evn"; did you mean "even"?'),
    ],
)
def test_probe_refuses(arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["device", "probe", *arguments]) == 3
    assert told in capsys.readouterr().err


@pytest.mark.skipif(shutil.which("mbpoll") is None, reason="mbpoll isn't installed")
def test_what_the_installed_mbpoll_prints(tmp_path: Path) -> None:
    server, clock = ModbusServer(Device(begin("p", "press-sensor").model, "d/1", 1, 7)), Clock()
    file = tmp_path / "printed.txt"
    with listening(lambda data: server.respond(data, clock.now_ns)) as port:
        for flags in (
            ["-0", "-t", "4", "-r", "0", "-c", "14"],
            ["-0", "-t", "4:float", "-B", "-r", "14", "-c", "1"],
        ):
            asked = ["mbpoll", "-1", "-m", "tcp", "-p", str(port), *flags, "127.0.0.1"]
            done = subprocess.run(asked, capture_output=True, text=True, timeout=30, check=True)
            file.open("a").write(done.stdout)
    copied = Device(begin("p", str(file)).model, "p/1", 1, 0)
    copied.advance(0)
    assert copied.image.read_words("holding", 0, 16) == server.device.image.read_words("holding", 0, 16)


def test_ctrl_c_leaves_a_file_and_is_130(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(seconds: float) -> None:
        raise KeyboardInterrupt

    server, target = (
        ModbusServer(Device(begin("p", "press-sensor").model, "d/1", 1, 7)),
        tmp_path / "found.yaml",
    )
    monkeypatch.setattr("twinloop.scenarios.cli.device.probing.time.sleep", interrupt)
    with listening(lambda data: server.respond(data, 0)) as port:
        url = f"tcp://127.0.0.1:{port}/1"
        assert main(["device", "probe", url, "--registers", "holding:0..15", "-o", str(target)]) == 130
    assert (
        "note: ended early: interrupted after 1 look; what was learned until then stays"
        in capsys.readouterr().out
    )
    assert read_model(target.read_text(), target, "l").points
