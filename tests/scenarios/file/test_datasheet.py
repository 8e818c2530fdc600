"""A device as its datasheet has it: all keys of a model file, read, run, judged, written and refused."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.components.test_modbus_types import maps
from tests.scenarios.cli.test_cli import TINY, run_json
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.profile import Profile, Response
from twinloop.scenarios.cli.main import main
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.file.datasheet.writing import write_model
from twinloop.scenarios.file.json_schema import model_file_schema
from twinloop.scenarios.text.errors import ScenarioError

S = 1_000_000_000
ALL = """\
format: 1
title: Everything that a datasheet has
source: ours
step: 500 ms
addresses-from: 1
response: {min: 2 ms, p50: 5 ms, p95: 20 ms, p99: 40 ms, max: 90 ms}
functions: [3, 4, 6, 16, 43]
largest-read: 40
holes: refused
identity: {vendor: Acme, product: M-38, revision: "2.1", url: "https://example.com"}
constants:
  holding: {0x0301: 7, 0x0302: [1, 2, 0xFFFF], 0x0310: "SN0042"}
points:
  serial: {address: 0x0001, type: text, length: 6, text: "A-1234"}
  status: {address: 7, type: u16}
  running: {address: 7, type: u16, bits: 0, signal: {level: 1}}
  alarm: {address: 7, type: u16, bits: 4..6, signal: {kind: square, level: 1, swing: 4, period: 5 s, phase: 0 s}}
  w-sf: {address: 8, type: i16, signal: {kind: step, level: -1, swing: 1, period: 2 s}}
  watts: {address: 9, type: i16, scale-from: w-sf, unit: W, nan: [0x8000], signal: {kind: sine, level: 1200, swing: 300, period: 30 s}}
  energy: {address: 10, type: u32, order: CDAB, signal: {kind: counter, level: 99990, swing: 1, rollover: 100000}}
  total: {address: 12, type: u64, unit: Wh, signal: {kind: counter, level: 9007199254740993, swing: 1}}
  bcd: {address: 16, type: bcd32, scale: 0.01, signal: {level: 12.34}}
  mod: {address: 18, type: mod10k64, signal: {kind: counter, level: -5, swing: 1}}
  half: {address: 22, type: f16, signal: {level: 1.5}}
  mean: {address: 23, type: u24, order: sw, signal: {level: 70000}}
  high: {address: 25, type: u8, order: bs, signal: {level: 3}}
  low: {address: 25, type: u8, signal: {level: 4}}
  u48: {address: 26, type: u48, signal: {level: 1234567890123}}
  dbl: {address: 60, type: f64, order: DCBAHGFE, signal: {kind: walk, level: 1, swing: 0.5}}
  set: {address: 30, type: u16, access: read-write, scale: 0.1, signal: {level: 20}}
  reset: {address: 31, type: u16, access: write-only}
"""


@cache
def model(text: str = ALL) -> DeviceModel:
    return read_model(text, Path("m.yaml"), "model/m.yaml")


def device_at(ns: int, text: str = ALL) -> Device:
    device = Device(model(text), "d/1", 1, 7)
    device.advance(ns)
    return device


def test_what_lies_where() -> None:
    """By hand, 5 s after the start: 10 steps."""
    image = device_at(5 * S).image
    shown = {point.name: image.value(i) for i, point in enumerate(model().points)}
    assert shown["running"] == 1
    assert shown["alarm"] == 5, (
        "the second half of the square, 5 s long, begins at 2.5 s; a new period at 5 s"
    )
    assert shown["status"] == 0b101_0001
    assert shown["energy"] == 0, "99990 + 10 is where it rolls over"
    assert shown["total"] == 9007199254741003
    assert shown["mod"] == 5
    assert (shown["high"], shown["low"]) == (3, 4)
    words = image.read_words("holding", 24, 1)
    assert words == [0x0304], "address 25 counted from 1 is 24"
    assert image.read_words("holding", 22, 2) == [70000 & 0xFFFF, 70000 >> 16]
    assert image.read_words("holding", 0x300, 4) == [7, 1, 2, 0xFFFF]
    assert bytes(image.read_raw("holding", 0x30F, 3) or b"") == b"SN0042"
    assert image.read_words("holding", 15, 2) == [0, 0x1234]


def test_it_is_read_as_it_is_shown_and_written_where_it_can_be(tmp_path: Path) -> None:
    """18 points, of which 17 are read: 3 devices for 20 s."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "all.yaml").write_text(ALL)
    text = TINY.replace("press-sensor", "model/all.yaml").replace("duration: 5 s", "duration: 20 s")
    text = text.replace("with: {timeout: 200 ms}", 'with: {timeout: 200 ms, block: "40", gap: "0"}')
    text = text.replace("p99(latency.gateway) <= 50 ms", "last(value{point=set,device=presses/1}) == 33.3")
    text += """\
  - last(value{point=total,device=presses/2}) >= 9007199254740993 Wh
  - last(value{point=energy,device=presses/2}) <= 100
timeline:
  - {at: 12 s, write: presses/1, point: set, value: 33.3}
  - {at: 13 s, write: presses/1, point: reset, value: 7}
"""
    file = tmp_path / "s.yaml"
    file.write_text(text)
    code, document = run_json(file)
    assert code == 0, document
    assert document["ledger"]["due"] == 3 * 20 * 17
    truth = document["truth"]
    assert (truth["wrong"], truth["commands_wrong"]) == (0, 0)
    assert truth["checked"] >= 3 * 9 * 17, "the first nine polls at least"
    assert document["commands"] == {"issued": 2, "done": 2}


def test_answers_take_as_long_as_the_quantiles_say() -> None:
    """Of 20 000 answers: the shares below each quantile, within 4 standard deviations."""
    response = Response(2_000_000, 5_000_000, 20_000_000, 40_000_000, 90_000_000)
    server = ModbusServer(Device(model(), "d/1", 1, 7))
    took = []
    for _ in range(20_000):
        server.respond_tcp(bytes.fromhex("000100000006010300000001"), 0)
        took.append(model_base(response) + server.slow_ns)
    took.sort()
    assert took[0] >= response.min_ns
    assert took[-1] <= response.max_ns
    for share, quantile in ((0.5, response.p50_ns), (0.95, response.p95_ns), (0.99, response.p99_ns)):
        below = sum(1 for one in took if one <= quantile) / len(took)
        assert abs(below - share) < 4 * (share * (1 - share) / len(took)) ** 0.5
    assert response.at(0) == response.min_ns
    assert response.at(1 << 63) == response.p50_ns
    assert response.at((1 << 64) - 1) <= response.max_ns


def model_base(response: Response) -> int:
    found = model()
    assert found.response_ns == found.serial_response_ns == response.min_ns
    return found.response_ns


def ask(request: str, text: str = ALL) -> str:
    server = ModbusServer(Device(model(text), "d/1", 1, 7))
    return server.respond_pdu(bytes.fromhex(request), 0).hex()


@pytest.mark.parametrize(
    ("request_pdu", "answer"),
    [
        ("01 0000 0001", "8101"),  # a function that it hasn't got
        ("05 0000 FF00", "8501"),
        ("16 0000 0000 0000", "9601"),
        ("03 0000 0029", "8303"),  # 41 registers, of which it reads 40
        ("03 0000 0006", "030c" + b"A-1234".ljust(12, b"\0").hex()),
        ("03 001D 0002", "8302"),  # the second can only be written
        ("03 001C 0002", "8302"),  # the first doesn't exist
        ("06 0000 0001", "8602"),  # read only
        ("06 001E 0007", "06001e0007"),  # write only
        ("10 001D 0002 04 0001 0002", "10001d0002"),
        ("03 0303 0002", "8302"),  # behind the constants
        ("2B 0E 01 00", "2b0e0182000003" + "0004" + b"Acme".hex() + "0104" + b"M-38".hex() + "0203" + b"2.1".hex()),
        ("2B 0E 04 03", "2b0e0482000001" + "0313" + b"https://example.com".hex()),
        ("2B 0E 04 06", "ab02"),
    ],
)  # fmt: skip
def test_what_it_refuses_it_refuses_as_the_specification_says(request_pdu: str, answer: str) -> None:
    """MODBUS Application Protocol V1.1b3 sections 6 and 7."""
    assert ask(request_pdu.replace(" ", "")) == answer


def test_an_identity_that_needs_two_answers() -> None:
    text = ALL.replace('revision: "2.1"', f'revision: "{"r" * 200}"').replace("Acme", "V" * 100)
    first = ask("2b0e0100", text)
    assert first[:14] == "2b0e0182ff0202", "more follows from object 2 on; 2 are here"
    assert ask("2b0e0102", text)[:14] == "2b0e0182000001"


WRONG = {
    "an order": ("order: CDAB", "order: ACBD", "points.energy.order"),
    "a type": ("type: f16", "type: f17", 'did you mean "f16"'),
    "bits beyond": ("bits: 4..6", "bits: 14..16", "bits 14 to 16: u16 has the bits 0 to 15"),
    "bits backwards": ("bits: 4..6", "bits: 6..4", "the lower bit first"),
    "bits of a float": ("type: f16", "type: f16, bits: 3", "bits are taken of"),
    "no scale": ("scale-from: w-sf", "scale-from: w-sd", 'did you mean "w-sf"'),
    "a scale of another type": ("w-sf: {address: 8, type: i16", "w-sf: {address: 8, type: u16", "expected an i16"),
    "a text without length": ("length: 6, ", "", 'needs a "length"'),
    "a text that is too long": ('"A-1234"', '"A-1234567890X"', "a text of 13 bytes in 6 registers"),
    "a text with a signal": ('text: "A-1234"', "signal: {level: 1}", "a text has no signal"),
    "a number with a text": ("type: f16", 'type: f16, text: "x"', '"text" goes with type: text only'),
    "two of one bit": ("bits: 4..6", "bits: 0..6", "running and alarm both lie at holding 6"),
    "a view that is written": ("status: {address: 7, type: u16}", "status: {address: 7, type: u16, writable: true}", "can't be written"),
    "two accesses": ("access: read-write", "access: read-write, writable: true", '"access" says that already'),
    "address 0": ("address: 0x0001", "address: 0x0000", "count from 1"),
    "a constant on a point": ("0x0301: 7", "0x0007: 7", "and a constant both lie at holding 6"),
    "a constant that is too large": ("0x0301: 7", "0x0301: 70000", "expected a register (0 to 65535)"),
    "a constant at no address": ("0x0301: 7", "x: 7", "expected an address"),
    "two constants": ("0x0310:", "0x0304:", "has two constants"),
    "quantiles that fall": ("p95: 20 ms", "p95: 60 ms", "rise"),
    "a sine that rolls over": ("kind: walk, level: 1,", "kind: walk, rollover: 5, level: 1,", "only a counter begins anew"),
    "a start beyond the roll-over": ("level: 99990, swing: 1", "level: 100000, swing: 1", "begins from 0 to below that"),
    "an order of 64 bits": ("order: sw, signal: {level: 70000}", "order: ds, signal: {level: 70000}", "order ds is of 64 bits"),
    "a read of nothing": ("largest-read: 40", "largest-read: 0", "largest-read"),
    "a function that is none": ("[3, 4, 6, 16, 43]", "[3, 4, 200]", "functions"),
    "an unknown key": ("holes: refused", "hole: refused", 'did you mean "holes"'),
    "an identity that isn't ASCII": ("Acme", "Äcme", "ASCII"),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_a_mistake_is_named_with_its_place(name: str) -> None:
    old, new, says = WRONG[name]
    assert ALL.count(old) == 1
    with pytest.raises(ScenarioError) as told:
        model(ALL.replace(old, new))
    assert says in str(told.value)
    assert "m.yaml" in str(told.value)


def test_a_file_that_is_written_is_the_model() -> None:
    assert again(model()) == model()


def again(found: DeviceModel) -> DeviceModel:
    return read_model(write_model(found), Path("m.yaml"), found.name)


@settings(max_examples=60, deadline=None)
@given(points=maps(), holes=st.booleans(), unit=st.integers(0, 255), read_max=st.integers(1, 125))
def test_any_model_is_written_whole(points: Any, holes: bool, unit: int, read_max: int) -> None:
    """But for points without a signal that others overlap, of which a random map has none."""
    try:
        found = DeviceModel(
            "model/m.yaml",
            "t",
            "s",
            model().protocols,
            points,
            profile=Profile(holes, (), read_max, (), unit),
        )
    except ValueError:
        return  # two points that lie on each other
    if not any(point.type == "text" for point in points):
        found = replace(found, protocols=read_model(write_model(found), Path("m.yaml"), found.name).protocols)
    assert again(found) == found


def test_the_schema_for_editors_knows_every_key() -> None:
    schema = model_file_schema()
    assert set(yaml.safe_load(ALL)) <= set(schema["properties"])
    known = set(schema["$defs"]["PointBlock"]["properties"])
    for point in yaml.safe_load(ALL)["points"].values():
        assert set(point) <= known


def test_check_says_how_many_answers_come_after_the_timeout(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """p95 is 20 ms, and a LAN takes no millisecond: a timeout of 19 ms is too short for 5 %."""
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "all.yaml").write_text(ALL)
    for timeout, says in (
        ("19 ms", "5 % of answers take 20"),
        ("4 ms", "50 % of answers take 5"),
        ("95 ms", ""),
    ):
        text = TINY.replace("press-sensor", "model/all.yaml").replace(
            "timeout: 200 ms", f"timeout: {timeout}"
        )
        (tmp_path / "s.yaml").write_text(text)
        assert main(["check", str(tmp_path / "s.yaml")]) == 0
        told = capsys.readouterr()
        assert says in told.out + told.err
        assert ("of answers take" in told.out + told.err) == bool(says)
