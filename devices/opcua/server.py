"""OPC UA servers of devices: asyncua's own, each over an overlay of ONE standard address space that all
share.

Belongs here: what makes an asyncua server cheap enough for a fleet. Never: sockets or the loop: it runs on
whatever loop it is started on, simulated or real. Stock, a server fills 6000 nodes of its own (40 MB, a
second); here it copies the nodes that it touches. Private names relied on (asyncua 2.1.0, pinned):
``AddressSpace._nodes``, ``NodeData``, ``AttributeValue``, ``InternalSession``'s counters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from dataclasses import replace
from functools import cache
from typing import Any

from asyncua import ua
from asyncua.crypto.permission_rules import UserRole
from asyncua.server.address_space import (
    AddressSpace,
    AttributeValue,
    NodeData,
    NodeManagementService,
)
from asyncua.server.internal_server import InternalServer
from asyncua.server.internal_session import InternalSession
from asyncua.server.server import Server
from asyncua.server.standard_address_space import standard_address_space

from twinloop.devices.opcua import items, reading
from twinloop.devices.opcua.items import require_times, with_times

_VALUE: Any = getattr(ua, "AttributeIds").Value  # noqa: B009  # asyncua exports it without saying so
_ACCESS_LEVEL: Any = getattr(ua, "AttributeIds").AccessLevel  # noqa: B009
NAMESPACE = "urn:twinloop"
"""of the variables of a device"""
_COUNTERS = {"_counter": 10, "_auth_counter": 1000, "_current_connections": 0, "max_connections": 1 << 30}
"""class attributes of InternalSession, as they are when it is imported; but the last, a limit over all
servers of a process (each has its own, too)"""


def _copy(node: NodeData) -> NodeData:
    """A node of one's own; values are shared: asyncua replaces them (where it changes a list in place, that
    is a server's own)."""
    mine = NodeData(node.nodeid)
    mine.call, mine.references = node.call, list(node.references)
    for key, attribute in node.attributes.items():
        assert attribute.value is not None
        mine.attributes[key] = AttributeValue(attribute.value)
    return mine


class StandardSpace:
    """The standard nodes (OPC 10000-5), filled once; nobody changes them. ``nodes``: id -> node."""

    def __init__(self) -> None:
        space = AddressSpace()
        standard_address_space.fill_address_space(NodeManagementService(space))  # type: ignore[no-untyped-call]
        self.nodes: dict[Any, NodeData] = dict(space._nodes)


@cache
def standard_space() -> StandardSpace:
    """The one that all servers of the process share."""
    return StandardSpace()


class NodeOverlay(MutableMapping[Any, NodeData]):
    """Nodes of one server: its own, and copies of the standard ones, made when they are looked at."""

    def __init__(self, standard: StandardSpace) -> None:
        self._standard = standard.nodes
        self._own: dict[Any, NodeData] = {}
        self._gone: dict[Any, None] = {}

    @property
    def copied(self) -> int:
        """Standard nodes that were copied, and nodes of its own."""
        return len(self._own)

    def __getitem__(self, key: Any) -> NodeData:
        mine = self._own.get(key)
        if mine is None:
            if key in self._gone:
                raise KeyError(key)
            mine = self._own[key] = _copy(self._standard[key])
        return mine

    def get(self, key: Any, default: Any = None) -> Any:
        """A node of its own at once; else as any mapping."""
        mine = self._own.get(key)
        return super().get(key, default) if mine is None else mine

    def __setitem__(self, key: Any, node: NodeData) -> None:
        self._own[key] = node
        self._gone.pop(key, None)

    def __delitem__(self, key: Any) -> None:
        if key not in self:
            raise KeyError(key)
        self._own.pop(key, None)
        if key in self._standard:
            self._gone[key] = None

    def __contains__(self, key: object) -> bool:
        return key in self._own or (key in self._standard and key not in self._gone)

    def __iter__(self) -> Iterator[Any]:
        yield from [key for key in self._standard if key not in self._gone]
        yield from [key for key in self._own if key not in self._standard]

    def __len__(self) -> int:
        return len(self._standard) - len(self._gone) + sum(key not in self._standard for key in self._own)


DEVIATIONS = (
    "a deadband is held against the value that was reported last, and what is no number passes it "
    "(asyncua: the value looked at last; it trips)",
    "a filter that is no data change filter is BadMonitoredItemFilterUnsupported, a percent deadband of a "
    "node without EURange BadFilterNotAllowed "
    "(asyncua: accepted and ignored, or trips at the first value)",
    "RevisedSamplingInterval is how often the device's values move (asyncua: the publishing interval)",
    "Republish of what isn't there any more is BadMessageNotAvailable, and what is there stays until it is "
    "acknowledged "
    "(asyncua: Good without a message; it is sent again once)",
    "a value has the timestamps that were asked for, others than the four that exist are "
    "BadTimestampsToReturnInvalid (asyncua: always both)",
    "ModifyMonitoredItems revises the queue as CreateMonitoredItems does, an unknown item is "
    "BadMonitoredItemIdInvalid (asyncua: no limit; it trips)",
    "beside what an item's queue has let go stands the Overflow bit, and DiscardOldest false keeps the "
    "oldest (asyncua: neither)",
    "a queue of 0 is one of a single value (asyncua: of as many as there may be)",
    "an index range of what is no array is BadIndexRangeNoData, one that can't be read "
    "BadIndexRangeInvalid (asyncua: it is ignored)",
    "a write with an index range, or with a status that isn't Good, is BadWriteNotSupported (asyncua: the "
    "one is ignored, the other taken)",
    "a write to a node that doesn't exist is BadNodeIdUnknown (asyncua: BadUserAccessDenied)",
    "a write to a node that isn't writable is BadNotWritable (asyncua: BadUserAccessDenied)",
)
"""where these servers answer otherwise than asyncua 2.1.0 (OPC 10000-4 section 5.11.4.4), which is otherwise
taken as it is; each has a test"""
items.install()
reading.install()
_NODE_UNKNOWN, _NOT_WRITABLE = 0x80340000, 0x803B0000
_WRITE_NOT_SUPPORTED, _RANGE_INVALID, _RANGE_NO_DATA = 0x80730000, 0x80360000, 0x80370000
_RANGE = re.compile(r"([0-9]{1,10})(?::([0-9]{1,10}))?")
"""of one dimension (OPC 10000-4 section 7.27)"""


def _ranged(value: Any, index_range: str | None) -> Any:
    """A DataValue's part that was asked for. Arrays of one dimension and strings are all that these servers
    have."""
    if (
        not index_range
        or value.Value is None
        or (value.StatusCode is not None and value.StatusCode.value >> 31)
    ):
        return value
    found = _RANGE.fullmatch(index_range)
    first, last = (int(found[1]), int(found[2] or found[1])) if found else (0, 0)
    if found is None or (found[2] is not None and last <= first):
        return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(_RANGE_INVALID)))
    held = value.Value.Value
    part = held[first : last + 1] if isinstance(held, list | str | bytes) else None
    if not part:
        return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(_RANGE_NO_DATA)))
    return replace(value, Value=ua.Variant(part, value.Value.VariantType))


class _Attributes(reading.Served):
    """The attribute service with DEVIATIONS."""

    def read(self, params: Any) -> list[Any]:
        """A DataValue for each node, in order, with the timestamps that were asked for."""
        wanted = require_times(params.TimestampsToReturn)
        found = zip(super().read(params), params.NodesToRead, strict=True)
        return [
            with_times(_ranged(value, one.IndexRange) if one.IndexRange else value, wanted)
            for value, one in found
        ]

    async def write(self, params: Any, user: Any = None) -> list[Any]:
        """A StatusCode for each value, in order."""
        if user is None or user.role is UserRole.Admin:  # the server itself
            return await (super().write(params) if user is None else super().write(params, user))
        results: list[Any] = []
        for one in params.NodesToWrite:
            if one.NodeId not in self._aspace._nodes:
                results.append(ua.StatusCode(ua.UInt32(_NODE_UNKNOWN)))
                continue
            status = one.Value.StatusCode if one.Value is not None else None
            if one.IndexRange or (status is not None and status.value >> 30):
                results.append(ua.StatusCode(ua.UInt32(_WRITE_NOT_SUPPORTED)))
                continue
            alone = ua.WriteParameters(NodesToWrite=[one])
            level = self._aspace.read_attribute_value(one.NodeId, _ACCESS_LEVEL).Value
            if one.AttributeId == _VALUE and level is not None and not level.Value & 2:
                results.append(ua.StatusCode(ua.UInt32(_NOT_WRITABLE)))
            else:
                results += await super().write(alone, user)
        return results


class LeanInternalServer(InternalServer):
    """asyncua's, over an overlay."""

    def __init__(self, standard: StandardSpace) -> None:
        self._standard = standard
        super().__init__()
        self.attribute_service = _Attributes(self.aspace)

    async def load_standard_address_space(self, shelf_file: Any = None) -> None:
        """Nothing is filled: the overlay is put in."""
        self.aspace._nodes = NodeOverlay(self._standard)  # type: ignore[assignment]  # a mapping like the dict that it replaces


def fresh_counters() -> None:
    """Session numbers are class attributes of asyncua: of the process. Before each run they are what they
    were."""
    for name, value in _COUNTERS.items():
        setattr(InternalSession, name, value)


def _node_id(name: str, namespace: int) -> ua.NodeId:
    return ua.NodeId(ua.String(name), ua.Int16(namespace))


async def serve(
    standard: StandardSpace, device: str, host: str, port: int, values: dict[str, float]
) -> tuple[Server, dict[str, Any]]:
    """Start a server (SecurityPolicy None, no clock of its own) with a variable for each of ``values``;
    returns it and its nodes by name.

    Stop it with ``await server.stop()``. Raises OSError when the port is taken.
    """
    server = Server(iserver=LeanInternalServer(standard))
    await server.init()
    server.disable_clock()
    server.set_endpoint(f"opc.tcp://{host}:{port}/")
    server.set_server_name(device)
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    namespace = await server.register_namespace(NAMESPACE)
    folder = await server.nodes.objects.add_object(_node_id(device, namespace), f"{namespace}:{device}")
    nodes = {}
    for name, value in values.items():
        nodes[name] = await folder.add_variable(
            _node_id(f"{device}.{name}", namespace), f"{namespace}:{name}", float(value)
        )
    await server.start()
    return server, nodes
