"""Attached devices that another process serves: what it tells, and what is made of that, without sockets. Two
clocks, delays, lies, losses."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sim.field.test_field import mixed
from tests.sim.serving.test_served import Desk, bare
from twinloop.components.contract.contract import TextReading
from twinloop.components.host.batch import Batch
from twinloop.components.host.host import Host
from twinloop.devices.model.device import Device, DeviceModel
from twinloop.devices.model.encodings import TEXT
from twinloop.devices.model.points import Point, Text
from twinloop.devices.model.signal import Signal
from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.cloud.messages import Command
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.serving.truth import Showing, TruthCaller
from twinloop.sim.truth.elsewhere import POINTS_MAX, WAITING_MAX, Elsewhere, ElsewhereWitness
from twinloop.sim.truth.nobody import Nobody
from twinloop.sim.truth.truth import NOT_WRITTEN, UNREAD, Truth

HELLO = {"twinloop-shown": 2, "devices": [["m/1", 0], ["m/2", 0]], "models": [["level", "speed", "serial"]]}


class Talk:
    """Our side of a conversation, and theirs as the test says it. Their clock is ``ahead_ns`` of ours."""

    def __init__(self, ahead_ns: int = 0) -> None:
        self.now_ns, self.ahead_ns = 0, ahead_ns
        self.asked: list[int] = []
        self.serving = Elsewhere(lambda: self.now_ns)
        self.serving.write = lambda data: self.asked.append(json.loads(data)["ask"])
        self.env: Any = SimpleNamespace(_now=0)
        self.truth = Truth(
            self.env, Ledger(["m/1", "m/2"], [("level", "speed", "serial")] * 2), [False, False]
        )
        level = Point("level", "holding", 0, "u16", scale=0.1, signal=Signal("constant", 1.0), writable=True)
        model = DeviceModel(
            "m",
            "one register",
            "ours",
            ("modbus-tcp",),
            (
                level,
                Point("speed", "holding", 1, signal=Signal("constant", 1.0)),
                Point("serial", "holding", 2, TEXT, text=Text(2, "AB12")),
            ),
        )
        self.witness = ElsewhereWitness(
            Nobody(), self.serving, self.env, 0, Device(model=model, name="m/1", unit_id=1, key=5)
        )
        self.say(HELLO)

    def say(self, *said: dict[str, Any]) -> None:
        self.serving.heard(b"".join(json.dumps(one).encode() + b"\n" for one in said))

    def at(self, now_ns: int) -> None:
        self.now_ns = self.env.now = now_ns

    def clock(self, there_ns: int = 0, back_ns: int = 0) -> None:
        """A question, answered after so long, and heard so long after that."""
        self.serving.ask()
        self.now_ns += there_ns
        theirs_ns = self.now_ns + self.ahead_ns
        self.now_ns += back_ns
        self.say({"asked": self.asked[-1], "now": theirs_ns})
        self.env.now = self.now_ns

    def show(self, at_ns: int, what: str = "read", device: int = 0, **points: float) -> None:
        self.say(
            {
                "at": at_ns + self.ahead_ns,
                "device": device,
                what: {point: [value, 0.1, False, False] for point, value in points.items()},
            }
        )

    def read(self, begun_ns: int, ended_ns: int, level: float, k: int = 0) -> None:
        """A call that returned that."""
        self.at(begun_ns)
        self.witness.begin()
        self.at(ended_ns)
        self.truth.check(0, k, Batch((1,), (level,), (0,), (0,), ()), {1: 1}, self.witness)

    def wrote(self, begun_ns: int, ended_ns: int, value: float, number: int = 1, done: bool = True) -> None:
        self.at(begun_ns)
        self.witness.begin()
        self.at(ended_ns)
        command = Command(number, 0, 0, value, begun_ns)
        self.truth.ordered(command)
        if done:
            self.truth.wrote(command, self.witness)


def test_a_reading_is_compared_when_all_that_was_shown_has_been_heard() -> None:
    talk = Talk(ahead_ns=-77 * S)
    talk.at(1 * S)
    talk.clock()
    talk.read(2 * S, 2 * S + 5 * MS, 4.5)
    assert talk.truth.checked == 0
    assert talk.serving.waiting == 1
    talk.show(2 * S + 2 * MS, level=4.5)
    talk.clock()
    assert (talk.truth.checked, talk.truth.asked_elsewhere, talk.truth.wrong, talk.serving.waiting) == (
        1,
        1,
        0,
        0,
    )


@pytest.mark.parametrize(
    ("level", "shown", "kind"),
    [
        (4.6, [(2001, 4.5)], "a corrupted frame or another table"), (45.0, [(2001, 4.5)], "another scale"),
        (4.4, [(1999, 4.4), (2001, 4.5)], "a stale answer"), (4.4, [(1999, 4.4)], UNREAD), (4.5, [(2006, 4.5)], UNREAD),
    ],
)  # fmt: skip
def test_what_wasnt_shown_in_the_call_is_wrong(
    level: float, shown: list[tuple[int, float]], kind: str
) -> None:
    talk = Talk(ahead_ns=3600 * S)
    talk.at(1 * S)
    talk.clock()
    talk.read(2 * S, 2 * S + 5 * MS, level, k=7)
    for at_ms, value in shown:
        talk.show(at_ms * MS, level=value)
    talk.clock()
    assert talk.truth.wrong == 1
    assert talk.truth.first is not None
    assert (talk.truth.first.device, talk.truth.first.point, talk.truth.first.k, talk.truth.first.kind) == (
        "m/1",
        "level",
        7,
        kind,
    )


@given(
    st.integers(-(10**15), 10**15), st.lists(st.tuples(st.integers(0, 40 * MS), st.integers(0, 40 * MS)), min_size=1, max_size=12),
    st.integers(0, 1 * S), st.integers(0, 100 * MS), st.integers(0, 100 * MS),
)  # fmt: skip
def test_whatever_the_clocks_and_delays_what_was_shown_is_right(
    ahead_ns: int, answers: list[tuple[int, int]], begun_ns: int, lasted_ns: int, at_ns: int
) -> None:
    """And what was shown longer before or after than the quickest answer took (and the clocks may have
    drifted) is not."""
    talk = Talk(ahead_ns)
    for there_ns, back_ns in answers:
        talk.clock(there_ns, back_ns)
    begun_ns += talk.now_ns
    shown_ns = begun_ns + min(at_ns, lasted_ns)
    talk.read(begun_ns, begun_ns + lasted_ns, 4.5)
    talk.show(shown_ns, level=4.5)
    talk.clock()
    assert (talk.truth.checked, talk.truth.wrong) == (1, 0)
    quickest_ns = min(there_ns + back_ns for there_ns, back_ns in answers[-8:])
    begun_ns = talk.now_ns + 2 * S
    talk.read(begun_ns, begun_ns + lasted_ns, 4.5)
    talk.show(begun_ns - quickest_ns - 1 * MS - (2 * S + 2 * sum(map(sum, answers))) // 1000, level=4.5)
    talk.clock()
    assert (talk.truth.checked, talk.truth.wrong) == (2, 1)


def test_nothing_is_said_of_what_nobody_knows() -> None:
    """Calls before their clock was known, points that aren't served there, a connection that is lost, looks
    that had to be forgotten."""
    talk = Talk()
    talk.read(0, 5 * MS, 1.0)
    talk.at(1 * S)
    talk.clock()
    talk.serving.points = {"m/1": frozenset(("speed",))}
    talk.read(2 * S, 2 * S + 5 * MS, 1.0)
    talk.clock()
    talk.say(HELLO)
    talk.read(3 * S, 3 * S + 5 * MS, 1.0)
    for n in range(POINTS_MAX + 1):
        talk.show(3 * S + 10 * MS + n, speed=1.0)
    talk.clock()
    assert talk.truth.checked == 0
    talk.read(4 * S, 4 * S + 5 * MS, 1.0)
    assert talk.serving.waiting == 1
    talk.serving.lost()
    talk.clock()
    assert (talk.truth.checked, talk.truth.wrong, talk.serving.waiting, talk.serving.why) == (
        0,
        0,
        0,
        "the connection was lost",
    )


def test_a_point_that_isnt_served_there_is_named_and_not_checked() -> None:
    talk = Talk()
    talk.serving.points = {"m/1": frozenset(("speed",))}
    talk.at(1 * S)
    talk.clock()
    talk.witness.begin()
    talk.truth.checked = 1
    talk.witness.read_later(talk.truth, 0, [(0, 1.0, True)], [])
    talk.clock()
    assert (talk.truth.checked, talk.truth.wrong, list(talk.serving.unknown)) == (0, 0, [("m/1", "level")])


@pytest.mark.parametrize(
    ("told", "said", "wrong", "true"),
    [
        ([(2001, "AB12")], "AB12", 0, ""), ([(2001, "AB12")], "BA21", 1, "AB12"), ([(2001, None)], "AB12", 1, ""),
        ([(1999, "AB12"), (2001, "AB13")], "AB12", 1, "AB13"), ([(1999, "AB12")], "AB12", 1, ""),
    ],
)  # fmt: skip
def test_texts_are_compared_with_what_was_shown_in_the_call(
    told: list[tuple[int, str | None]], said: str, wrong: int, true: str
) -> None:
    """Bytes of each register turned round, a register that is no text, one that has changed, one that wasn't
    asked in this call."""
    talk = Talk(ahead_ns=5 * S)
    talk.at(1 * S)
    talk.clock()
    talk.at(2 * S)
    talk.witness.begin()
    talk.at(2 * S + 5 * MS)
    reading = TextReading(3, said, 0, 0)
    talk.truth.check(0, 7, Batch((), (), (), (), (reading,)), {3: 0b100}, talk.witness)
    for at_ms, text in told:
        look = {"at": at_ms * MS + 5 * S, "device": 0, "read": {}, "texts": {"serial": text}}
        talk.say(look)
    talk.clock()
    truth = talk.truth
    assert (truth.checked, truth.asked_elsewhere, truth.wrong) == (1, 1, wrong)
    if wrong:
        assert truth.first is not None
        assert (truth.first.point, truth.first.k, truth.first.said, truth.first.true) == (
            "serial",
            7,
            said,
            true,
        )


def test_words_of_a_point_that_is_no_text_are_no_lie() -> None:
    """A driver tells a number in words: who serves the device tells numbers of it."""
    talk = Talk()
    talk.at(1 * S)
    talk.clock()
    talk.witness.begin()
    talk.truth.check(0, 0, Batch((), (), (), (), (TextReading(1, "4.5 bar", 0, 0),)), {1: 0b1}, talk.witness)
    talk.show(1 * S, level=4.5)
    talk.clock()
    assert (talk.truth.checked, talk.truth.wrong, talk.serving.waiting) == (0, 0, 0)


def test_a_text_that_isnt_served_there_is_named_and_not_checked() -> None:
    talk = Talk()
    talk.serving.points = {"m/1": frozenset(("speed",))}
    talk.at(1 * S)
    talk.clock()
    talk.witness.begin()
    talk.truth.checked = 1
    talk.witness.texts_later(talk.truth, 0, [(2, "AB12", True)])
    talk.clock()
    assert (talk.truth.checked, talk.truth.wrong, list(talk.serving.unknown)) == (0, 0, [("m/1", "serial")])


def test_there_is_room_for_so_much_to_wait() -> None:
    talk = Talk()
    talk.at(1 * S)
    talk.clock()
    for n in range(WAITING_MAX + 3):
        talk.read(2 * S + n, 2 * S + n, 1.0)
    assert (talk.serving.waiting, talk.serving.left_out) == (WAITING_MAX, 3)


@pytest.mark.parametrize(
    "said",
    [
        b"Hello\n",
        b"[]\n",
        b'{"asked":5,"now":1}\n',
        b'{"twinloop-shown":1}\n',  # it told no texts
        b'{"twinloop-shown":3}\n',
        b'{"at":1,"device":9,"read":{}}\n',
        b"[" * 99999 + b"\n",
    ],
)
def test_what_cant_be_understood_ends_the_conversation(said: bytes) -> None:
    talk = Talk()
    talk.serving.heard(said)
    assert talk.serving.why == "it says what this twinloop doesn't understand"


@pytest.mark.parametrize(
    ("held", "read", "kind"),
    [
        ({"level": 4.5}, {}, None), ({"level": 4.52}, {}, None), ({"level": 4.6}, {}, ""), ({"level": 4.5, "speed": 1.0}, {}, None),
        ({"speed": 4.5}, {"level": 4.4}, NOT_WRITTEN), ({}, {"level": 4.5}, None), ({}, {"level": 4.4}, NOT_WRITTEN),
    ],
)  # fmt: skip
def test_a_write_is_held_against_what_it_left_there(
    held: dict[str, float], read: dict[str, float], kind: str | None
) -> None:
    """A device whose last digit is worth 0.1 was ordered to hold 4.5."""
    talk = Talk(ahead_ns=5 * S)
    talk.at(1 * S)
    talk.clock()
    if read:
        talk.show(1500 * MS, **read)
    talk.wrote(2 * S, 2 * S + 5 * MS, 4.5)
    if held:
        talk.show(2 * S + 1 * MS, "held", **held)
    talk.clock()
    assert (talk.truth.commands_checked, talk.truth.wrong_writes) == (
        1 if kind is not None or held else 0,
        0 if kind is None else 1,
    )
    assert (talk.truth.first_command and talk.truth.first_command.kind) == kind


def test_a_register_can_say_so_much() -> None:
    """65535 tenths are what a u16 holds of a million."""
    talk = Talk()
    talk.at(1 * S)
    talk.clock()
    for n, (ordered, held) in enumerate(((1e6, 6553.5), (-5.0, 0.0), (1e6, 6553.4))):
        talk.wrote((2 + n) * S, (2 + n) * S + 5 * MS, ordered, n)
        talk.show((2 + n) * S + 1 * MS, "held", level=held)
    talk.clock()
    assert (talk.truth.commands_checked, talk.truth.wrong_writes) == (3, 1)


def test_only_an_order_that_failed_may_come_late() -> None:
    """Of one that was done nothing can come any more."""
    for done, wrong in ((False, 0), (True, 1)):
        talk = Talk()
        talk.at(1 * S)
        talk.clock()
        talk.wrote(2 * S, 2 * S + 5 * MS, 4.5, 1, done)
        if done:
            talk.show(2 * S + 1 * MS, "held", level=4.5)
        talk.wrote(3 * S, 3 * S + 5 * MS, 7.0, 2)
        talk.show(3 * S + 1 * MS, "held", level=4.5)
        talk.clock()
        assert talk.truth.wrong_writes == wrong


# ---- the serving side ----------------------------------------------------------------------------
class Listener:
    """Somebody at a served field's truth."""

    def __init__(self, desk: Desk, showing: Showing) -> None:
        self.said: list[dict[str, Any]] = []
        self.gone = False
        self.caller = TruthCaller(
            showing,
            lambda data: self.said.extend(json.loads(line) for line in data.splitlines()),
            self._hung_up,
        )

    def _hung_up(self) -> None:
        self.gone = True


def test_a_served_field_tells_what_it_shows_and_takes(host: Host) -> None:
    """Reads and writes of Modbus, by name and value, at the instant at which the device answered; what is
    refused is no write."""
    desk = Desk(bare(mixed(host, ("modbus-tcp",)), delay_ns=2 * MS)).modbus()
    listener = Listener(desk, Showing(desk.plant))
    points = desk.plant.spec.devices[0].model.points
    assert listener.said[0]["devices"] == [[desk.plant.spec.devices[0].name, 0]]
    assert listener.said[0]["models"] == [[point.name for point in points]]
    read = b"\0\1\0\0\0\6\1\3" + points[0].address.to_bytes(2, "big") + points[0].width.to_bytes(2, "big")
    desk.say(1 * S, read.replace(b"\1\3", bytes((1, 3 if points[0].table == "holding" else 4))))
    desk.plant.run_to(2 * S)
    look = listener.said[1]
    assert (look["at"], look["device"]) == (1 * S + 2 * MS, 0)
    assert list(look["read"]) == [points[0].name]
    value = desk.plant.field.servers[0].device.image.value(0)
    assert look["read"][points[0].name][0] == value
    at = next(i for i, point in enumerate(points) if point.writable and point.table == "holding")
    data = bytes(2 * points[at].width)
    head = (
        b"\1\x10"
        + points[at].address.to_bytes(2, "big")
        + points[at].width.to_bytes(2, "big")
        + bytes((len(data),))
    )
    desk.say(2 * S, b"\0\2\0\0" + (len(head) + len(data)).to_bytes(2, "big") + head + data)
    desk.plant.run_to(3 * S)
    assert listener.said[2]["held"][points[at].name][0] == points[at].offset
    desk.say(3 * S, b"\0\3\0\0\0\6\1\6\xff\xff\0\1")
    desk.plant.run_to(4 * S)
    assert len(listener.said) == 3


def test_who_listens_at_a_served_field_says_little(host: Host) -> None:
    desk = Desk(bare(mixed(host, ("modbus-tcp",)))).modbus()
    showing = Showing(desk.plant)
    one, other, third = (Listener(desk, showing) for _ in range(3))
    desk.plant.at(4 * S, one.caller.received, b'{"ask": 1}\n{"a')
    desk.plant.at(5 * S, one.caller.received, b'sk": 2}\n')
    assert one.said[1:] == [{"asked": 1, "now": 4 * S}, {"asked": 2, "now": 5 * S}]
    other.caller.received(b"GET / HTTP/1.1\n")
    third.caller.received(b"x" * 5000)
    assert (one.gone, other.gone, third.gone) == (False, True, True)
    assert list(showing.listeners) == [one.caller]
    assert desk.plant.limits == {"not-twinloop": 2}


def test_a_point_that_the_serving_process_has_not_got_is_absent() -> None:
    """From when on it has said which points there are."""
    talk = Talk()
    assert talk.witness.absent == 0
    other = Talk.__new__(Talk)
    other.__dict__ |= talk.__dict__
    other.serving = Elsewhere(lambda: 0)
    other.witness = ElsewhereWitness(
        Nobody(),
        other.serving,
        talk.env,
        0,
        Device(model=talk.witness._device.model, name="m/1", unit_id=1, key=5),
    )
    assert other.witness.absent == 0, "nobody has said anything"
    other.say({**HELLO, "models": [["level"]]})
    assert other.witness.absent == 0b110


@pytest.mark.parametrize(("valueless", "wrong"), [(False, 1), (True, 0)])
def test_a_value_that_our_table_takes_for_none_is_wrong(valueless: bool, wrong: int) -> None:
    """65535 means nothing by the believed table, and is a value of the device."""
    talk = Talk()
    talk.at(1 * S)
    talk.clock()
    talk.at(2 * S)
    talk.witness.begin()
    talk.at(2 * S + 5 * MS)
    talk.witness.read_later(talk.truth, 0, [], [0])
    talk.say({"at": 2 * S + MS, "device": 0, "read": {"level": [65535.0, 1.0, False, valueless]}})
    talk.clock()
    assert (talk.truth.checked, talk.truth.wrong) == (1, wrong)
    if wrong:
        assert "by another table" in str(talk.truth.first)
