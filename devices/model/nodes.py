"""The node image of a device: what an OPC UA server shows of each point as a DataValue, over the image that
all protocols share.

Belongs here: values, StatusCodes, source timestamps, data types. Never: a library's types (server.py) or
bytes. A node holds an engineering value: what a register scales, an OPC UA server has scaled already. Sensors
that lie (overlay.py) lie here, too.
"""

from __future__ import annotations

from typing import NamedTuple

from twinloop.devices.model.device import Device
from twinloop.devices.model.encodings import ENCODINGS, INFINITY
from twinloop.devices.model.points import BITS, Point
from twinloop.devices.model.statuses import STATUS_CODES

NAMESPACE = 2
"""index of a device's own namespace: 0 is the standard's, 1 the server's"""
_INTEGERS = {
    "UInt16": (0, (1 << 16) - 1),
    "Int16": (-(1 << 15), (1 << 15) - 1),
    "UInt32": (0, (1 << 32) - 1),
    "Int32": (-(1 << 31), (1 << 31) - 1),
    "UInt64": (0, (1 << 64) - 1),
    "Int64": (-(1 << 63), (1 << 63) - 1),
}
"""built-in type -> its range"""


class NodeValue(NamedTuple):
    """A DataValue; ``value`` means nothing when ``status`` is Bad. Timestamps in ns of the timeline."""

    value: float
    status: int
    source_ns: int


def data_type(point: Point) -> str:
    """The built-in type of a point's node (OPC 10000-6 table 1): its register's own, or the smallest that
    holds its integers, unless that is scaled."""
    if point.node.type:
        return point.node.type
    if point.table in BITS:
        return "Boolean"
    if point.type in ("f16", "f32") and point.scale == 1.0 and not point.offset and point.power is None:
        return "Float"
    if point.type[0] == "f" or point.scale != 1.0 or point.offset or point.power is not None:
        return "Double"
    encoding = ENCODINGS[point.type]
    return next(
        name for name, (low, high) in _INTEGERS.items() if low <= encoding.low and encoding.high <= high
    )


def node_id(point: Point) -> str:
    """The NodeId of a point as text (OPC 10000-6 section 5.3.1.10)."""
    return point.node.id or f"ns={NAMESPACE};s={point.name}"


def node_address(point: Point) -> str:
    """The same for a driver: with its namespace's URI where that is known, since indexes differ from server
    to server."""
    if not point.node.uri:
        return node_id(point)
    escaped = point.node.uri.replace("%", "%25").replace(";", "%3B")
    return f"nsu={escaped};{node_id(point).partition(';')[2]}"


class NodeImage:
    """The nodes of one device, one a point, in their order."""

    def __init__(self, device: Device) -> None:
        self.device = device
        self.types = [data_type(point) for point in device.model.points]

    def read(self, index: int, now_ns: int) -> NodeValue:
        """Point ``index`` as of now."""
        device = self.device
        device.advance(now_ns)
        image = device.image
        status, source_ns = device.status(index), device.stepped_ns(now_ns)
        if not image.overlays:  # nobody lies: as it is
            return NodeValue(image.value(index), status, source_ns)
        cell, point = image.cell(index), device.model.points[index]
        if cell is None:
            value = float((image.read_bits(point.table, point.address, 1) or [False])[0])
        else:
            value = cell.decode(image.read_raw(point.table, point.address, point.width) or bytes(cell.size))
        for overlay in image.overlays:
            if overlay.point != index or not overlay.hits(now_ns):
                continue
            if overlay.kind == "bad-status":
                status = overlay.status
            elif overlay.kind == "frozen-timestamp":
                source_ns = device.stepped_ns(overlay.start_ns)
            elif overlay.kind == "nan":
                value, status = (
                    (float("nan"), status)
                    if self.types[index] in ("Float", "Double")
                    else (0.0, STATUS_CODES["BadSensorFailure"])
                )
        return NodeValue(value, status, source_ns)

    def good_values(self, now_ns: int) -> list[float] | None:
        """Every point's value as of now, where all are Good and nobody lies; None: ``read`` each."""
        device = self.device
        device.advance(now_ns)
        image = device.image
        return image.values() if device.always_good and not image.overlays else None

    def write(self, index: int, value: float, now_ns: int) -> int:
        """A client has written an engineering value; returns a StatusCode."""
        point = self.device.model.points[index]
        if not point.writable:
            return STATUS_CODES["BadNotWritable"]
        low = -INFINITY if point.low is None else point.low
        high = INFINITY if point.high is None else point.high
        if not low <= value <= high or value - value != 0.0:
            return STATUS_CODES["BadOutOfRange"]
        self.device.advance(now_ns)
        self.device.image.write_value(index, value)
        return 0


class News:
    """Which points have something new to tell: a value or a status other than when they were looked at last
    (OPC 10000-4 section 7.22.2).

    What holds at the beginning is no news: a subscription tells it when it is made. A device is looked at
    once a step: what is changed within one is news of the next.
    """

    def __init__(self, image: NodeImage) -> None:
        self._image = image
        self._shown = [self._told(image.read(index, 0)) for index in range(len(image.types))]
        self.fresh = False
        """was this step's look the last one?"""
        self._step = -1
        self.misdated = 0
        """of the points that were news at the last instant those that tell another instant's timestamp"""

    @staticmethod
    def _told(read: NodeValue) -> tuple[float, int]:
        return (0.0 if read.status >> 31 else read.value), read.status

    def mask(self, now_ns: int) -> int:
        """The points that are news at this sampling instant, as bits; they are none any more afterwards."""
        found = self.misdated = 0
        stepped_ns = self._image.device.stepped_ns(now_ns)
        self.fresh = stepped_ns != self._step
        if not self.fresh:
            return 0
        self._step = stepped_ns
        for index, before in enumerate(self._shown):
            read = self._image.read(index, now_ns)
            now = self._told(read)
            # NaN is news once
            if now != before and not (now[1] == before[1] and now[0] != now[0] and before[0] != before[0]):
                self._shown[index] = now
                found |= 1 << index
                if read.source_ns != stepped_ns:
                    self.misdated |= 1 << index
        return found
