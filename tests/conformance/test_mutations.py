"""Valid frames, mutated, against our servers: each is followed by a valid request that must be answered
right; memory stays flat.

100 000 in the soak, shared by MBAP, RTU, OPC UA (here) and MQTT (tests/devices/mqtt/test_mqtt_broker.py);
fewer in the suite.
"""

from __future__ import annotations

import asyncio
import gc
import os
import random
import struct
from collections.abc import Callable
from typing import Any

from pymodbus.framer import FramerRTU

from tests.devices.test_modbus_server import device
from tests.opcua_peer import Bus, Peer, ask, driver
from twinloop.components.host.host import Host
from twinloop.devices.modbus.server import ModbusServer

SOAK = bool(os.environ.get("TWINLOOP_SOAK"))
ROUNDS = 25_000 if SOAK else 4000
OPCUA_ROUNDS = 25_000 if SOAK else 400
PDUS = [
    bytes.fromhex(text)
    for text in (
        "0300000005",
        "0400000002",
        "0100130013",
        "0200c40016",
        "0500acff00",
        "0600010003",
        "0f0013000a02cd01",
        "100001000204000a0102",
        "16000400f20025",
        "1700030006000e00030600ff00ff00ff",
        "2b0e0100",
    )
]


def mbap(pdu: bytes, transaction: int, unit: int = 1) -> bytes:
    return transaction.to_bytes(2, "big") + b"\0\0" + (len(pdu) + 1).to_bytes(2, "big") + bytes((unit,)) + pdu


def rtu(pdu: bytes, unit: int = 1) -> bytes:
    body = bytes((unit,)) + pdu
    return body + FramerRTU.compute_CRC(body).to_bytes(2, "big")


def mutated(frame: bytes, others: list[bytes], chance: random.Random) -> bytes:
    """Length, id, function, count, truncation, splice, pipelining, noise."""
    data = bytearray(frame)
    kind = chance.randrange(8)
    if kind == 0:
        struct.pack_into(
            ">H",
            data,
            chance.choice((0, 2, 4)) if len(data) > 6 else 0,
            chance.choice((0, 1, 2, 6, 253, 254, 255, 300, 0x7FFF, 0xFFFF)),
        )
    elif kind == 1:
        data[chance.randrange(min(8, len(data)))] = chance.randrange(256)
    elif kind == 2:
        data[min(7, len(data) - 1)] = chance.randrange(256)
    elif kind == 3 and len(data) >= 12:
        struct.pack_into(
            ">H", data, chance.choice((8, 10)), chance.choice((0, 1, 125, 126, 2000, 2001, 0x7FFF, 0xFFFF))
        )
    elif kind == 4:
        del data[chance.randrange(len(data)) :]
    elif kind == 5:
        other = chance.choice(others)
        data = data[: chance.randrange(len(data) + 1)] + bytearray(other[chance.randrange(len(other)) :])
    elif kind == 6:
        for _ in range(chance.randint(1, 5)):
            data += chance.choice(others)
    else:
        for _ in range(chance.randint(1, 4)):
            data[chance.randrange(len(data))] = chance.randrange(256)
    return bytes(data)


def flat(rounds: int, once: Callable[[int], None], rest: Callable[[], None] = lambda: None) -> None:
    """Memory after the first quarter and at the end: objects that stay would show. ``rest``: what lets timers
    run out."""
    for number in range(rounds // 4):
        once(number)
    rest()
    gc.collect()
    before = len(gc.get_objects())
    for number in range(rounds // 4, rounds):
        once(number)
    rest()
    gc.collect()
    assert len(gc.get_objects()) - before < 2000


def test_mutated_mbap_frames_whole_split_and_pipelined() -> None:
    chance = random.Random(7)
    server = ModbusServer(device(holding_199=7))
    others = [mbap(pdu, 5) for pdu in PDUS]
    cut_off = answered = 0

    def once(number: int) -> None:
        nonlocal cut_off, answered
        data = mutated(mbap(chance.choice(PDUS), number % 65_536), others, chance)
        server.reset()
        while data:
            size = chance.randint(1, len(data))
            answers = server.respond_tcp(data[:size], 0)
            data = data[size:]
            if answers is None:
                cut_off += 1
                break
            for answer in answers:
                assert int.from_bytes(answer[4:6], "big") == len(answer) - 6 <= 254
                answered += 1
        server.reset()  # a new connection
        server.device.image.write("holding", 199, [7])
        probe = mbap(bytes.fromhex("0300c70001"), 9)
        assert server.respond_tcp(probe, 0) == [mbap(bytes.fromhex("03020007"), 9)]

    flat(ROUNDS, once)
    assert cut_off > ROUNDS / 50
    assert answered > ROUNDS / 2


def test_a_mutated_mbap_frame_within_a_stream_costs_at_most_its_connection() -> None:
    """What follows on the same connection is answered, or the connection was cut off: never an answer to
    something that wasn't asked."""
    chance = random.Random(8)
    server = ModbusServer(device(holding_199=7))
    others = [mbap(pdu, 5) for pdu in PDUS]
    probe = mbap(bytes.fromhex("0300c70001"), 0xABCD)
    right = 0
    for number in range(ROUNDS // 4):
        server.reset()
        server.device.image.write("holding", 199, [7])
        answers = server.respond_tcp(mutated(mbap(chance.choice(PDUS), number), others, chance) + probe, 0)
        right += answers is not None and any(answer[:2] == b"\xab\xcd" for answer in answers)
        for answer in answers or []:
            if answer[:2] == b"\xab\xcd" and len(answer) == 11:
                assert answer[9:] in (b"\0\7", server.device.image.read_raw("holding", 199, 1))
    assert right > ROUNDS / 20


def test_mutated_rtu_frames() -> None:
    chance = random.Random(9)
    server = ModbusServer(device(holding_199=7))
    others = [rtu(pdu) for pdu in PDUS]
    silent = 0

    def once(number: int) -> None:
        nonlocal silent
        frame = mutated(rtu(chance.choice(PDUS)), others, chance)
        answer = server.respond_rtu(frame, 0)
        if answer is None:
            silent += 1
        else:
            assert FramerRTU.compute_CRC(answer[:-2]) == int.from_bytes(answer[-2:], "big")
            assert FramerRTU.compute_CRC(frame[:-2]) == int.from_bytes(frame[-2:], "big"), (
                "only a frame with a right CRC is answered"
            )
        server.device.image.write("holding", 199, [7])
        assert server.respond_rtu(rtu(bytes.fromhex("0300c70001")), 0) == rtu(bytes.fromhex("03020007"))

    flat(ROUNDS, once)
    assert silent > ROUNDS / 2


def test_mutated_opcua_requests_disturb_nobody(host: Host) -> None:
    """A hostile client beside one that reads: the latter's answers stay right, and a hostile one may come
    again."""
    chance = random.Random(10)
    peer = Peer()
    requests: list[bytes] = []

    def recorded(data: bytes) -> bytes:
        requests.append(data)
        return peer.talk(data)

    instance = driver(host)
    assert ask(instance, Bus(recorded)).ok
    instance.close()
    victim = peer.connection
    reader = driver(host)
    bus = Bus(peer.talk)
    assert ask(reader, bus).ok
    standing = peer.connection
    hung_up = 0

    def reads_on() -> Any:
        """At once, or in a new session when somebody has taken its own over: an anonymous session is
        anybody's who knows its token."""
        for _ in range(3):
            result = ask(reader, bus)
            if result.ok:
                return result
        raise AssertionError(result)

    def once(number: int) -> None:
        nonlocal victim, hung_up, standing
        at = chance.randrange(len(requests))
        peer.connection = None
        peer.connect()
        victim = peer.connection
        for request in requests[:at] if chance.random() < 0.3 else []:
            peer.talk(request)
        data = bytearray(mutated(requests[at], requests, chance))
        if chance.random() < 0.5 and len(data) >= 8:
            struct.pack_into("<I", data, 4, len(data))
        while data and not peer.hung_up:
            size = chance.randint(1, len(data))
            peer.talk(bytes(data[:size]))
            del data[:size]
        hung_up += peer.hung_up
        assert victim is not None
        victim.gone()
        peer.connection, peer.hung_up = standing, False
        result = reads_on()
        standing = peer.connection
        asked_ns = peer.env.now - 1_000_000  # a talk lasts a millisecond
        expected = [
            [round(peer.server.image.read(i, at_ns).value, 3) for i in range(10)]
            for at_ns in (asked_ns, peer.env.now)
        ]
        assert [round(r.value, 3) for r in result.value.readings] in expected

    def rest() -> None:
        """Timers of connections that are gone lie on the timeline until they would have been due."""
        for _ in range(40):
            reads_on()
            with peer.stacks.inside():
                peer.stacks.loop.run_until_complete(asyncio.sleep(10))

    flat(OPCUA_ROUNDS, once, rest)
    assert hung_up > 0
    reader.close()
    peer.close()
