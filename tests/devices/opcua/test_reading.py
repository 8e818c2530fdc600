"""A Read on its short way and on asyncua's own: two servers of the same device, the same bytes in, the same
bytes out, and the same looks at the device."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asyncua import ua
from asyncua.server import binary_server_asyncio
from asyncua.server.uaprocessor import UaProcessor
from asyncua.ua.ua_binary import nodeid_to_binary, struct_to_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.opcua_peer import Bus, Peer, ask, driver
from twinloop.components.host.host import Host
from twinloop.devices.model.nodes import NodeValue, node_id
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.opcua.items import BOTH
from twinloop.devices.opcua.limits import OPERATIONS_MAX
from twinloop.devices.opcua.reading import PARAMETERS_MAX, REMEMBERED_MAX, Processor, plain

READ = nodeid_to_binary(ua.NodeId(ua.ObjectIds.ReadRequest_Encoding_DefaultBinary))
VALUE = ua.AttributeIds.Value
S = 1_000_000_000


class Conversation:
    """One client of each of two servers: ``short`` as it is, ``long`` with asyncua's own processor."""

    def __init__(self) -> None:
        self.short, self.long = Peer(), Peer()
        self.opening: list[bytes] = []
        self.taken = 0
        """Reads that were answered on the short way"""
        host, third = Host(), Peer()
        instance = driver(host)
        assert ask(instance, Bus(lambda data: self.opening.append(data) or third.talk(data))).ok  # type: ignore[func-returns-value]
        self.read = self.opening.pop()
        """the shipped driver's own request"""
        instance.close()
        host.close()
        third.close()
        self.open()

    def open(self) -> None:
        """New connections, sessions that may read."""
        for peer in (self.short, self.long):
            peer.connect()
        for data in self.opening:
            if data[:3] == b"MSG":
                data = data[:8] + self.channel + data[12:]
            answer, other = self._both(data)
            if data[:3] == b"OPN":
                self.channel = answer[8:12]
                assert other[8:12] == self.channel
        self.token = self.read[12:16]
        self.number = int.from_bytes(self.read[16:20], "little") - 1

    def _both(self, data: bytes) -> tuple[bytes, bytes]:
        def watched(processor: Processor, *given: Any) -> bool:
            done = shortly(processor, *given)
            self.taken += done
            return done

        out = []
        for peer, kind in ((self.short, Processor), (self.long, UaProcessor)):
            with pytest.MonkeyPatch.context() as patch:
                shortly = Processor._read_shortly
                patch.setattr(Processor, "_read_shortly", watched)
                patch.setattr(binary_server_asyncio, "UaProcessor", kind)
                out.append(peer.talk(data))
        return out[0], out[1]

    def say(self, *chunks: bytes) -> bytes:
        """The same to both; what they both answer."""
        one, other = b"", b""
        for data in chunks:
            found = self._both(data)
            one, other = one + found[0], other + found[1]
        assert one == other
        assert self.short.hung_up == self.long.hung_up
        looks = [repr(peer.server.looks) for peer in (self.short, self.long)]
        assert looks[0] == looks[1]
        return one

    def chunk(self, body: bytes, kind: bytes = b"MSGF", request: int = 77, **other: Any) -> bytes:
        """The next of this client."""
        self.number += 1
        number = (self.number + other.get("skip", 0)) & 0xFFFFFFFF
        return (
            kind
            + struct.pack("<I", 24 + len(body) + other.get("longer", 0))
            + other.get("channel", self.channel)
            + other.get("token", self.token)
            + struct.pack("<II", number, request)
            + body
        )

    def close(self) -> None:
        self.short.close()
        self.long.close()


@pytest.fixture(scope="module")
def conversation() -> Iterator[Conversation]:
    made = Conversation()
    yield made
    made.close()


def body(*nodes: Any, wanted: int = BOTH, header: ua.RequestHeader | None = None) -> bytes:
    """A Read of the values of nodes, given as text, or of ReadValueIds."""
    header = header or ua.RequestHeader(ua.NodeId(1001), ua.get_win_epoch(), 9)
    asked = [
        one if isinstance(one, ua.ReadValueId) else ua.ReadValueId(ua.NodeId.from_string(one), VALUE)
        for one in nodes
    ]
    parameters = struct_to_binary(ua.ReadParameters(0.0, ua.TimestampsToReturn(BOTH), asked))
    parameters = parameters[:8] + struct.pack("<I", wanted) + parameters[12:]
    return READ + struct_to_binary(header) + parameters


POINTS = [node_id(point) for point in Peer.__init__.__globals__["model"]("press-sensor").points]
IDS = (
    st.sampled_from([*POINTS, "i=2258", "i=2256", "i=2259", "i=85", "i=2255", "i=2994", "i=7777777", "ns=2;s="])
    .map(ua.NodeId.from_string)
    | st.builds(ua.NodeId, st.binary(max_size=5), st.integers(0, 3))
    | st.builds(ua.NodeId, st.uuids(), st.integers(0, 3))
    | st.builds(ua.NodeId, st.integers(0, (1 << 32) - 1), st.integers(0, 300))
)  # fmt: skip
PLAIN_ASKED = st.builds(ua.ReadValueId, st.sampled_from(POINTS).map(ua.NodeId.from_string), st.just(VALUE))
ASKED = PLAIN_ASKED | st.builds(
    ua.ReadValueId,
    IDS,
    st.integers(0, 30) | st.just(VALUE),
    st.none() | st.sampled_from(["", "0", "0:1", "x"]),
    st.builds(ua.QualifiedName, st.none() | st.text(max_size=3), st.integers(0, 3)),
)
HEADERS = st.builds(
    ua.RequestHeader,
    IDS,
    st.just(ua.get_win_epoch()),
    st.integers(0, (1 << 32) - 1),
    st.integers(0, (1 << 32) - 1),
    st.none() | st.text(max_size=4),
    st.integers(0, (1 << 32) - 1),
    st.just(ua.ExtensionObject()) | st.builds(ua.ExtensionObject, st.just(ua.NodeId(9999)), st.binary(max_size=4)),
)  # fmt: skip
BODIES = st.builds(
    lambda asked, wanted, header: body(*asked, wanted=wanted, header=header),
    st.lists(PLAIN_ASKED, max_size=10) | st.lists(ASKED, max_size=10),
    st.just(BOTH) | st.integers(0, 5),
    st.none() | HEADERS,
)


@settings(max_examples=60)
@given(st.lists(BODIES, min_size=1, max_size=6))
def test_every_read_is_answered_as_asyncua_answers_it(
    conversation: Conversation, bodies: list[bytes]
) -> None:
    for one in bodies:
        answer = conversation.say(conversation.chunk(one))
        assert answer[:4] == b"MSGF"
        assert not conversation.short.hung_up


@settings(max_examples=80)
@given(st.data())
def test_bytes_that_nobody_should_send_go_asyncuas_way(
    conversation: Conversation, data: st.DataObject
) -> None:
    whole = bytearray(conversation.chunk(data.draw(BODIES)))
    for _ in range(data.draw(st.integers(0, 3))):
        at = data.draw(st.integers(24, len(whole) - 1) | st.integers(12, len(whole) - 1))
        whole[at] = data.draw(st.integers(0, 255))
    cut = data.draw(st.just(0) | st.integers(0, len(whole) - 25))
    if cut:
        whole = whole[: len(whole) - cut]
        whole[4:8] = len(whole).to_bytes(4, "little")
    conversation.say(bytes(whole))
    if conversation.short.hung_up or bytes(whole[12:20]) != bytes(
        conversation.token + conversation.number.to_bytes(4, "little")
    ):
        conversation.open()
    else:
        conversation.say(conversation.chunk(body(*POINTS)))


def test_the_shipped_drivers_read_is_short(conversation: Conversation) -> None:
    conversation.open()
    before = conversation.taken
    for _ in range(3):
        conversation.say(conversation.chunk(conversation.read[24:]))
    assert conversation.taken == before + 3


@pytest.mark.parametrize(
    "spoil",
    [
        {"kind": b"MSGA"},
        {"kind": b"MSGX"},
        {"token": b"\x0e\0\0\0"},
        {"channel": b"\x63\0\0\0"},
        {"skip": 1},
        {"skip": -1},
        {"skip": 1 << 31},
    ],
    ids=repr,
)
def test_a_chunk_out_of_order_is_asyncuas(conversation: Conversation, spoil: dict[str, Any]) -> None:
    conversation.open()
    conversation.say(conversation.chunk(body(*POINTS)))
    before = conversation.taken
    conversation.say(conversation.chunk(body(*POINTS), **spoil))
    assert conversation.taken == before
    conversation.open()


def test_a_message_of_several_chunks_is_asyncuas(conversation: Conversation) -> None:
    conversation.open()
    whole, before = body(*POINTS), conversation.taken
    answer = conversation.say(
        conversation.chunk(whole[:30], b"MSGC"), conversation.chunk(whole[30:90], b"MSGC"),
        conversation.chunk(whole[90:]),
    )  # fmt: skip
    assert answer[:4] == b"MSGF"
    assert conversation.taken == before
    both = conversation.chunk(whole) + conversation.chunk(whole)
    assert conversation.say(both).count(b"MSGF") == 2, "two messages that come at once"
    assert conversation.taken == before + 2


def test_what_is_large_is_asyncuas(conversation: Conversation) -> None:
    conversation.open()
    before = conversation.taken
    many = [POINTS[0]] * (PARAMETERS_MAX // len(struct_to_binary(ua.ReadValueId())) + 1)
    conversation.say(conversation.chunk(body(*many)))
    assert conversation.taken == before
    assert PARAMETERS_MAX // len(struct_to_binary(ua.ReadValueId())) < OPERATIONS_MAX["read"][0]


def test_an_answer_of_several_chunks(conversation: Conversation) -> None:
    peers = (conversation.short, conversation.long)
    conversation.open()
    for peer in peers:
        for client in peer.server._server.bserver.clients:
            client.processor._limits.max_send_buffer = 100
    before = conversation.taken
    answer = conversation.say(conversation.chunk(body(*POINTS)))
    assert conversation.taken == before + 1
    assert answer[:4] == b"MSGC"
    assert answer.count(b"MSG") > 2
    conversation.open()


def test_numbers_that_wrap(conversation: Conversation) -> None:
    conversation.open()
    for peer in (conversation.short, conversation.long):
        for client in peer.server._server.bserver.clients:
            client.processor._connection._sequence_number = (1 << 32) - 2
    said = [conversation.say(conversation.chunk(body(POINTS[0])))[16:20] for _ in range(3)]
    assert said == [b"\xff\xff\xff\xff", b"\1\0\0\0", b"\2\0\0\0"]
    conversation.open()


@pytest.mark.parametrize("state", ["Closed", "Created"])
def test_without_a_session_there_is_no_short_way(conversation: Conversation, state: str) -> None:
    conversation.open()
    for peer in (conversation.short, conversation.long):
        for client in peer.server._server.bserver.clients:
            client.processor.session.state = getattr(type(client.processor.session.state), state)
    before = conversation.taken
    conversation.say(conversation.chunk(body(*POINTS)))
    for peer in (conversation.short, conversation.long):
        peer.server.kill_sessions()
    conversation.say(conversation.chunk(body(*POINTS)))
    assert conversation.taken == before
    conversation.open()


def spoilt_read(
    read: Callable[[int, int], NodeValue], what: NodeValue | Exception
) -> Callable[[int, int], Any]:
    """The value of point 8, a UInt16, is something else."""

    def found(index: int, now_ns: int) -> NodeValue:
        told = read(index, now_ns)
        if index != 8:
            return told
        if isinstance(what, Exception):
            raise what
        return what

    return found


@pytest.mark.parametrize(
    "what",
    [
        NodeValue(70_000.0, 0, S), NodeValue(float("nan"), 0, S), NodeValue(float("inf"), 0, S),
        NodeValue(70_000.0, 0x80000000, S), ua.UaStatusCodeError(0x80310000), KeyError("8"),
    ],
    ids=repr,
)  # fmt: skip
def test_what_goes_wrong_at_a_node_is_told_alike(conversation: Conversation, what: Any) -> None:
    conversation.open()
    with pytest.MonkeyPatch.context() as patch:
        for peer in (conversation.short, conversation.long):
            patch.setattr(peer.server.image, "read", spoilt_read(peer.server.image.read, what))
        conversation.say(conversation.chunk(body(*POINTS)))
    assert conversation.say(conversation.chunk(body(*POINTS)))[:4] == b"MSGF", "and the next is as ever"


def test_lying_sensors_and_the_counted_point(conversation: Conversation) -> None:
    conversation.open()
    peers = (conversation.short, conversation.long)
    said: list[list[Any]] = [[], []]
    for peer, told in zip(peers, said, strict=True):
        peer.device.lie(ValueFault("nan", 1), 0)
        peer.device.lie(ValueFault("nan", 6), 0)
        peer.server.count(6)
        peer.server.on_look = lambda index, value, told=told: told.append((index, repr(value)))  # type: ignore[misc]
    for _ in range(3):
        conversation.say(conversation.chunk(body(*POINTS)))
    assert said[0] == said[1]
    assert len(said[0]) == 3 * len(POINTS)
    carried = [[*peer.server._counted.carried.values()] for peer in peers]
    assert carried[0] == carried[1] != []


def test_what_is_remembered_is_bounded_and_what_was_asked() -> None:
    plain.cache_clear()
    asked = [struct.pack("<dII", 0.0, BOTH, 1) + struct_to_binary(ua.ReadValueId(ua.NodeId(number), VALUE))
             for number in range(REMEMBERED_MAX + 5)]  # fmt: skip
    for parameters in asked:
        assert plain(parameters) is plain(parameters)
    assert plain.cache_info().currsize == REMEMBERED_MAX
    for number, parameters in enumerate(asked):
        found = plain(parameters)
        assert found is not None
        assert (found.wanted, found.nodes) == (BOTH, ((ua.NodeId(number), VALUE),))


def test_nobody_changes_what_is_remembered(conversation: Conversation) -> None:
    conversation.open()
    whole = body(*POINTS, "i=2258", "i=85")
    header = len(READ) + len(struct_to_binary(ua.RequestHeader(ua.NodeId(1001), ua.get_win_epoch(), 9)))
    parameters = whole[header:]
    for _ in range(3):
        conversation.say(conversation.chunk(whole))
    found = plain(parameters)
    assert found is not None
    again = ua.ReadParameters(
        0.0, ua.TimestampsToReturn(found.wanted), [ua.ReadValueId(*one) for one in found.nodes]
    )
    assert struct_to_binary(again) == parameters
