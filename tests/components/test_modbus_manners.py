"""modbus-driver and devices with manners: busy ones, holes, silence after a connect, echo, functions that some don't
know. Every value is counted by hand."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymodbus.framer import FramerRTU

from tests.components.test_modbus_driver import FUEL, ask, driver, point, registers, tcp
from tests.plants import WASM
from twinloop.components.contract.contract import Settings
from twinloop.components.host.call_state import Request
from twinloop.components.host.host import Host

MS = 1_000_000
TIMEOUT: Any = (False, ("timeout", None))
IMAGE = bytes(range(256)) * 8


class Bus:
    """A connection with a clock: each exchange takes 5 ms, or its timeout. ``reply``: the PDU that answers one, None
    for silence."""

    def __init__(self, reply: Callable[[bytes], bytes | None]) -> None:
        self.reply, self.now_ns = reply, 0
        self.asked: list[bytes] = []
        self.slept: list[int] = []
        self.resets = 0
        self.lying = b""
        """half an answer that is unread"""

    def clock(self) -> int:
        return self.now_ns

    def answer(self, request: Request) -> Any:
        name, arguments = request
        if name == "clock.sleep":
            self.slept.append(arguments[0])
            self.now_ns += arguments[0]
            return None
        if name == "fieldbus.reset":
            self.resets, self.lying = self.resets + 1, b""
            return None
        if name == "fieldbus.send":
            return True, None
        if name == "fieldbus.receive":
            found, self.lying = self.lying, b""
            return (True, found) if found else TIMEOUT
        adu, _, timeout_ns = arguments
        self.asked.append(adu[7:])
        pdu = self.reply(adu[7:])
        self.now_ns += timeout_ns if pdu is None else 5 * MS
        return TIMEOUT if pdu is None else (True, adu[:4] + struct.pack(">H", len(pdu) + 1) + adu[6:7] + pdu)


def poll(instance: Any, bus: Bus) -> list[tuple[int, int]] | None:
    """(point, status) of a poll's readings; None for an error."""
    result = ask(instance, bus.answer)
    return sorted((one.point, one.status) for one in result.value.readings) if result.ok else None


# ---- exceptions 05 and 06 ------------------------------------------------------------------------
@pytest.mark.parametrize("code", [5, 6])
@pytest.mark.parametrize(
    ("busy", "retries", "good"), [(3, 3, True), (4, 3, False), (1, 0, False), (1, 1, True)]
)
def test_a_busy_device_is_asked_again_after_a_pause(
    host: Host, code: int, busy: int, retries: int, good: bool
) -> None:
    left = [busy]

    def reply(pdu: bytes) -> bytes:
        left[0] -= 1
        return bytes((pdu[0] | 0x80, code)) if left[0] >= 0 else registers(IMAGE)(pdu)

    bus = Bus(reply)
    with driver(host, [point(1, "holding:0")], **{"retries": str(retries), "busy-wait": "30 ms"}) as instance:
        result = ask(instance, bus.answer)
    assert result.ok is good
    assert good or result.value == ("rejected", code)
    assert bus.slept == [30 * MS] * min(busy, retries)
    assert bus.resets == 0


@pytest.mark.parametrize(("timeout", "waits_ms"), [("1 s", 50), ("60 ms", 30)])
def test_the_usual_wait_is_short_beside_the_timeout(host: Host, timeout: str, waits_ms: int) -> None:
    bus = Bus(lambda pdu: b"\x83\x06")
    with driver(host, [point(1, "holding:0")], retries="2", timeout=timeout) as instance:
        assert poll(instance, bus) is None
    assert bus.slept == [waits_ms * MS] * 2


@pytest.mark.parametrize("code", [1, 2, 3, 4, 8, 10, 11])
def test_other_exceptions_are_answers(host: Host, code: int) -> None:
    bus = Bus(lambda pdu: bytes((pdu[0] | 0x80, code)))
    with driver(host, [point(1, "holding:0")], retries="5") as instance:
        assert ask(instance, bus.answer) == (False, ("rejected", code))
    assert len(bus.asked) == 1


@pytest.mark.parametrize(("shown", "ok"), [(b"\0\7", True), (b"\0\6", False)])
def test_a_write_that_is_acknowledged_is_looked_for_and_not_sent_twice(
    host: Host, shown: bytes, ok: bool
) -> None:
    """Exception 05, then 06 while it is carried out; the register says whether it was."""
    answers = [b"\x86\x05", b"\x83\x06", b"\x03\x02" + shown]
    bus = Bus(lambda pdu: answers.pop(0))
    with driver(host, [point(1, "holding:4")], retries="1") as instance:
        result = ask(instance, bus.answer, "write-register", (1, ("real", 7.0)))
    assert result == ((True, None) if ok else (False, ("rejected", 5)))
    assert [pdu.hex() for pdu in bus.asked] == ["0600040007", "0300040001", "0300040001"]


# ---- silence -------------------------------------------------------------------------------------
def test_a_device_that_is_silent_after_each_connect_is_heard(host: Host) -> None:
    """7 s of silence after a connect, a poll each second: the connection that hasn't answered is kept for 8 timeouts,
    so the polls at 0 to 6 s are missed and none after them."""
    opened = [0]

    def reply(pdu: bytes) -> bytes | None:
        return registers(IMAGE)(pdu) if bus.now_ns - opened[0] >= 7000 * MS else None

    bus = Bus(reply)
    with driver(host, [point(1, "holding:0")], timeout="200 ms") as instance:
        good = []
        for second in range(20):
            bus.now_ns = max(bus.now_ns, second * 1000 * MS)
            resets = bus.resets
            good.append(poll(instance, bus) is not None)
            if bus.resets > resets:
                opened[0] = (second + 1) * 1000 * MS
    assert good == [False] * 7 + [True] * 13
    assert bus.resets == 0


def test_no_silence_is_so_long_that_it_is_never_over(host: Host) -> None:
    """30 s: a connection lives for 8 polls, then 16, then 32, in which it answers."""
    opened = [0]

    def reply(pdu: bytes) -> bytes | None:
        return registers(IMAGE)(pdu) if bus.now_ns - opened[0] >= 30_000 * MS else None

    bus = Bus(reply)
    with driver(host, [point(1, "holding:0")], timeout="200 ms") as instance:
        good = 0
        for second in range(80):
            bus.now_ns = second * 1000 * MS
            resets = bus.resets
            good += poll(instance, bus) is not None
            if bus.resets > resets:
                opened[0] = (second + 1) * 1000 * MS
    assert good == 80 - 8 - 16 - 30
    assert bus.resets == 2


@pytest.mark.parametrize(("patience", "resets"), [("1", 2), ("2", 1), ("3", 1), ("7", 0)])
def test_a_connection_that_has_answered_is_given_up_after_some_timeouts(
    host: Host, patience: str, resets: int
) -> None:
    """Three polls of two tries without answer. What comes after a reset has four times the patience: with 1, the
    first try ends the first connection, the next four the second, and one is left; with 2 and 3 one connection."""
    silent = [False]
    bus = Bus(lambda pdu: None if silent[0] else registers(IMAGE)(pdu))
    with driver(host, [point(1, "holding:0")], retries="1", patience=patience) as instance:
        assert poll(instance, bus)
        silent[0] = True
        for _ in range(3):
            assert poll(instance, bus) is None
    assert bus.resets == resets


def test_half_an_answer_ends_its_connection_at_once(host: Host) -> None:
    bus = Bus(lambda pdu: None)
    with driver(host, [point(1, "holding:0")]) as instance:
        bus.lying = b"\0\1\0\0\0"
        assert poll(instance, bus) is None
        assert bus.resets == 1
        bus.reply = registers(IMAGE)
        assert poll(instance, bus) == [(1, 0)]


def test_a_new_connection_is_left_alone_as_long_as_asked(host: Host) -> None:
    """connect-wait 1.5 s, timeout 400 ms, polls at 0, 1 and 2 s: two exchanges wait for 400 ms each; the third, at 2 s,
    needs no more."""
    bus = Bus(registers(IMAGE))
    with driver(
        host, [point(1, "holding:0")], bus.clock, **{"connect-wait": "1500 ms", "timeout": "400 ms"}
    ) as instance:
        for second, found in ((0, None), (1, None), (2, [(1, 0)])):
            bus.now_ns = second * 1000 * MS
            assert poll(instance, bus) == found
        assert bus.slept == [400 * MS] * 2
        bus.now_ns = 3000 * MS
        assert poll(instance, bus) == [(1, 0)]
    assert len(bus.asked) == 2


def test_a_pause_lies_between_an_answer_and_the_next_request(host: Host) -> None:
    """Two blocks, 5 ms each, 20 ms between them; the poll one second later waits for nothing."""
    bus = Bus(registers(IMAGE))
    with driver(host, [point(1, "holding:0"), point(2, "holding:100")], bus.clock, pause="20 ms") as instance:
        assert poll(instance, bus)
        assert (bus.slept, bus.now_ns) == ([20 * MS], 30 * MS)
        bus.now_ns = 1000 * MS
        assert poll(instance, bus)
        assert bus.slept == [20 * MS] * 2


# ---- holes ---------------------------------------------------------------------------------------
def holed(holes: set[int], largest: int = 125, code: int = 2) -> Callable[[bytes], bytes]:
    """Registers, of which some aren't there, and of which no more than ``largest`` are read at once."""

    def reply(pdu: bytes) -> bytes:
        _, start, count = struct.unpack(">BHH", pdu)
        refused = code if holes & {*range(start, start + count)} else 3 if count > largest else 0
        return bytes((pdu[0] | 0x80, refused)) if refused else registers(IMAGE)(pdu)

    return reply


BAD = 0x808B0000


@pytest.mark.parametrize("holes", [{0}, {31}, {63}, {10, 11, 12}, {5, 40}])
def test_a_hole_costs_its_own_points_and_no_other(host: Host, holes: set[int]) -> None:
    """From the first poll on, in one block of 64 registers; later polls ask for what is there, and no more often than
    they must."""
    bus = Bus(holed(holes))
    points = [point(i, f"holding:{i}") for i in range(64)]
    with driver(host, points, bus.clock) as instance:
        for _ in range(6):
            assert poll(instance, bus) == [(i, BAD if i in holes else 0) for i in range(64)]
        before = len(bus.asked)
        poll(instance, bus)
        asked = bus.asked[before:]
    assert not any(bus.reply(pdu)[0] & 0x80 for pdu in asked), "holes aren't asked for"
    assert len(asked) <= 2 * 7 * len(holes)


def test_a_hole_that_has_no_points_costs_nothing(host: Host) -> None:
    """Points at 0..9 and 14..23, bridged; 12 isn't there. Refused once, then two reads for ever."""
    bus = Bus(holed({12}))
    points = [point(i, f"holding:{i}") for i in (*range(10), *range(14, 24))]
    with driver(host, points, bus.clock) as instance:
        for _ in range(3):
            found = poll(instance, bus)
            assert found is not None
            assert all(status == 0 for _, status in found)
    assert [pdu.hex() for pdu in bus.asked] == ["0300000018", *["030000000a", "03000e000a"] * 3]


@pytest.mark.parametrize("code", [2, 3])
def test_a_block_that_is_too_large_is_halved(host: Host, code: int) -> None:
    """100 registers, of which 40 are read at once: 100, then 50 and 50, then four of 25."""

    def reply(pdu: bytes) -> bytes:
        count = struct.unpack(">H", pdu[3:])[0]
        return bytes((0x83, code)) if count > 40 else registers(IMAGE)(pdu)

    bus = Bus(reply)
    with driver(host, [point(i, f"holding:{i}") for i in range(100)], bus.clock) as instance:
        for _ in range(2):
            found = poll(instance, bus)
            assert found is not None
            assert all(status == 0 for _, status in found)
    counts = [struct.unpack(">H", pdu[3:])[0] for pdu in bus.asked]
    assert counts == [100, 50, 25, 25, 50, 25, 25] + [25] * 4


def test_a_hole_is_asked_for_again_now_and_then(host: Host) -> None:
    """Refused five times it rests for 10 s; when the register has come to be, it is read within that time."""
    bus = Bus(holed({1}))
    points = [point(i, f"holding:{i}") for i in range(2)]
    with driver(host, points, bus.clock, again="10 s") as instance:
        statuses = []
        for second in range(40):
            bus.now_ns = second * 1000 * MS
            if second == 20:
                bus.reply = holed(set())
            found = poll(instance, bus)
            assert found is not None
            statuses.append(found[1][1])
    first_good = statuses.index(0)
    assert 20 <= first_good <= 30
    assert statuses == [BAD] * first_good + [0] * (40 - first_good)


def test_a_device_that_refuses_everything_has_no_holes(host: Host) -> None:
    """Exception 02 for 30 polls, then all is well: the first poll after that reads all of it, in one read again."""
    bus = Bus(lambda pdu: b"\x83\x02")
    with driver(host, [point(i, f"holding:{i}") for i in range(16)], bus.clock) as instance:
        for _ in range(30):
            assert poll(instance, bus) is None
        bus.reply = registers(IMAGE)
        bus.asked.clear()
        assert poll(instance, bus) == [(i, 0) for i in range(16)]
    assert len(bus.asked) == 1


def test_a_block_that_was_read_once_stays_whole(host: Host) -> None:
    bus = Bus(registers(IMAGE))
    with driver(host, [point(i, f"holding:{i}") for i in range(16)], bus.clock) as instance:
        assert poll(instance, bus)
        bus.reply, bus.asked = (lambda pdu: b"\x83\x02"), []
        for _ in range(20):
            assert poll(instance, bus) is None
        assert len(bus.asked) == 20
        bus.reply, bus.asked = registers(IMAGE), []
        assert poll(instance, bus) == [(i, 0) for i in range(16)]
        assert len(bus.asked) == 1


def test_splitting_takes_no_longer_than_a_timeout_a_poll(host: Host) -> None:
    """5 ms an exchange, timeout 20 ms: at most 4 exchanges more in each poll, the last of which may begin just before
    that; and still every register but the hole is read in the end."""
    bus = Bus(holed({37}))
    with driver(host, [point(i, f"holding:{i}") for i in range(100)], bus.clock, timeout="20 ms") as instance:
        for second in range(12):
            bus.now_ns = second * 1000 * MS
            known = len(bus.asked)
            found = poll(instance, bus)
            assert len(bus.asked) - known <= 4 + 14
        assert found == [(i, BAD if i == 37 else 0) for i in range(100)]


@settings(max_examples=40, deadline=None)
@given(
    holes=st.sets(st.integers(0, 60), max_size=12),
    addresses=st.sets(st.integers(0, 60), min_size=2, max_size=40),
    largest=st.sampled_from([1, 3, 10, 125]),
)
def test_whatever_is_there_is_read(host: Host, holes: set[int], addresses: set[int], largest: int) -> None:
    """Once splitting is done (one timeout of 1 s is enough here), the Bad points are those that lie in holes."""
    bus = Bus(holed(holes, largest))
    with driver(host, [point(i, f"holding:{i}") for i in sorted(addresses)], bus.clock) as instance:
        for second in range(8):
            bus.now_ns = second * 1000 * MS
            found = poll(instance, bus)
    if addresses <= holes:
        assert found is None
    else:
        assert found == [(i, BAD if i in holes else 0) for i in sorted(addresses)]


# ---- functions -----------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("address", "write", "seen"),
    [
        ("holding:4", "auto", ["0600040003", "100004000102" + "0003", "100004000102" + "0003"]),
        ("holding:4", "multiple", ["1000040001020003"] * 2),
        ("holding:4", "single", ["0600040003"] * 2),
        ("coil:9", "auto", ["050009ff00", "0f000900010101", "0f000900010101"]),
        ("coil:9", "multiple", ["0f000900010101"] * 2),
    ],
)
def test_functions_for_one_register(host: Host, address: str, write: str, seen: list[str]) -> None:
    """A device that knows 15 and 16 only (MODBUS Application Protocol V1.1b3 sections 6.11, 6.12), written twice."""
    asked: list[str] = []

    def reply(pdu: bytes) -> bytes:
        asked.append(pdu.hex())
        return pdu[:5] if pdu[0] in (15, 16) else bytes((pdu[0] | 0x80, 1))

    with driver(host, [point(1, address)], write=write) as instance:
        for _ in range(2):
            result = ask(instance, tcp(reply), "write-register", (1, ("real", 3.0)))
            assert result == ((True, None) if write != "single" else (False, ("rejected", 1)))
    assert asked == seen


def test_a_device_that_can_not_be_written_at_all_is_asked_both_ways(host: Host) -> None:
    with driver(host, [point(1, "holding:4")]) as instance:
        for _ in range(2):
            result = ask(
                instance, tcp(lambda pdu: bytes((pdu[0] | 0x80, 1))), "write-register", (1, ("real", 3.0))
            )
            assert result == (False, ("rejected", 1))


# ---- echo ----------------------------------------------------------------------------------------
def rtu(body: bytes) -> bytes:
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


@pytest.mark.parametrize("echo", ["auto", "true", "false"])
@pytest.mark.parametrize("merged", [False, True])
@pytest.mark.parametrize("echoes", [False, True])
def test_an_echo_is_told_from_an_answer(host: Host, echo: str, merged: bool, echoes: bool) -> None:
    """Two wires bring the request back, before the answer or in one with it. A read is right whatever the option says,
    except that ``false`` believes the first frame; so is the write after it, whose answer is its request."""
    waiting: list[bytes] = []

    def answer(request: Request) -> Any:
        if request.name == "fieldbus.receive":
            return (True, waiting.pop()) if waiting else TIMEOUT
        if request.name != "fieldbus.transact":
            return None
        adu = request.arguments[0]
        right = rtu(adu[:1] + b"\x03\x02\0\7") if adu[1] == 3 else adu
        if not echoes:
            return True, right
        if merged:
            return True, adu + right
        waiting[:] = [right]
        return True, adu

    with driver(host, [point(1, "holding:0")], protocol="modbus-rtu", echo=echo) as instance:
        wrong = echo == "false" and echoes
        for _ in range(2):
            result = ask(instance, answer)
            assert result.ok is not wrong
            assert wrong or result.value.readings[0].value == 7.0
        if not wrong and not (echo == "true" and not echoes):
            assert ask(instance, answer, "write-register", (1, ("real", 9.0))) == (True, None)
            assert not waiting


def test_a_first_write_without_an_echo_waits_for_one_once(host: Host) -> None:
    """Its answer is its request, and nothing was learned yet: it could be an echo. Silence says that it was not; a read of
    registers says it at once."""
    received: list[str] = []

    def answer(request: Request) -> Any:
        if request.name == "fieldbus.receive":
            received.append(request.name)
            return TIMEOUT
        return True, request.arguments[0]

    with driver(host, [point(1, "coil:0")], protocol="modbus-rtu") as instance:
        for _ in range(3):
            assert ask(instance, answer, "write-register", (1, ("real", 1.0))) == (True, None)
    assert len(received) == 1


def test_an_echo_that_was_garbled_once_is_learned_again(host: Host) -> None:
    waiting: list[bytes] = []
    garbled = [True]

    def answer(request: Request) -> Any:
        if request.name == "fieldbus.receive":
            return (True, waiting.pop()) if waiting else TIMEOUT
        if request.name != "fieldbus.transact":
            return None
        adu = request.arguments[0]
        waiting[:] = [rtu(adu[:1] + b"\x03\x02\0\7") if adu[1] == 3 else adu]
        return True, adu[:-1] + bytes((adu[-1] ^ garbled[0],))

    with driver(host, [point(1, "holding:0")], protocol="modbus-rtu") as instance:
        assert ask(instance, answer) == (False, ("malformed", "crc"))
        garbled[0] = False
        assert ask(instance, answer).ok
        assert ask(instance, answer, "write-register", (1, ("real", 9.0))) == (True, None)
        assert not waiting


def test_another_clients_request_is_no_echo(host: Host) -> None:
    """Once an answer came first, the line has no echo: a frame like the request is then somebody else's."""
    overheard = [False]

    def answer(request: Request) -> Any:
        if request.name == "fieldbus.receive":
            return True, rtu(b"\x01\x03\x02\0\7")
        if request.name != "fieldbus.transact":
            return None
        return True, request.arguments[0] if overheard[0] else rtu(b"\x01\x03\x02\0\7")

    with driver(host, [point(1, "holding:0")], protocol="modbus-rtu") as instance:
        assert ask(instance, answer).ok
        overheard[0] = True
        assert ask(instance, answer) == (False, ("malformed", "byte count"))


# ---- settings ------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("name", "bad"),
    [
        ("busy-wait", "50"), ("pause", "-1 s"), ("connect-wait", "soon"), ("patience", "0"), ("patience", "101"),
        ("again", "0 s"), ("again", "60"), ("write", "both"), ("write", ""), ("echo", "yes"), ("echo", ""),
    ],
)  # fmt: skip
def test_a_bad_value_is_refused_by_name(host: Host, name: str, bad: str) -> None:
    linked = host.link(host.load(WASM / "modbus-driver.wasm", "driver"), ["fieldbus", "clock", "log"])
    instance = host.instantiate(linked, {"clock.now": lambda: 0, "log.log": lambda level, text: None}, FUEL)
    instance.begin("configure", (Settings("d", [], [(name, bad)]),), FUEL)
    instance.advance()
    assert instance.result() == (False, ("bad-option", name))
    instance.close()
