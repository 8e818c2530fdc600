"""The C driver for OPC UA against asyncua's server, and against answers that are spoilt: right readings,
typed errors, never a wrong reading."""

from __future__ import annotations

import dataclasses
import os
import random
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from tests.opcua_peer import OPN_SEQUENCE_AT, Bus, Peer, Replay, ask, driver, frames
from twinloop.components.contract.contract import PointConfig
from twinloop.components.host.host import Host
from twinloop.components.host.outcome import Fault
from twinloop.devices.catalogue.catalog import model
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.model.statuses import STATUS_CODES


@pytest.fixture(scope="module")
def peer() -> Iterator[Peer]:
    peer = Peer()
    yield peer
    peer.close()


@pytest.fixture(scope="module")
def replay(host: Host) -> Iterator[Replay]:
    peer = Peer()
    yield Replay(peer, host)
    peer.close()


def truth(peer: Peer) -> list[float]:
    return [peer.server.image.read(i, peer.env.now).value for i in range(len(peer.device.model.points))]


def test_readings_are_the_values_of_the_nodes_with_their_source_timestamps(host: Host, peer: Peer) -> None:
    instance = driver(host)
    bus = Bus(peer.talk)
    result = ask(instance, bus)
    assert result.ok
    assert [(r.point, r.status) for r in result.value.readings] == [(i, 0) for i in range(10)]
    assert [r.value for r in result.value.readings] == pytest.approx(truth(peer), rel=1e-6)
    assert {r.measured % 500_000_000 for r in result.value.readings} == {0}, "the beginning of the step"
    assert ask(instance, bus).ok, "and again, in the session that stands"
    instance.close()


def test_a_session_that_was_killed_is_made_anew_within_the_poll(host: Host, peer: Peer) -> None:
    instance = driver(host)
    bus = Bus(peer.talk)
    assert ask(instance, bus).ok
    peer.server.kill_sessions()
    assert ask(instance, bus).ok
    assert bus.resets == 1
    instance.close()


def test_writes_have_the_nodes_type_and_are_refused_by_name(host: Host, peer: Peer) -> None:
    instance = driver(host)
    bus = Bus(peer.talk)
    assert ask(instance, bus, "write-register", (9, ("real", 7.5))).ok, "its type is learnt first"
    assert truth(peer)[9] == 7.5
    assert ask(instance, bus).value.readings[9].value == 7.5
    assert ask(instance, bus, "write-register", (9, ("real", 1e39))) == (
        False,
        ("other", "value does not fit the node's type"),
    )
    assert ask(instance, bus, "write-register", (9, ("real", 17.0))) == (
        False,
        ("rejected", STATUS_CODES["BadOutOfRange"]),
    )
    assert ask(instance, bus, "write-register", (0, ("real", 1.0))) == (
        False,
        ("rejected", STATUS_CODES["BadNotWritable"]),
    )
    assert ask(instance, bus, "write-register", (77, ("real", 1.0))) == (False, ("no-such-point", 77))
    assert truth(peer)[9] == 7.5
    instance.close()


def test_a_bad_status_is_the_points_own_and_an_old_source_timestamp_is_uncertain(
    host: Host, peer: Peer
) -> None:
    instance = driver(host, **{"max-age": "10 s"})
    bus = Bus(peer.talk)
    over = [
        peer.device.lie(ValueFault("bad-status", 3, status=STATUS_CODES["BadOutOfService"]), peer.env.now)
    ]
    statuses = [r.status for r in ask(instance, bus).value.readings]
    assert statuses[3] == STATUS_CODES["BadOutOfService"]
    assert {status for i, status in enumerate(statuses) if i != 3} == {0x40900000}, (
        "the driver's clock is 42 s ahead of the server's"
    )
    for end in over:
        end()
    instance.close()


def test_addresses_of_every_kind_and_wrong_ones(host: Host, peer: Peer) -> None:
    good = [
        "i=2258",
        "ns=0;i=2258",
        "ns=2;s=pressure",
        "ns=2;g=72962B91-FA75-4AE6-8D28-B404DC7DAF63",
        "ns=2;b=M/RbKBsRVkePCePcx24oRA==",
    ]
    points = [PointConfig(i, f"p{i}", address, "", 1.0, 0.0, None, None) for i, address in enumerate(good)]
    instance = driver(host, points=points)
    readings = {r.point: r for r in ask(instance, Bus(peer.talk)).value.readings}
    assert readings[0].status == readings[1].status == 0x80740000, "BadTypeMismatch: a time is no number"
    assert readings[2].status == 0
    assert readings[3].status == readings[4].status == STATUS_CODES["BadNodeIdUnknown"]
    instance.close()
    for bad in (
        "",
        "pressure",
        "ns=2",
        "ns=65536;i=1",
        "i=-1",
        "i=4294967296",
        "ns=2;x=1",
        "g=72962B91",
        "b=*",
        "s=",
    ):
        instance = driver(host, points=[PointConfig(0, "p", bad, "", 1.0, 0.0, None, None)])
        assert instance.result().value[0] == "bad-address", bad
        instance.close()


def test_namespaces_by_uri_are_looked_up_in_each_session(host: Host, peer: Peer) -> None:
    points = [
        PointConfig(0, "a", "nsu=urn:twinloop;s=pressure", "", 1.0, 0.0, None, None),
        PointConfig(1, "b", "nsu=http://opcfoundation.org/UA/;i=2258", "", 1.0, 0.0, None, None),
        PointConfig(2, "c", "ns=2;s=pressure", "", 1.0, 0.0, None, None),
    ]
    asked: list[bytes] = []

    def talk(data: bytes) -> bytes:
        asked.append(data)
        return peer.talk(data)

    instance, bus = driver(host, points=points), Bus(talk)
    readings = ask(instance, bus).value.readings
    assert (readings[0].status, readings[1].status) == (0, 0x80740000)
    assert readings[0].value == readings[2].value == pytest.approx(truth(peer)[0], rel=1e-6)
    asked.clear()
    assert ask(instance, bus).ok
    assert len(asked) == 1, "what it calls them is known by now"
    peer.server.kill_sessions()
    assert ask(instance, bus).value.readings[0].status == 0
    instance.close()


def test_a_namespace_that_the_server_lacks_is_an_error_by_name(host: Host, peer: Peer) -> None:
    points = [
        PointConfig(0, "a", "nsu=urn:other%3B%25x;s=pressure", "", 1.0, 0.0, None, None),
        PointConfig(1, "b", "ns=2;s=pressure", "", 1.0, 0.0, None, None),
    ]
    said: list[str] = []
    instance = driver(host, points=points, clock={"log.log": lambda level, text: said.append(text)})
    bus = Bus(peer.talk)
    assert ask(instance, bus) == (False, ("rejected", STATUS_CODES["BadNodeIdUnknown"]))
    assert "the server has no namespace urn:other;%x" in said
    instance.close()
    for bad in ("nsu=;s=x", "nsu=urn:x", "nsu=urn:%3;s=x", "nsu=urn:%FF;s=x", "nsu=" + 600 * "x" + ";s=x"):
        instance = driver(host, points=[PointConfig(0, "p", bad, "", 1.0, 0.0, None, None)])
        assert instance.result().value[0] == "bad-address", bad
        instance.close()


@pytest.mark.parametrize(
    ("option", "value"),
    [("endpoint", "http://x"), ("endpoint", "opc.tcp://"), ("timeout", "0 s"), ("timeout", "5"), ("retries", "11"), ("block", "0"), ("block", "501"),
     ("session-timeout", "1 us"), ("max-age", "soon"), ("protocol", "modbus-tcp")],
)  # fmt: skip
def test_options_out_of_range_are_refused_by_name(host: Host, option: str, value: str) -> None:
    instance = driver(host, **{option: value})
    assert instance.result() == (False, ("bad-option", option))
    instance.close()


def test_a_text_travels_beside_the_numbers(host: Host, peer: Peer) -> None:
    points = [
        PointConfig(4, "uri", "i=2261", "", 1.0, 0.0, None, None),
        PointConfig(5, "pressure", "ns=2;s=pressure", "", 2.0, 1.0, None, None),
    ]
    instance = driver(host, points=points)  # Server_ServerStatus_BuildInfo_ProductName
    batch = ask(instance, Bus(peer.talk)).value
    assert [(t.point, t.value, t.status) for t in batch.texts] == [(4, "FreeOpcUa Python Server", 0)]
    assert [(r.point, r.value) for r in batch.readings] == [
        (5, pytest.approx(2 * truth(peer)[0] + 1, rel=1e-6))
    ]
    instance.close()


def test_many_points_go_in_blocks_and_large_requests_in_chunks(host: Host) -> None:
    base = model("press-sensor").points[0]
    points = tuple(dataclasses.replace(base, name=f"{'long-' * 30}{i}", address=2 * i) for i in range(500))
    kind = dataclasses.replace(model("press-sensor"), name="wide", points=points)
    peer = Peer(kind)
    requests: list[bytes] = []

    def talk(data: bytes) -> bytes:
        requests.append(data)
        return peer.talk(data)

    for block, expected in (("500", 2), ("100", 5)):
        requests.clear()
        instance = driver(host, kind, block=block)
        result = ask(instance, Bus(talk))
        assert result.ok, result
        assert [r.status for r in result.value.readings] == [0] * 500
        sent = [request for request in requests if request[:3] == b"MSG"][2:]
        assert len(sent) == expected
        assert all(len(request) <= 65_535 for request in sent)
        assert [request[3:4] for request in sent] == ([b"C", b"F"] if block == "500" else [b"F"] * 5)
        instance.close()
    peer.close()


# ---- hostile answers -----------------------------------------------------------------------------
def flip(answer: bytes, at: int, value: int) -> bytes:
    return answer[:at] + bytes((value,)) + answer[at + 1 :]


def msg_only(change: Any) -> Any:
    """Spoils the answer to Read only."""
    return lambda answer: (
        change(answer) if answer[:3] == b"MSG" and answer[24:28] == b"\x01\x00\x7a\x02" else answer
    )


ERR = b"ERRF" + struct.pack("<III", 16, 0x80800000, 0)
HOSTILE: dict[str, tuple[Any, Any]] = {
    "silent": (msg_only(lambda a: None), ("bus", ("timeout", None))),
    "half": (msg_only(lambda a: a[: len(a) // 2]), ("bus", ("timeout", None))),
    "an error message": (msg_only(lambda a: ERR), ("rejected", 0x80800000)),
    "an error that is none": (msg_only(lambda a: ERR[:8] + bytes(8)), ("malformed", "error message")),
    "another type": (msg_only(lambda a: b"XYZ" + a[3:]), ("malformed", "message type")),
    "another channel": (msg_only(lambda a: flip(a, 8, 99)), ("malformed", "channel id")),
    "another token": (msg_only(lambda a: flip(a, 12, 99)), ("malformed", "token id")),
    "another sequence number": (msg_only(lambda a: flip(a, 16, 99)), ("malformed", "sequence number")),
    "a request that never was": (msg_only(lambda a: flip(a, 20, 99)), ("malformed", "request id")),
    "another handle": (msg_only(lambda a: flip(a, 36, 99)), ("malformed", "request handle")),
    "another response": (msg_only(lambda a: flip(a, 26, 1)), ("malformed", "response type")),
    "an abort": (
        msg_only(lambda a: b"MSGA" + struct.pack("<I", 32) + a[8:24] + struct.pack("<Ii", 0x80B80000, -1)),
        ("rejected", 0x80B80000),
    ),
    "an abort of nothing": (
        msg_only(lambda a: b"MSGA" + struct.pack("<I", 32) + a[8:24] + bytes(8)),
        ("malformed", "abort"),
    ),
    "a chunk of no kind": (msg_only(lambda a: flip(a, 3, 0x58)), ("malformed", "chunk type")),
    "a length beyond all": (
        msg_only(lambda a: a[:4] + struct.pack("<I", 1 << 30) + a[8:]),
        ("bus", ("too-long", 65_536)),
    ),
    "no channel": (lambda a: a[:8] if a[:3] == b"OPN" else a, ("bus", ("timeout", None))),
    "another policy": (
        lambda a: a.replace(b"#None", b"#Nine") if a[:3] == b"OPN" else a,
        ("malformed", "security policy"),
    ),
    "tiny buffers": (
        lambda a: a[:12] + struct.pack("<II", 512, 512) + a[20:] if a[:3] == b"ACK" else a,
        ("malformed", "buffer sizes"),
    ),
    "a long acknowledge": (
        lambda a: a[:4] + struct.pack("<I", 32) + a[8:] + bytes(4) if a[:3] == b"ACK" else a,
        ("malformed", "acknowledge"),
    ),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_answer_is_a_typed_error_and_the_next_poll_is_right(
    host: Host, replay: Replay, name: str
) -> None:
    spoil, expected = HOSTILE[name]
    instance = driver(host)
    bus = Bus(replay.talk)
    replay.spoil = spoil
    assert ask(instance, bus) == (False, expected)
    replay.spoil = lambda answer: answer
    later = ask(instance, bus)
    if not later.ok:  # half a frame lay in the stream: the second timeout drops the connection
        assert later.value in (
            ("bus", ("timeout", None)),
            ("bus", ("too-long", 65_536)),
            ("malformed", "message type"),
            ("malformed", "sequence number"),
        )
        later = ask(instance, bus)
    assert later.value == replay.values
    instance.close()


@pytest.mark.parametrize("status", ["BadTooManyOperations", "BadTimeout", "BadInternalError"])
def test_a_service_fault_keeps_its_code(host: Host, status: str) -> None:
    peer = Peer()
    instance = driver(host)
    bus = Bus(
        lambda data: (
            peer.server.spoilt(peer.talk(data))
            if data[:3] == b"MSG" and data[24:28] == b"\x01\x00\x77\x02"
            else peer.talk(data)
        )
    )
    assert ask(instance, bus).ok
    over = peer.server.misbehave(Misbehaviour("service-fault", 1, STATUS_CODES[status]))
    assert ask(instance, bus) == (False, ("rejected", STATUS_CODES[status]))
    over()
    assert ask(instance, bus).ok
    assert bus.resets == 0, "the session stands"
    instance.close()
    peer.close()


def test_a_late_answer_is_put_aside(host: Host, replay: Replay) -> None:
    late: list[bytes] = []
    instance = driver(host)
    bus = Bus(replay.talk)
    assert ask(instance, bus).ok
    replay.spoil = late.append
    assert ask(instance, bus) == (False, ("bus", ("timeout", None)))
    replay.spoil = lambda answer: late[0] + answer
    assert ask(instance, bus).value == replay.values
    replay.spoil = lambda answer: answer
    instance.close()


def decoded(answer: bytes) -> list[tuple[float, int]] | None:
    """(value, status) of a ReadResponse, as asyncua understands it."""
    response = struct_from_binary(ua.ReadResponse, Buffer(answer[24:]))
    out = []
    for result in response.Results:
        variant, status = result.Value, 0 if result.StatusCode is None else result.StatusCode.value
        number = (
            None
            if variant is None or isinstance(variant.Value, str | bytes | list) or variant.Value is None
            else variant.Value
        )
        out.append((float(number) if isinstance(number, int | float | bool) else float("nan"), status))
    return out


def mutated(answer: bytes, random: random.Random) -> bytes:
    """One of: bytes changed, a length's worth changed, cut, spliced with itself, grown, doubled."""
    data = bytearray(answer)
    kind = random.randrange(6)
    if kind == 0:
        for _ in range(random.randint(1, 3)):
            data[random.randrange(len(data))] = random.randrange(256)
    elif kind == 1:
        at = random.randrange(0, len(data) - 3)
        struct.pack_into(
            "<I",
            data,
            at,
            random.choice((0, 1, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 65_536, len(data))),
        )
    elif kind == 2:
        data = data[: random.randrange(len(data))]
        if len(data) >= 8:
            struct.pack_into("<I", data, 4, len(data))
    elif kind == 3:
        a, b = sorted((random.randrange(8, len(data)), random.randrange(8, len(data))))
        data = data[:b] + data[a:]
        struct.pack_into("<I", data, 4, len(data))
    elif kind == 4:
        data += random.randbytes(random.randint(1, 40))
        struct.pack_into("<I", data, 4, len(data))
    else:
        data += bytes(data)
    return bytes(data)


def test_no_mutation_of_an_answer_becomes_a_wrong_reading(host: Host, replay: Replay) -> None:
    """Held against asyncua's own decoder: what the driver takes for a reading is what the bytes say; else a
    typed error or a Fault."""
    chance = random.Random(11)
    rounds = 25_000 if os.environ.get("TWINLOOP_SOAK") else 4000
    errors: dict[str, int] = {}
    instance = driver(host)
    bus = Bus(replay.talk)
    for _ in range(rounds):
        target = chance.choice(
            (b"ACK", b"OPN", b"\x01\x00\xd0\x01", b"\x01\x00\xd6\x01", *[b"\x01\x00\x7a\x02"] * 6)
        )
        came: list[bytes] = []

        def spoil(answer: bytes, target: bytes = target, came: list[bytes] = came) -> bytes:
            if answer[:3] != target and answer[24:28] != target:
                return answer
            came.append(mutated(answer, chance))
            return came[-1]

        replay.spoil = spoil
        if target != b"\x01\x00\x7a\x02":  # a handshake is only seen by a fresh instance
            instance.close()
            instance, bus = driver(host), Bus(replay.talk)
        result = ask(instance, bus)
        replay.spoil = lambda answer: answer
        if isinstance(result, Fault):
            errors["fault"] = errors.get("fault", 0) + 1
            instance.close()
            instance, bus = driver(host), Bus(replay.talk)
        elif not result.ok:
            errors[result.value[0]] = errors.get(result.value[0], 0) + 1
            assert result.value[0] in ("bus", "rejected", "malformed")
        elif target == b"\x01\x00\x7a\x02":
            told = decoded(frames(came[0])[0])
            for reading in result.value.readings:
                value, status = told[reading.point]  # type: ignore[index]
                assert reading.status >> 31 or (reading.value == value and reading.status == status), (
                    came[0].hex(),
                    reading,
                    value,
                    status,
                )
        for _ in range(
            3
        ):  # a valid answer follows and is read right, at the latest when the connection is new
            result = ask(instance, bus)
            if not isinstance(result, Fault) and result.ok:
                break
        assert result.value == replay.values, result
    assert errors["malformed"] > rounds / 10
    assert errors["bus"] > 0
    assert errors.get("fault", 0) == 0
    instance.close()


def test_the_open_answer_lies_where_the_tests_think(replay: Replay) -> None:
    answer = replay.answers[b"OPN"]
    assert answer[OPN_SEQUENCE_AT + 8 :][:4] == b"\x01\x00\xc1\x01", "OpenSecureChannelResponse"
