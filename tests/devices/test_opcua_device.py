"""An OPC UA device: what its node image shows of lying sensors, and the bytes that a faulty server sends."""

from __future__ import annotations

import math
import struct
from collections.abc import Iterator

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary

from tests.opcua_peer import Bus, Peer, ask, driver
from twinloop.components.host.host import Host
from twinloop.devices.catalogue.catalog import model
from twinloop.devices.model.device import Device
from twinloop.devices.model.misbehaviour import SPOKEN, Misbehaviour
from twinloop.devices.model.nodes import NodeImage, data_type, node_id
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.model.points import Point, ServerNode
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.devices.opcua.device import UNSAID_MAX, OpcUaServer

S = 1_000_000_000


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


def image() -> NodeImage:
    return NodeImage(Device(model=model("press-sensor"), name="d/1", unit_id=1, key=5))


def test_types_and_ids_of_nodes() -> None:
    assert [data_type(point) for point in model("press-sensor").points] == [
        "Float", "Float", "Float", "Double", "Double", "Double", "UInt32", "UInt32", "UInt16", "Float"]  # fmt: skip
    assert data_type(Point("x", "coil", 0)) == "Boolean"
    assert data_type(Point("x", "holding", 0, "f64")) == "Double"
    assert data_type(Point("x", "holding", 0, "i64")) == "Int64"
    assert node_id(Point("x", "holding", 0)) == "ns=2;s=x"
    assert node_id(Point("x", "holding", 0, node=ServerNode("ns=3;i=7"))) == "ns=3;i=7"


def test_sensors_lie_in_nodes_as_they_do_in_registers() -> None:
    found = image()
    true = found.read(0, 10 * S)
    found.device.lie(ValueFault("spike", 0, 3.0), 10 * S)
    assert found.read(0, 10 * S).value == pytest.approx(true.value + 3.0, rel=1e-6)
    found.device.lie(ValueFault("nan", 1), 10 * S)
    assert math.isnan(found.read(1, 10 * S).value)
    found.device.lie(ValueFault("nan", 6), 10 * S)
    assert found.read(6, 10 * S) == (0.0, STATUS_CODES["BadSensorFailure"], 10 * S)
    found.device.lie(ValueFault("frozen-timestamp", 2), 10 * S)
    assert found.read(2, 20 * S).source_ns == 10 * S
    assert found.read(3, 20 * S).source_ns == 20 * S


def test_a_share_of_looks_is_hit() -> None:
    found = image()
    found.device.lie(ValueFault("bad-status", 0, share=0.3, status=STATUS_CODES["BadOutOfService"]), 0)
    bad = sum(found.read(0, step * S).status != 0 for step in range(400))
    assert 80 < bad < 160


def test_writes_within_range_only() -> None:
    found = image()
    assert found.write(9, 7.5, S) == 0
    assert found.read(9, S).value == 7.5
    assert found.write(9, 17.0, S) == found.write(9, -1.0, S) == STATUS_CODES["BadOutOfRange"]
    assert found.write(0, 7.5, S) == STATUS_CODES["BadNotWritable"]
    assert found.read(9, S).value == 7.5


def answers(peer: Peer) -> list[bytes]:
    """Of a whole conversation: Acknowledge, OpenSecureChannel, CreateSession, ActivateSession, Read."""
    from twinloop.components.host.host import Host

    said: list[bytes] = []
    host = Host()
    instance = driver(host)
    assert ask(instance, Bus(lambda data: said.append(peer.talk(data)) or said[-1])).ok  # type: ignore[func-returns-value]
    instance.close()
    host.close()
    return said


def spoilt(server: OpcUaServer, answer: bytes, kind: str, amount: int = 0) -> bytes | None:
    over = server.misbehave(Misbehaviour(kind, 1, amount))
    out = server.spoilt(answer)
    over()
    assert server.spoilt(answer) == answer
    return out


def test_every_fault_of_a_server(peer: Peer) -> None:
    said = answers(peer)
    assert [answer[:3] for answer in said] == [b"ACK", b"OPN", b"MSG", b"MSG", b"MSG"]
    server, read = peer.server, said[-1]
    assert spoilt(server, read, "truncated") == read[: len(read) // 2]
    lie = spoilt(server, read, "length-lie")
    assert lie is not None
    assert (int.from_bytes(lie[4:8], "little"), lie[8:]) == (len(read) + 2, read[8:])
    assert spoilt(server, read, "slow", 7) == read
    over = server.misbehave(Misbehaviour("slow", 1, 7))
    server.spoilt(read)
    assert server.slow_ns == 7
    over()
    for kind, code in (
        ("service-fault", STATUS_CODES["BadTimeout"]),
        ("busy", STATUS_CODES["BadTooManyOperations"]),
    ):
        for answer in said[2:]:
            fault = spoilt(server, answer, kind, code)
            assert fault is not None
            assert int.from_bytes(fault[4:8], "little") == len(fault)
            assert fault[8:24] == answer[8:24], (
                "channel, token, sequence number and request id are the answer's own"
            )
            body = Buffer(fault[24:])
            assert nodeid_from_binary(body) == ua.NodeId(397)
            header = struct_from_binary(ua.ResponseHeader, body)
            assert header.ServiceResult.value == code
            assert header.RequestHandle == int.from_bytes(answer[36:40], "little")
        assert spoilt(server, said[0], kind, code) == said[0], "what is no answer to a service stays"
        assert spoilt(server, said[1], kind, code) == said[1]
    over = server.misbehave(Misbehaviour("silent", 1))
    assert [server.spoilt(answer) for answer in said] == [None] * 5
    over()
    assert server.spoilt(said[0]) == said[0], "an acknowledge has no sequence number"
    for at, answer in ((71, said[1]), (16, read)):
        told = server.spoilt(answer)
        assert told is not None
        assert server.untouched, "the same, numbered on: four chunks were never sent"
        assert (
            told
            == answer[:at]
            + struct.pack("<I", int.from_bytes(answer[at : at + 4], "little") - 4 & 0xFFFFFFFF)
            + answer[at + 4 :]
        )
    assert {kind for kind, spoken in SPOKEN.items() if "opcua" in spoken} == {
        "silent", "slow", "busy", "truncated", "length-lie", "service-fault", "session-kill"}  # fmt: skip


def test_two_faults_at_a_time(peer: Peer) -> None:
    read = answers(peer)[-1]
    ends = [peer.server.misbehave(Misbehaviour(kind, 1, 5)) for kind in ("silent", "slow")]
    assert peer.server.spoilt(read) is None
    for end in ends:
        end()


def test_who_says_nothing_uses_no_sequence_number(peer: Peer) -> None:
    """A server that loses every third answer is met with timeouts, never with a broken channel (OPC 10000-6
    section 6.7.2.4)."""
    host = Host()
    instance, bus = driver(host), Bus(lambda data: peer.server.spoilt(peer.talk(data)))
    assert ask(instance, bus).ok
    over = peer.server.misbehave(Misbehaviour("silent", 5, share=0.3))
    results = [ask(instance, bus) for _ in range(100)]
    over()
    instance.close()
    host.close()
    failed = [result.value for result in results if not result.ok]
    assert failed == [("bus", ("timeout", None))] * len(failed)
    assert 20 < len(failed) < 60


def chunk(kind: bytes, channel: int, number: int) -> bytes:
    return b"MSG" + kind + struct.pack("<IIIII", 40, channel, 1, number, 9) + b"\x01\x00\x7a\x02" + bytes(12)


def number_of(message: bytes | None) -> int:
    assert message is not None
    return int.from_bytes(message[16:20], "little")


def test_sequence_numbers_of_many_chunks_and_many_channels() -> None:
    """Channel 7 says three chunks too few, and one for three: whoever else is silent meanwhile, its next
    number is the next one."""
    server = OpcUaServer.__new__(OpcUaServer)
    server.faults, server._unsaid = [], {}
    three = chunk(b"C", 7, 6) + chunk(b"C", 7, 7) + chunk(b"F", 7, 8)
    silent, refusing = Misbehaviour("silent", 1), Misbehaviour("service-fault", 1, STATUS_CODES["BadTimeout"])
    server.faults = [silent]
    assert server.spoilt(three) is None
    for channel in range(100, 100 + UNSAID_MAX - 1):
        assert server.spoilt(chunk(b"F", channel, 1)) is None
    server.faults = []
    assert number_of(server.spoilt(chunk(b"F", 7, 9))) == 6
    server.faults = [refusing]
    fault = server.spoilt(chunk(b"C", 7, 10) + chunk(b"F", 7, 11))
    assert fault is not None
    assert (fault[:4], number_of(fault)) == (b"MSGF", 7)
    server.faults = [silent]
    for channel in range(5000, 5000 + UNSAID_MAX - 1):
        server.spoilt(chunk(b"F", channel, 1))
    server.faults = []
    assert number_of(server.spoilt(chunk(b"F", 7, 12))) == 8


def test_half_of_the_answers(peer: Peer) -> None:
    read = answers(peer)[-1]
    end = peer.server.misbehave(Misbehaviour("silent", 77, share=0.5))
    silent = sum(peer.server.spoilt(read) is None for _ in range(200))
    end()
    assert 60 < silent < 140
