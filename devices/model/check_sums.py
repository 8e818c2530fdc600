"""Check sums of Modbus on a line, and whole frames as they go out: unit and PDU with what follows them.

Belongs here: RTU's CRC, ASCII's LRC (MODBUS over Serial Line Specification and Implementation Guide V1.02,
appendix B). Never: where a frame begins and ends, what a PDU means (devices/modbus/).
"""

from __future__ import annotations

ASCII_END = b"\r\n"


def _crc_of(byte: int) -> int:
    """Of a single byte, appendix B's way: eight shifts by the polynomial."""
    for _ in range(8):
        byte = byte >> 1 ^ 0xA001 if byte & 1 else byte >> 1
    return byte


_CRC = tuple(map(_crc_of, range(256)))


def crc(data: bytes) -> bytes:
    """The check sum of unit and PDU in RTU, as it follows them: its low byte first. Our own, because
    pymodbus, whose answers are the same (a test compares), brings asyncio and a thirtieth of a second."""
    value = 0xFFFF
    for byte in data:
        value = value >> 8 ^ _CRC[(value ^ byte) & 0xFF]
    return value.to_bytes(2, "little")


def lrc(data: bytes) -> int:
    """The check sum of unit and PDU in ASCII."""
    return -sum(data) & 0xFF


def rtu_frame(body: bytes) -> bytes:
    """Unit and PDU as they go out on a line in RTU: with the CRC."""
    return body + crc(body)


def ascii_frame(body: bytes) -> bytes:
    """Unit and PDU as they go out on a line in ASCII: from colon to CR LF."""
    return b":" + (body + bytes((lrc(body),))).hex().upper().encode() + ASCII_END
