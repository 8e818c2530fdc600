"""What a point's node shows: as asyncua's DataValue, or as the bytes that asyncua would make of it.

Belongs here: a DataValue of a point, packed in one go (OPC 10000-6 section 5.2.2.17). Never: what a point's
value is (devices/model/nodes.py), messages (reading.py). That both are the same is held by property tests
against asyncua's own encoder.
"""

from __future__ import annotations

from collections.abc import Callable
from struct import Struct, error
from typing import Any

from asyncua import ua

from twinloop.devices.model.nodes import NodeValue
from twinloop.devices.opcua.items import BOTH, NEITHER, SERVER, SOURCE

_TICKS_1970 = 116_444_736_000_000_000
"""100 ns from 1601, where OPC UA's DateTime begins, to 1970"""
_VALUE_AND_STATUS = 0x03
_MASKS = {SOURCE: 0x04, SERVER: 0x08, BOTH: 0x0C, NEITHER: 0x00}
"""timestamps that were asked for -> their bits in a DataValue's first byte"""


class Unpackable(Exception):
    """A number that isn't one of the type that its node says."""


class DateTimes:
    """Instants of the timeline as DateTimes; ``epoch_ns``: ns since 1970 at its 0. The last two are kept: the
    nodes of one request are told of the same two."""

    __slots__ = ("_at_ns", "_before", "_before_ns", "_epoch_ns", "_last")

    def __init__(self, epoch_ns: int) -> None:
        self._epoch_ns = epoch_ns
        self._at_ns = self._before_ns = 0
        self._last = self._before = self._made(0)

    def _made(self, at_ns: int) -> tuple[Any, int]:
        moment = ua.win_epoch_to_datetime((self._epoch_ns + at_ns) // 1000 * 10 + _TICKS_1970)
        return moment, ua.datetime_to_win_epoch(moment)

    def both(self, at_ns: int) -> tuple[Any, int]:
        """The DateTime of an instant, and the number that stands for it on the wire."""
        if at_ns == self._at_ns:
            return self._last
        if at_ns == self._before_ns:
            return self._before
        self._before_ns, self._before = self._at_ns, self._last
        self._at_ns, self._last = at_ns, self._made(at_ns)
        return self._last

    def of(self, at_ns: int) -> Any:
        """The DateTime of an instant."""
        return self.both(at_ns)[0]


class Kind:
    """A built-in type: its Variants, and how a DataValue of it is packed for each choice of timestamps.
    ``code``: of module struct; ``number``: makes of an engineering value what a Variant holds."""

    __slots__ = ("byte", "number", "packs", "type")

    def __init__(self, variant_type: Any, code: str, number: Callable[[float], Any] | None = None) -> None:
        self.type, self.byte, self.number = variant_type, int(variant_type.value), number
        self.packs = tuple(
            Struct(f"<BB{code}I" + "q" * mask.bit_count()).pack for _, mask in sorted(_MASKS.items())
        )
        """for each of SOURCE, SERVER, BOTH, NEITHER"""


def _is_true(value: float) -> bool:
    return value != 0.0


KINDS = {
    "Boolean": Kind(ua.VariantType.Boolean, "?", _is_true),
    "Float": Kind(ua.VariantType.Float, "f"),
    "Double": Kind(ua.VariantType.Double, "d"),
    **{
        name: Kind(getattr(ua.VariantType, name), code, int)
        for name, code in {
            "UInt16": "H", "Int16": "h", "UInt32": "I", "Int32": "i", "UInt64": "Q", "Int64": "q",
        }.items()
    },
}  # fmt: skip
"""built-in type of a point's node (devices/model/nodes.data_type) -> how it is shown"""
_NULL = Kind(ua.VariantType.Null, "")


def variant_of(kind: Kind, value: float) -> ua.Variant:
    """A value of that type."""
    return ua.Variant(value if kind.number is None else kind.number(value), kind.type)


def data_value(kind: Kind, told: NodeValue, now_ns: int, times: DateTimes) -> ua.DataValue:
    """What was told of a point, as asyncua has it; what is Bad has no value."""
    value, status, source_ns = told
    return ua.DataValue(
        ua.Variant(None, ua.VariantType.Null) if status >> 31 else variant_of(kind, value),
        ua.StatusCode(ua.UInt32(status)),
        SourceTimestamp=times.of(source_ns),
        ServerTimestamp=times.of(now_ns),
    )


def packed(kind: Kind, told: NodeValue, now_ns: int, times: DateTimes, wanted: int) -> bytes:
    """The same as bytes, with the timestamps that are wanted: what asyncua's encoder makes of
    ``with_times(data_value(...), wanted)``.

    Raises Unpackable where that encoder raises, and what ``data_value`` raises.
    """
    value, status, source_ns = told
    bad = status >> 31
    if bad:
        kind = _NULL
    if wanted == BOTH:
        stamps: tuple[int, ...] = times.both(source_ns)[1], times.both(now_ns)[1]
    elif wanted == SOURCE:
        stamps = (times.both(source_ns)[1],)
    else:
        stamps = (times.both(now_ns)[1],) if wanted == SERVER else ()
    first, pack = _VALUE_AND_STATUS | _MASKS[wanted], kind.packs[wanted]
    if bad:
        return pack(first, kind.byte, status, *stamps)
    number = value if kind.number is None else kind.number(value)
    try:
        return pack(first, kind.byte, number, status, *stamps)
    except (error, OverflowError) as trouble:
        raise Unpackable(f"{number!r} as {kind.type.name}") from trouble


class Shown:
    """The value of one point's node: asyncua calls it, and who answers a Read takes its bytes. ``look``: what
    is told of a point now, and when that is."""

    __slots__ = ("_index", "_kind", "_look", "_times")

    def __init__(
        self, index: int, kind: Kind, look: Callable[[int], tuple[NodeValue, int]], times: DateTimes
    ) -> None:
        self._index, self._kind, self._look, self._times = index, kind, look, times

    def __call__(self, identity: Any = None, attribute: Any = None) -> ua.DataValue:
        """A look at it, as asyncua has it."""
        told, now_ns = self._look(self._index)
        return data_value(self._kind, told, now_ns, self._times)

    def packed(self, wanted: int) -> bytes:
        """A look at it, as bytes with the timestamps that are wanted."""
        told, now_ns = self._look(self._index)
        return packed(self._kind, told, now_ns, self._times, wanted)
