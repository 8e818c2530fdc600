"""Modbus frames as a replay needs them: what makes two requests one, ids of transactions, registers that an
answer shows.

Belongs here: MBAP headers, RTU's CRC, reads (functions 1 to 4) taken apart and put together (Modbus
Application Protocol V1.1b3, Modbus Messaging on TCP/IP V1.0b, Modbus over Serial Line V1.02). Never: which
exchange answers which (bus.py).
"""

from __future__ import annotations

from typing import NamedTuple

TCP, RTU = "modbus-tcp", "modbus-rtu"
MBAP_BYTES = 7
"""of a header: transaction, protocol, length, unit"""
ADU_TCP_BYTES_MAX = 260
READS = {1: 2000, 2: 2000, 3: 125, 4: 125}
"""function -> how many bits or registers one request may ask for"""
_BITS = (1, 2)


class Frame(NamedTuple):
    """One frame taken apart. ``transaction``: None for RTU; ``pdu``: function and data."""

    unit: int
    pdu: bytes
    transaction: int | None


class Asked(NamedTuple):
    """A read: ``many`` bits or registers from ``address`` on."""

    unit: int
    function: int
    address: int
    many: int


def _crc_table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ 0xA001 if byte & 1 else byte >> 1
        table.append(byte)
    return tuple(table)


_CRC = _crc_table()


def crc(data: bytes) -> bytes:
    """The two bytes behind an RTU frame, low byte first (Modbus over Serial Line V1.02, 6.2.2)."""
    found = 0xFFFF
    for byte in data:
        found = found >> 8 ^ _CRC[(found ^ byte) & 0xFF]
    return found.to_bytes(2, "little")


def parsed(protocol: str, data: bytes) -> Frame | None:
    """A whole frame; None for what is none of that protocol."""
    if protocol == TCP:
        if len(data) < MBAP_BYTES + 1 or data[2:4] != b"\0\0" or int.from_bytes(data[4:6]) != len(data) - 6:
            return None
        return Frame(data[6], data[7:], int.from_bytes(data[:2]))
    if protocol == RTU:
        if len(data) < 4 or crc(data[:-2]) != data[-2:]:
            return None
        return Frame(data[0], data[1:-2], None)
    return None


def built(protocol: str, frame: Frame) -> bytes:
    """The reverse."""
    if protocol == TCP:
        assert frame.transaction is not None
        header = frame.transaction.to_bytes(2) + b"\0\0" + (len(frame.pdu) + 1).to_bytes(2)
        return header + bytes((frame.unit,)) + frame.pdu
    body = bytes((frame.unit,)) + frame.pdu
    return body + crc(body)


def key(protocol: str, request: bytes) -> bytes:
    """What two requests have in common that ask for the same: all of it but the id of the transaction."""
    frame = parsed(protocol, request) if protocol == TCP else None
    return request if frame is None else bytes((frame.unit,)) + frame.pdu


def renumbered(protocol: str, answer: bytes, recorded: bytes, sent: bytes) -> bytes:
    """The answer to ``recorded`` as one to ``sent``: its transaction is as far from the request's as it was,
    which for a right answer is not at all."""
    if protocol != TCP or parsed(TCP, recorded) is None or parsed(TCP, sent) is None or len(answer) < 2:
        return answer
    far = int.from_bytes(answer[:2]) - int.from_bytes(recorded[:2])
    return ((int.from_bytes(sent[:2]) + far) & 0xFFFF).to_bytes(2) + answer[2:]


def read_of(protocol: str, request: bytes) -> Asked | None:
    """What a request reads; None when it is no read."""
    frame = parsed(protocol, request)
    if frame is None or len(frame.pdu) != 5 or frame.pdu[0] not in READS:
        return None
    function, address, count = frame.pdu[0], int.from_bytes(frame.pdu[1:3]), int.from_bytes(frame.pdu[3:5])
    if not 1 <= count <= READS[function] or address + count > 1 << 16:
        return None
    return Asked(frame.unit, function, address, count)


def shown(protocol: str, request: bytes, answer: bytes) -> tuple[Asked, list[int]] | None:
    """(the read, the bits or registers) of a right answer to a read; None for any other."""
    asked, frame, sent = read_of(protocol, request), parsed(protocol, answer), parsed(protocol, request)
    if asked is None or frame is None or sent is None or frame.transaction != sent.transaction:
        return None
    size = -(-asked.many // 8) if asked.function in _BITS else 2 * asked.many
    pdu = frame.pdu
    if frame.unit != asked.unit or pdu[:2] != bytes((asked.function, size)) or len(pdu) != 2 + size:
        return None
    data = pdu[2:]
    if asked.function in _BITS:
        return asked, [data[i >> 3] >> (i & 7) & 1 for i in range(asked.many)]
    return asked, [int.from_bytes(data[i : i + 2]) for i in range(0, size, 2)]


def answer_to(protocol: str, request: bytes, values: list[int]) -> bytes:
    """The answer to a read that shows these bits or registers."""
    asked, sent = read_of(protocol, request), parsed(protocol, request)
    assert asked is not None
    assert sent is not None
    if asked.function in _BITS:
        packed = bytearray(-(-asked.many // 8))
        for i, bit in enumerate(values):
            packed[i >> 3] |= bit << (i & 7)
        data = bytes(packed)
    else:
        data = b"".join(value.to_bytes(2) for value in values)
    return built(protocol, sent._replace(pdu=bytes((asked.function, len(data))) + data))
