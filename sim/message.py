"""What travels north: one message a batch and verdict, in JSON, with its real length; and what comes down.

Belongs here: the body, sizes on the wire. Never: sessions (uplink.py) or rows on disk (store.py).
MQTT 3.1.1 sections 2.2 and 3.3: fixed header, remaining length, topic, packet identifier (QoS 1).
"""

from __future__ import annotations

import json
from typing import Any
from zlib import crc32

from components.batch import Batch
from sim.ledger import Row

TOPIC_PREFIX = "twinloop/"
"""before the device's name"""
ACK_BYTES = 4
TLS_RECORD_BYTES = 29
"""TLS 1.3 record header, content type and tag with AES-GCM (RFC 8446 section 5.2)"""


class Message:
    """Some points of one (device, k) on their way. ``lane`` 0 to 3; ``store_id`` when it also lies in the store."""

    __slots__ = ("body", "crc", "device", "k", "lane", "mask", "row", "sent_ns", "size_bytes", "store_id")

    def __init__(self, row: Row, mask: int, lane: int, topic_bytes: int, body: bytes) -> None:
        self.row, self.mask, self.lane, self.body = row, mask, lane, body
        self.device, self.k = row.device, row.k
        self.crc = crc32(body)
        self.size_bytes = publish_bytes(topic_bytes, len(body)) + TLS_RECORD_BYTES
        self.store_id: int | None = None
        self.sent_ns = 0


def publish_bytes(topic_bytes: int, body_bytes: int) -> int:
    """An MQTT PUBLISH with QoS 1."""
    remaining = 2 + topic_bytes + 2 + body_bytes
    length_bytes = 1 + (remaining > 127) + (remaining > 16_383) + (remaining > 2_097_151)
    return 1 + length_bytes + remaining


def body_of(name: str, k: int, batch: Batch, heads: dict[int, str], wanted: Any) -> bytes:
    """``{"device":..,"seq":k,"t":ns,"values":{"point":v,..},"status":{"point":code,..},"times":{"point":ns,..}}``.

    For the points in ``wanted`` (None: all). ``status`` names only what isn't Good, ``times`` only what wasn't measured at
    ``t``. ``heads``: id -> ``"point":``.
    """
    readings = batch.readings if wanted is None else [reading for reading in batch.readings if reading[0] in wanted]
    first = readings[0][3] if readings else 0
    values, bad, others = [], [], []
    for point, value, status, measured in readings:
        values.append(f"{heads[point]}{value!r}" if value - value == 0.0 else f"{heads[point]}null")
        if status:
            bad.append(f"{heads[point]}{status}")
        if measured != first:
            others.append(f"{heads[point]}{measured}")
    for text in batch.texts:
        if wanted is None or text.point in wanted:
            values.append(f"{heads[text.point]}{json.dumps(text.value)}")
            others.append(f"{heads[text.point]}{text.measured}")
    marks = f',"status":{{{",".join(bad)}}}' if bad else ""
    times = f',"times":{{{",".join(others)}}}' if others else ""
    return f'{{"device":"{name}","seq":{k},"t":{first},"values":{{{",".join(values)}}}{marks}{times}}}'.encode()


COMMAND_CAUSES = (
    "timeout", "disconnected", "rejected", "malformed", "device", "driver-fault", "quarantined", "gateway-down", "crash", "limit", "end-of-run",
)  # fmt: skip
"""why a command fails"""


class Command:
    """A write that comes down from the cloud: ``point`` is the bit of the device's point."""

    __slots__ = ("device", "issued_ns", "number", "point", "value")

    def __init__(self, number: int, device: int, point: int, value: float, issued_ns: int) -> None:
        self.number, self.device, self.point, self.value, self.issued_ns = number, device, point, value, issued_ns

    SIZE_BYTES = 96
