"""What travels north: one message a batch and verdict, in JSON, with its real length; and what comes down.

Belongs here: the body, sizes on the wire. Never: sessions (uplink.py) or rows on disk (store.py).
MQTT 3.1.1 sections 2.2 and 3.3: fixed header, remaining length, topic, packet identifier (QoS 1).
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any
from zlib import crc32

from twinloop.components.contract.contract import PointConfig
from twinloop.components.host.batch import Batch
from twinloop.components.native.choice import CHOICE
from twinloop.sim.accounts.derived import Riding
from twinloop.sim.accounts.ledger import Ledger
from twinloop.sim.accounts.rows import End, Row

TOPIC_PREFIX = "twinloop/"
"""before the device's name"""
TLS_RECORD_BYTES = 29
"""TLS 1.3 record header, content type and tag with AES-GCM (RFC 8446 section 5.2)"""


class Message:
    """Some points of one (device, k) on their way. ``lane`` 0 to 3; ``store_id`` when it also lies in the
    store."""

    __slots__ = (
        "body",
        "crc",
        "device",
        "k",
        "lane",
        "mask",
        "row",
        "sent_ns",
        "size_bytes",
        "store_id",
        "topic",
    )
    riding: Riding | None = None
    """the derived readings in it"""

    def __init__(self, row: Row, mask: int, lane: int, topic: bytes, body: bytes) -> None:
        self.row, self.mask, self.lane, self.topic, self.body = row, mask, lane, topic, body
        self.device, self.k = row.device, row.k
        self.crc = crc32(body)
        remaining = len(topic) + len(body) + 4  # ``publish_bytes``, written out for the usual length
        self.size_bytes = (
            remaining + 3 if 127 < remaining < 16_384 else publish_bytes(len(topic), len(body))
        ) + TLS_RECORD_BYTES
        self.store_id: int | None = None
        self.sent_ns = 0

    @property
    def open(self) -> bool:
        """Is there something in it that has no end yet?"""
        return bool(self.mask & self.row.open)

    @property
    def all_points(self) -> int:
        """The mask of its points, derived ones too."""
        return self.mask

    def end(self, ledger: Ledger, end: End, cause: str = "") -> bool:
        """What of it has no end yet ends so; was there something?"""
        left = self.mask & self.row.open
        if left:
            ledger.close(self.row, left, end, cause)
        return bool(left)


new_message: Callable[[Row, int, int, bytes, bytes], Message] = Message
"""makes one, in the quicker way"""
if CHOICE.engine is not None:
    CHOICE.engine.bind_messages(Message, Row, crc32, TLS_RECORD_BYTES)
    new_message = CHOICE.engine.message


class DerivedMessage(Message):
    """A message with derived readings, perhaps with nothing else: these are the bits of ``extra``."""

    __slots__ = ("extra", "riding")

    def __init__(
        self, *, row: Row, mask: int, lane: int, topic: bytes, body: bytes, extra: int, riding: Riding
    ) -> None:
        super().__init__(row, mask, lane, topic, body)
        self.extra = extra
        self.riding: Riding = riding  # a slot where a Message has the class's None

    @property
    def open(self) -> bool:
        """As a message's; derived readings count."""
        return super().open or self.riding.open

    @property
    def all_points(self) -> int:
        """As a message's, with ``extra``."""
        return self.mask | self.extra

    def end(self, ledger: Ledger, end: End, cause: str = "") -> bool:
        """As a message's; its derived readings end with it."""
        was_open = self.open
        super().end(ledger, end, cause)
        self.riding.end(end, cause)
        return was_open


def publish_bytes(topic_bytes: int, body_bytes: int) -> int:
    """An MQTT PUBLISH with QoS 1."""
    remaining = 2 + topic_bytes + 2 + body_bytes
    length_bytes = 1 + (remaining > 127) + (remaining > 16_383) + (remaining > 2_097_151)
    return 1 + length_bytes + remaining


class Body:
    """How the messages of one device model are written.

    ``{"device":..,"seq":k,"t":ns,"values":{"point":v,..},"status":{"point":code,..},"times":{"point":ns,..}}``;
    ``status`` names only what isn't Good, ``times`` only what wasn't measured at ``t``.
    """

    __slots__ = ("_all_well", "_heads", "_ids", "_quick")

    def __init__(self, points: list[PointConfig], engine: Any = CHOICE.engine) -> None:
        self._heads = {point.id: f'"{point.name}":' for point in points}
        self._ids = tuple(self._heads)
        values = ",".join(head.replace("%", "%%") + "%r" for head in self._heads.values())
        self._all_well = f'{{"device":"%s","seq":%d,"t":%d,"values":{{{values}}}}}'
        """a whole batch, all Good, all measured at one instant: most of all messages"""
        self._quick: Callable[[str, int, Batch], bytes | None] | None = None
        """the compiled part's way to write these (sim/native/writing.c); None for any other batch"""
        if engine is not None:
            self._quick = engine.AllWell(self._ids, tuple(self._heads.values())).of

    def of(self, name: str, k: int, batch: Batch) -> bytes:
        """The body for device ``name``'s k-th batch."""
        if self._quick is not None:
            body = self._quick(name, k, batch)
            if body is not None:
                return body
        points, values, statuses, times, texts = batch
        if points == self._ids and not texts and not any(statuses) and times.count(times[0]) == len(times):
            total = sum(values)
            if total - total == 0.0:  # neither NaN nor an infinity, for which JSON has no number
                return (self._all_well % (name, k, times[0], *values)).encode()
        return self._marked(name, k, batch)

    def _marked(self, name: str, k: int, batch: Batch) -> bytes:
        heads = self._heads
        first = batch.times[0] if batch.times else 0
        values, bad, others = [], [], []
        for point, value, status, measured in zip(*batch[:4], strict=True):
            values.append(f"{heads[point]}{value!r}" if value - value == 0.0 else f"{heads[point]}null")
            if status:
                bad.append(f"{heads[point]}{status}")
            if measured != first:
                others.append(f"{heads[point]}{measured}")
        for text in batch.texts:
            values.append(f"{heads[text.point]}{json.dumps(text.value)}")
            others.append(f"{heads[text.point]}{text.measured}")
            if text.status:
                bad.append(f"{heads[text.point]}{text.status}")
        marks = f',"status":{{{",".join(bad)}}}' if bad else ""
        times = f',"times":{{{",".join(others)}}}' if others else ""
        return (
            f'{{"device":"{name}","seq":{k},"t":{first},"values":{{{",".join(values)}}}{marks}{times}}}'
        ).encode()


COMMAND_CAUSES = (
    "timeout",
    "disconnected",
    "rejected",
    "malformed",
    "device",
    "driver-fault",
    "quarantined",
    "gateway-down",
    "standby",
    "crash",
    "limit",
    "end-of-run",
)
"""why a command fails"""


class Command:
    """A write that comes down from the cloud: ``point`` is the bit of the device's point."""

    __slots__ = ("device", "issued_ns", "number", "point", "value")

    def __init__(self, number: int, device: int, point: int, value: float, issued_ns: int) -> None:
        self.number = number
        self.device = device
        self.point = point
        self.value = value
        self.issued_ns = issued_ns
