"""The quality of readings: a message is no value. What a driver returns without one was missed, unless the
device itself had none.

Belongs here: StatusCodes of a driver's batch -> the books. Never: what a status is called
(devices/model/statuses.py), what was shown (witness.py). Decided once, at the driver's batch: a reading that
has no value travels on, and what becomes of it is no second end.
"""

from __future__ import annotations

from typing import Any

from twinloop.components.host.batch import Batch
from twinloop.devices.model.statuses import BAD, NO_NUMBER
from twinloop.sim.accounts.rows import End, Row
from twinloop.sim.gateway.books import Books
from twinloop.sim.gateway.reader import Reader
from twinloop.sim.kernel.trace import Trace

CAUSE_OF = {
    0x800A0000: "timeout",
    0x808A0000: "disconnected",
    0x808B0000: "rejected",
    0x80050000: "malformed",
}
"""BadTimeout, BadNotConnected, BadDeviceFailure, BadCommunicationError: what they mean when a driver says
them of a read"""

_MISSED = {
    "rejected": "rejected",
    "malformed": "malformed",
    "other": "device",
    "no-such-point": "device",
    "not-configured": "driver-fault",
}
_BUS_MISSED = {
    "timeout": "timeout",
    "disconnected": "disconnected",
    "too-long": "malformed",
    "other": "disconnected",
}


def missed_cause(error: Any) -> str:
    """The ledger's cause for a driver-error."""
    tag, payload = error
    return _BUS_MISSED[payload[0]] if tag == "bus" else _MISSED[tag]


def assess(books: Books, trace: Trace, reader: Reader, row: Row, batch: Batch) -> None:
    """Book the quality of a batch, whose points are ``row.read``, and end what was missed."""
    ledger, witness = books.ledger, reader.witness
    marks: dict[int, int] = {}
    missed: dict[str, int] = {}
    bit_of = reader.table.bit_of
    rows = [
        (point, status if status or value - value == 0.0 else NO_NUMBER)
        for point, value, status in zip(*batch[:3], strict=True)
    ]
    rows += [(text.point, text.status) for text in batch.texts]
    good = 0
    for point, status in rows:
        bit = bit_of[point]
        if bit & witness.absent:
            if bit & row.open:
                missed["device"] = missed.get("device", 0) | bit
            if status >> 30:
                marks[status] = marks.get(status, 0) | bit
            continue
        if not status >> 30:
            good |= bit
            continue
        marks[status] = marks.get(status, 0) | bit
        if status >= BAD and bit & row.open and not witness.valueless(bit.bit_length() - 1, status):
            cause = CAUSE_OF.get(status & 0xFFFF0000, "bad") if status != NO_NUMBER else "bad"
            missed[cause] = missed.get(cause, 0) | bit
    row.marks = marks
    ledger.returned(row, good)
    for status, mask in marks.items():
        trace.emit("quality", row.device, row.k, status, mask)
    if missed:
        books.truth.trouble(reader)
    for cause, mask in missed.items():
        row.void |= mask
        ledger.close(row, mask, End.MISSED, cause)
