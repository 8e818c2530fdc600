"""A device with known answers, probed: what is found, what is guessed and why, and that nothing is written."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.file.test_datasheet import model
from tests.scenarios.learning.arms import ARMS, Clock, Direct, S, asker, model_of, probed
from twinloop.devices.live.asking import Answer
from twinloop.devices.modbus.server import ModbusServer
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.scenarios.file.datasheet.reading import read_model
from twinloop.scenarios.learning.asked import DEFAULT, ranges
from twinloop.scenarios.learning.guessing import guessed
from twinloop.scenarios.learning.learned import learned_file, quantiles, told
from twinloop.scenarios.learning.mapping import Mapper, Stopped
from twinloop.scenarios.learning.probing import probe
from twinloop.scenarios.text.errors import ScenarioError

ASKED = "holding:0..99,holding:760..799,input:0..3,coil:0..3"


def learned(text: str) -> DeviceModel:
    return read_model(text, Path("l.yaml"), "l")


@pytest.mark.parametrize("arm", ARMS)
def test_a_device_of_all_types_there_and_back(arm: str) -> None:
    """The datasheet with every type, holes, a largest read of 40 and an identity."""
    found = probed(model(), ASKED, arm)
    mapped = found.mapped
    assert mapped.islands("holding") == [(0, 28), (29, 1), (59, 4), (768, 4), (783, 3)]
    assert mapped.largest_read() == (40, True)
    assert mapped.identity == {0: "Acme", 1: "M-38", 2: "2.1", 3: "https://example.com"}
    assert mapped.absent == {"coil": 1}
    assert not mapped.there["input"]
    assert not found.ended

    text = learned_file(found, "l", "tcp://device/1")
    again = learned(text)
    assert again.profile.holes
    assert again.profile.read_max == 40
    assert again.profile.functions == (3, 4, 6, 16, 22, 23, 43)
    assert dict(again.profile.identity) == mapped.identity
    device = Device(again, "l/1", 1, 9)
    device.advance(0)
    first = found.looks[0]
    for table, words in mapped.there.items():
        for at in words:
            assert device.image.read_words(table, at, 1) == [first[table, at]], f"{table} {at}"
    back = probed(again, ASKED)
    assert back.mapped.islands("holding") == mapped.islands("holding")
    assert back.mapped.largest_read() == (40, True)


def test_nothing_is_written() -> None:
    clock = Clock()
    with asker(model(), "direct", clock) as one:
        assert isinstance(one, Direct)
        probe(one, "u", ranges(DEFAULT), looks=3, every_ns=S, wait=clock.wait)
        assert {pdu[0] for pdu in one.said} == {1, 2, 3, 4, 43}


# ---- the largest read ----------------------------------------------------------------------------
@pytest.mark.parametrize("most", [1, 2, 3, 39, 62, 63, 64, 100, 124])
def test_the_largest_read_is_found_exactly(most: int) -> None:
    whole = "".join(f"  p{i}: {{address: {i}, type: u16, signal: {{level: {i + 1}}}}}\n" for i in range(150))
    found = probed(model_of(whole, f"largest-read: {most}\n"), "holding:0..149", looks=1)
    assert found.mapped.islands("holding") == [(0, 150)]
    assert found.mapped.largest_read() == (most, True)


def test_a_short_map_tells_it_by_the_exception() -> None:
    """Ten registers, and 02 for what isn't there but 03 for more than 40."""
    few = "".join(f"  p{i}: {{address: {i}, type: u16, signal: {{level: 1}}}}\n" for i in range(10))
    assert probed(model_of(few, "largest-read: 40\n"), "holding:0..9").mapped.largest_read() == (40, True)
    assert probed(model_of(few), "holding:0..9").mapped.largest_read() == (10, False)


class Odd:
    """A device that says ``code`` of all that it hasn't got or doesn't want; 0: says nothing."""

    def __init__(self, there: range, most: int, code: int, identifies: bool = True) -> None:
        self.there, self.most, self.code, self.identifies = there, most, code, identifies

    def read(self, table: str, address: int, count: int) -> Answer:
        if count <= self.most and address in self.there and address + count - 1 in self.there:
            return Answer((7,) * count, 0, 1000)
        return Answer(None, self.code, 1000)

    def identity(self) -> tuple[dict[int, str], Answer]:
        return ({}, Answer(None, 1, 1000)) if self.identifies else ({}, Answer(None))


@pytest.mark.parametrize("code", [2, 3, 4, 0])
def test_whatever_exception_a_device_has_for_too_much(code: int) -> None:
    mapper = Mapper(Odd(range(5, 60), 20, code))
    if code:
        mapper.explore({"holding": [(5, 80)]})
        assert mapper.found.islands("holding") == [(5, 55)]
    else:
        mapper.explore({"holding": [(5, 59)]})
        assert mapper.found.islands("holding") == [(5, 55)]
    assert mapper.found.largest_read() == (20, True)


def test_a_device_that_says_03_of_what_it_hasnt_got() -> None:
    """That says nothing of sizes: ten registers in one read are answered, and no more is known."""
    mapper = Mapper(Odd(range(10), 125, 3))
    mapper.explore({"holding": [(0, 9)]})
    assert mapper.found.largest_read() == (10, False)


def test_holes_cost_about_a_request_an_address() -> None:
    mapper = Mapper(Odd(range(100, 110), 125, 2))
    mapper.explore({"input": [(0, 199)]})
    assert mapper.found.islands("input") == [(100, 10)]
    assert mapper.found.requests < 230


def test_the_bound_of_requests_is_said_and_what_was_found_stays() -> None:
    found = probed(model(), "holding:0..999", requests=60)
    assert found.mapped.islands("holding")[0] == (0, 28)
    assert found.ended.startswith("60 requests are made, and no more (--requests): from holding ")
    assert "Ended early: 60 requests" in learned_file(found, "l", "u")


# ---- what doesn't answer -------------------------------------------------------------------------
def test_silence_from_the_beginning() -> None:
    with pytest.raises(ScenarioError, match="no answer to 3 requests: is this its unit id, its protocol"):
        probe(
            Odd(range(0), 0, 0, False), "u", ranges("holding:0..9"), looks=1, every_ns=S, wait=lambda ns: None
        )


def test_silence_in_the_middle() -> None:
    mapper = Mapper(Odd(range(10), 5, 0))
    with pytest.raises(Stopped, match="the device answers no more: 16 requests in a row"):
        mapper.explore({"holding": [(0, 99)]})
    assert mapper.found.islands("holding") == [(0, 10)]


def test_another_unit_behind_a_gateway() -> None:
    clock = Clock()
    with (
        asker(model(), "tcp", clock, unit=9) as one,
        pytest.raises(
            ScenarioError, match="exception 0B: a gateway answers, and nobody behind it has this unit"
        ),
    ):
        probe(one, "tcp://device/9", ranges(ASKED), looks=1, every_ns=S, wait=clock.wait)


def test_silence_over_a_socket() -> None:
    """RTU over TCP: another unit is silence."""
    clock = Clock()
    with (
        asker(model(), "rtu+tcp", clock, unit=9, timeout_s=0.05) as one,
        pytest.raises(ScenarioError, match="no answer"),
    ):
        probe(one, "rtu+tcp://device/9", ranges("holding:0..9"), looks=1, every_ns=S, wait=clock.wait)


@pytest.mark.parametrize("after", [1, 3])
def test_an_interrupt_leaves_what_was_learned(after: int) -> None:
    clock = Clock()

    def wait(ns: int) -> None:
        clock.wait(ns)
        if clock.now_ns == after * S:
            raise KeyboardInterrupt

    with asker(model(), "direct", clock) as one:
        found = probe(one, "u", ranges(ASKED), looks=5, every_ns=S, wait=wait)
    assert found.interrupted
    assert len(found.looks) == after
    assert learned(learned_file(found, "l", "u")).points


def test_an_interrupt_while_it_is_mapped() -> None:
    class Interrupted(Odd):
        def read(self, table: str, address: int, count: int) -> Answer:
            if address >= 20:
                raise KeyboardInterrupt
            return super().read(table, address, count)

    found = probe(
        Interrupted(range(40), 10, 2), "u", ranges("holding:0..39"), looks=5, every_ns=S, wait=lambda ns: None
    )
    assert found.interrupted
    assert found.mapped.islands("holding") == [(0, 20)]
    assert len(learned(learned_file(found, "l", "u")).points) == 20


def test_a_look_that_isnt_whole_doesnt_count() -> None:
    device = Odd(range(10), 10, 2)
    asked = ranges("holding:0..9")
    found = probe(device, "u", asked, looks=3, every_ns=S, wait=lambda ns: setattr(device, "most", 4))
    assert (len(found.looks), found.missed) == (1, 2)
    assert found.ended == "2 of 3 looks weren't answered"


# ---- guesses -------------------------------------------------------------------------------------
KINDS = {
    "  a: {address: 0, type: f32, signal: {kind: sine, level: 50, swing: 0.5, period: 7 s, noise: 0.01}}\n": ("f32", None),
    "  a: {address: 0, type: f32, order: sw, signal: {kind: sine, level: 50, swing: 0.5, period: 7 s}}\n": ("f32", "sw"),
    "  a: {address: 0, type: f32, order: le, signal: {kind: sine, level: 50, swing: 0.5, period: 7 s}}\n": ("f32", "le"),
    "  a: {address: 0, type: f32, signal: {level: 20.1}}\n": ("f32", None),
    "  a: {address: 0, type: f32, signal: {level: 6}}\n": ("f32", None),
    "  a: {address: 0, type: f32, order: sw, signal: {level: 20.1}}\n": ("f32", "sw"),
    "  a: {address: 0, type: u32, signal: {kind: counter, level: 65530, swing: 3}}\n": ("u32", None),
    "  a: {address: 0, type: u32, order: sw, signal: {kind: counter, level: 65530, swing: 3}}\n": ("u32", "sw"),
    "  a: {address: 0, type: u32, order: sw, signal: {kind: counter, level: 840000, swing: 3}}\n": ("u32", "sw"),
    "  a: {address: 0, type: i32, signal: {kind: sine, level: 0, swing: 900, period: 5 s, phase: 0 s}}\n": ("i32", None),
    "  a: {address: 0, type: i16, signal: {kind: sine, level: 0, swing: 90, period: 5 s, phase: 0 s}}\n": ("i16", None),
    "  a: {address: 0, type: u16, signal: {kind: sine, level: 2300, swing: 9, period: 5 s}}\n": ("u16", None),
    "  a: {address: 0, type: u16, signal: {kind: counter, level: 5, swing: 2}}\n": ("u16", None),
    "  a: {address: 0, type: u16, signal: {level: 230}}\n": ("u16", None),
    "  a: {address: 0, type: text, length: 8, text: SN-2041 b}\n": ("text", None),
}  # fmt: skip


@pytest.mark.parametrize("points", list(KINDS))
def test_a_type_is_guessed_with_its_order(points: str) -> None:
    found = probed(model_of(points), "holding:0..15")
    text = learned_file(found, "l", "u")
    point = learned(text).points[0]
    kind, order = KINDS[points]
    assert (point.address, point.type, point.order) == (0, kind, order or "be")
    assert "  # " in next(line for line in text.splitlines() if line.startswith("  holding-0"))


def test_sentinels() -> None:
    constant = guessed(10, [[0x8000, 0xFFFF, 0x7FFF]] * 3)
    assert [(one.address, one.keys["type"], one.keys["nan"]) for one in constant] == [
        (10, "i16", [0x8000]),
        (11, "u16", [0xFFFF]),
        (12, "i16", [0x7FFF]),
    ]
    assert constant[0].keys["signal"] == {"level": -0x8000}
    (some,) = guessed(0, [[100], [0x8000], [140], [90]])
    assert some.keys["nan"] == [0x8000]
    assert some.reason == "90 to 140; 0x8000 in 1 of 4 looks: no value"


def test_a_text_with_swapped_bytes_is_said_to_be_one_perhaps() -> None:
    point = "  a: {address: 0, type: text, length: 8, order: bs, text: SN-2041 b}\n"
    text = learned_file(probed(model_of(point), "holding:0..15"), "l", "u")
    assert (
        '8 printable characters, the same in 5 looks; with the bytes of each register swapped (order BA) "SN-2041 b"'
        in text
    )


def test_reasons_say_what_was_seen() -> None:
    assert [one.reason for one in guessed(0, [[230], [230], [230]])] == ["the same in 3 looks"]
    assert guessed(0, [[1, 65534], [1, 65535], [2, 1]])[0].reason == (
        "upper half first, counts from 131070 to 131073, and carry over"
    )
    assert guessed(0, [[0, 0], [0, 0]]) == [], "what is always 0 is a constant"


@pytest.mark.parametrize("looks", [1, 5])
def test_bits(looks: int) -> None:
    points = "  a: {table: coil, address: 3, type: u16, signal: {level: 1}}\n  b: {table: coil, address: 9, type: u16}\n"
    again = learned(learned_file(probed(model_of(points), "coil:3..9", looks=looks), "l", "u"))
    assert [(one.name, one.signal.level) for one in again.points] == [("coil-3", 1)]
    assert ModbusServer(Device(again, "d", 1, 0)).respond_pdu(bytes((1, 0, 3, 0, 7)), 0) == bytes((1, 1, 1))


def test_more_points_than_a_model_has() -> None:
    found = probe(
        Odd(range(600), 125, 2), "u", ranges("holding:0..599"), looks=2, every_ns=S, wait=lambda ns: None
    )
    again = learned(learned_file(found, "l", "u"))
    assert len(again.points) == 500
    assert len(again.constants) == 100


def test_quantiles_and_words() -> None:
    assert quantiles([k * 1_000_000 for k in range(1, 101)]) == {
        "min": 1_000_000, "p50": 50_000_000, "p95": 95_000_000, "p99": 99_000_000, "max": 100_000_000,
    }  # fmt: skip
    lines = told(probed(model(), ASKED))
    assert lines[0] == "holding: 0..27, 29, 59..62, 768..771, 783..785; holes: 28, 30..58, 63..767, 772..782"
    assert "coil: function 1 is exception 01: there are none" in lines
    assert "reads: 40 registers at once, one more is refused" in lines


@pytest.mark.parametrize(
    ("text", "told_"),
    [
        ("holding", "expected ranges such as"),
        ("holdings:0..9", 'unknown table "holdings"'),
        ("input:9..3", "expected the lower address first"),
        ("input:0..65536", "65535 at most"),
    ],
)
def test_ranges_that_cant_be(text: str, told_: str) -> None:
    with pytest.raises(ScenarioError, match=told_):
        ranges(text)
    assert ranges("input:0x10..0x1F, coil:3") == {"input": [(16, 31)], "coil": [(3, 3)]}
