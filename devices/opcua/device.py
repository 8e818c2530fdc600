"""A device as an OPC UA server: its nodes under an object of its name, read and written through its node
image, and its faults.

Belongs here: asyncua's side of a device, and bytes that a faulty server sends. Never: sockets or the loop (it
runs on whatever loop it is started on), what a node holds (nodes.py). Relied on privately (asyncua 2.1.0,
pinned): ``AddressSpace.write_attribute_value``, ``BinaryServer.clients``, ``UaProcessor.session``.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from asyncua import ua
from asyncua.common.callback import CallbackType
from asyncua.server.internal_session import InternalSession
from asyncua.server.server import Server

from twinloop.devices.model.device import Device
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.devices.model.nodes import NodeImage, NodeValue, node_id
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.devices.opcua.faults import ORDER, SPOIL, is_fault, renumbered, sequence_numbers
from twinloop.devices.opcua.items import LOOKING, WATCHED, Items
from twinloop.devices.opcua.limits import OPERATIONS_MAX, bound_operations, limit_strangers
from twinloop.devices.opcua.server import NAMESPACE, LeanInternalServer, StandardSpace
from twinloop.devices.opcua.shown import KINDS, DateTimes, Shown, data_value, variant_of

S = 1_000_000_000
PORT = 4840
"""registered for OPC UA (IANA, opcua-tcp)"""
# what clients do wrong is told in the answer; a fleet's warnings are nobody's
logging.getLogger("asyncua").setLevel(logging.CRITICAL)
_VALUE: Any = getattr(ua, "AttributeIds").Value  # noqa: B009  # asyncua exports it without saying so
_STATUS, _CURRENT_TIME = ua.NodeId.from_string("i=2256"), ua.NodeId.from_string("i=2258")
"""Server_ServerStatus, and its CurrentTime"""
_AT_REST = {
    "i=2992": ua.Variant(0, ua.VariantType.UInt32),
    "i=2993": ua.Variant(ua.LocalizedText(""), ua.VariantType.LocalizedText),
    "i=2994": ua.Variant(False, ua.VariantType.Boolean),
}
"""SecondsTillShutdown, ShutdownReason, Auditing, which asyncua leaves without a value; StartTime is i=2257"""
UNSAID_MAX = 1000
"""channels of one server of which it is known how many chunks were never sent: of more, the oldest is
forgotten"""
LOOKS_MIN, LOOKS_A_POINT, LOOKS_A_POINT_MAX = 64, 12, 1000
"""how many of the last looks at nodes are kept: at least; of each point; of each at most, however many a
publishing interval brings"""


_STEP_MS: WeakKeyDictionary[Any, float] = WeakKeyDictionary()
Items.step_ms = staticmethod(lambda space: _STEP_MS.get(space, 0.0))


def host_of(device: str) -> str:
    """The host name of a device: a URL has no room for its slash."""
    return device.replace("/", "-")


def endpoint(device: str) -> str:
    """Where its server is found."""
    return f"opc.tcp://{host_of(device)}:{PORT}/"


class _Counted:
    """The point of which somebody counts in what answers it is said; ``index`` -1: none."""

    __slots__ = ("carried", "index")

    def __init__(self) -> None:
        self.index = -1
        self.carried: dict[Any, list[int]] = {}
        """task -> values of the point in the answer that it is about to write"""


class OpcUaServer:
    """One device's server. ``now``: the timeline's ns; ``epoch_ns``: ns since 1970 at its 0. ``start`` it,
    then it has a listener.
    ``looks``: at each point, that may be on their way to a client at once."""

    def __init__(
        self, device: Device, standard: StandardSpace, now: Callable[[], int], epoch_ns: int, looks: int = 0
    ) -> None:
        self.device = device
        self.image = NodeImage(device)
        self.listens_at = (host_of(device.name), PORT)
        """(host, port); change it before ``start``"""
        self._now = now
        self._times = DateTimes(epoch_ns)
        self._server = Server(iserver=LeanInternalServer(standard))
        self._index: dict[Any, int] = {}
        self._told_by_us: dict[Any, Callable[[Any, Any], ua.DataValue]] = {}
        """nodes of the server itself whose values move"""
        self._status: Any = None
        self._sampler: asyncio.Task[None] | None = None
        self.sampled_from_outside = False
        """somebody calls ``sample``; else monitored nodes are looked at when the device steps"""
        self.faults: list[Misbehaviour] = []
        self.slow_ns = 0
        """how much longer the answer that was spoilt last takes"""
        self.untouched = True
        """what it says is what went into ``spoilt`` last"""
        self._unsaid: dict[bytes, int] = {}
        """channel -> chunks that a silent server, or one that says a fault instead, kept to itself: they use
        no sequence number"""
        self._counted = _Counted()
        self._looked = 0
        kept = LOOKS_MIN + min(LOOKS_A_POINT + looks, LOOKS_A_POINT_MAX) * len(self.image.types)
        self.looks: deque[tuple[int, int, NodeValue]] = deque(maxlen=kept)
        """(number, point, what was told) of the last looks at nodes, for who wants to know what was shown"""
        self.on_look: Callable[[int, NodeValue], None] | None = None
        self.on_write: Callable[[int], None] = lambda point: None
        """told of each look at a point's node, and of each write that it took"""

    async def stop(self) -> None:
        """Close every session and listen no more."""
        if self._sampler is not None:
            self._sampler.cancel()
        await self._server.stop()

    async def start(self) -> None:
        """Make its nodes and listen; raises OSError when the port is taken."""
        server, model = self._server, self.device.model
        await server.init()
        server.disable_clock()
        server.set_endpoint(f"opc.tcp://{self.listens_at[0]}:{self.listens_at[1]}/")
        server.set_server_name(self.device.name)
        server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
        if model.nodeset:
            await server.import_xml(xmlstring=model.nodeset)
        else:
            await self._make_nodes()
        space = server.iserver.aspace
        look = self._look
        for index, point in enumerate(model.points):
            identity = ua.NodeId.from_string(node_id(point))
            self._index[identity] = index
            shown = Shown(index, KINDS[self.image.types[index]], look, self._times)
            if space.set_attribute_value_callback(identity, _VALUE, shown).value:
                raise ValueError(f"{model.name}: the server has no node {node_id(point)}")
        self._told_by_us[_CURRENT_TIME] = self._clock
        space.set_attribute_value_callback(_CURRENT_TIME, _VALUE, self._clock)
        _STEP_MS[space] = model.step_ns / 1e6
        server.iserver.callback_service.addListener(CallbackType.ItemSubscriptionCreated, self._subscribed)  # type: ignore[arg-type]  # asyncua declares a str and uses these
        space.write_attribute_value = partial(self._write, space.write_attribute_value)  # type: ignore[method-assign]  # a write to a node of ours is the device's business
        await server.start()
        bound_operations(server)
        began = self._times.of(self._now())
        limits = {node: ua.Variant(most, ua.VariantType.UInt32) for most, node in OPERATIONS_MAX.values()}
        for node, variant in {
            **_AT_REST,
            **limits,
            "i=2257": ua.Variant(began, ua.VariantType.DateTime),
        }.items():
            await server.get_node(node).write_value(ua.DataValue(variant))
        self._status = replace(await server.get_node(_STATUS).read_value(), StartTime=began)
        self._told_by_us[_STATUS] = self._server_status
        space.set_attribute_value_callback(_STATUS, _VALUE, self._server_status)

    def count(self, index: int) -> None:
        """Keep what each answer says of that point: ``take_carried``."""
        self._counted.index = index
        node = next(identity for identity, point in self._index.items() if point == index)
        WATCHED[self._server.iserver.aspace] = node, self._carry

    def _carry(self, values: list[Any]) -> None:
        if values:
            self._counted.carried.setdefault(asyncio.current_task(), []).extend(
                int(value) for value in values
            )

    def counted(self) -> bool:
        """Is the counted point monitored by somebody? What he hasn't been told yet waits in a queue."""
        return any(self._index.get(identity) == self._counted.index for identity, _ in self._monitored())

    def take_carried(self) -> list[int]:
        """Values of the counted point in the answer that is being written now: a Read's own, or all that a
        Publish brings."""
        return self._counted.carried.pop(asyncio.current_task(), [])

    def limit(self) -> None:
        """Strangers may come: what they ask for is revised."""
        limit_strangers(self._server)

    async def _make_nodes(self) -> None:
        """A variable for each point, below an object that is the device."""
        server, model = self._server, self.device.model
        namespace = await server.register_namespace(NAMESPACE)
        folder = await server.nodes.objects.add_object(
            ua.NodeId(ua.String(model.name), ua.Int16(namespace)), f"{namespace}:{self.device.name}"
        )
        for index, point in enumerate(model.points):
            kind = KINDS[self.image.types[index]]
            node = await folder.add_variable(
                ua.NodeId.from_string(node_id(point)),
                f"{namespace}:{point.name}",
                variant_of(kind, 0.0),
                kind.type,
            )
            if point.writable:
                await node.set_writable()

    # ---- nodes -----------------------------------------------------------------------------------
    def _look(self, index: int) -> tuple[NodeValue, int]:
        """What a point's node tells now, and when that is; whoever counts looks knows of it."""
        now_ns = self._now()
        told = self.image.read(index, now_ns)
        self._looked += 1
        self.looks.append((self._looked, index, told))
        if self.on_look is not None:
            self.on_look(index, told)
        if index == self._counted.index and not LOOKING.get():
            self._carry([told.value])
        return told, now_ns

    def _read(self, identity: Any, attribute: Any) -> ua.DataValue:
        index = self._index[identity]
        told, now_ns = self._look(index)
        return data_value(KINDS[self.image.types[index]], told, now_ns, self._times)

    def _clock(self, identity: Any, attribute: Any) -> ua.DataValue:
        """The server's CurrentTime (OPC 10000-5 section 6.3.2): its timeline's."""
        time = self._times.of(self._now())
        return ua.DataValue(
            ua.Variant(time, ua.VariantType.DateTime), SourceTimestamp=time, ServerTimestamp=time
        )

    def _server_status(self, identity: Any, attribute: Any) -> ua.DataValue:
        """All of ServerStatus (OPC 10000-5 section 12.10): as it was when the server began, but for the
        time."""
        time = self._times.of(self._now())
        value = ua.Variant(replace(self._status, CurrentTime=time), ua.VariantType.ExtensionObject)
        return ua.DataValue(value, SourceTimestamp=time, ServerTimestamp=time)

    async def _write(
        self, standard: Any, identity: Any, attribute: Any, value: ua.DataValue
    ) -> ua.StatusCode:
        index = self._index.get(identity)
        if index is None or attribute != _VALUE:
            status: ua.StatusCode = await standard(identity, attribute, value)
            return status
        if (
            index == self._counted.index
        ):  # of a judge: a client's write to it would be another client's sample
            return ua.StatusCode(ua.UInt32(STATUS_CODES["BadNotWritable"]))
        variant = value.Value
        if variant is None or variant.VariantType.name != self.image.types[index] or variant.is_array:
            return ua.StatusCode(ua.UInt32(STATUS_CODES["BadTypeMismatch"]))
        code = self.image.write(index, float(variant.Value), self._now())
        if not code >> 31:
            self.on_write(index)
        return ua.StatusCode(ua.UInt32(code))

    # ---- monitored items -------------------------------------------------------------------------
    async def sample(self) -> None:
        """Look at every monitored node now; asyncua's filters say what is news."""
        looking = LOOKING.set(True)
        found = [
            (attribute, self._told_by_us.get(identity, self._read)(identity, _VALUE))
            for identity, attribute in self._monitored()
        ]
        LOOKING.reset(looking)
        for attribute, value in found:
            for handle, told in list(attribute.datachange_callbacks.items()):
                await told(handle, value)  # what goes wrong with one item ends that item (items.py)

    def watches(self, protocol: Any) -> bool:
        """Is something monitored over that connection of ours?"""
        session = (
            protocol.processor.session if protocol is not None and protocol.processor is not None else None
        )
        if session is None or not session.is_activated():
            return False
        subscriptions = session.subscription_service.subscriptions.values()
        return any(
            one.session_id == session.session_id and one.monitored_item_srv._monitored_items
            for one in subscriptions
        )

    async def _subscribed(self, event: Any, service: Any) -> None:
        if self.sampled_from_outside:
            return
        if self._sampler is None or self._sampler.done():
            self._sampler = asyncio.ensure_future(self._sample())

    def _monitored(self) -> list[tuple[Any, Any]]:
        """(node, its Value attribute) of what somebody subscribes to."""
        nodes = self._server.iserver.aspace._nodes
        found = [
            (identity, nodes[identity].attributes[_VALUE]) for identity in [*self._index, *self._told_by_us]
        ]
        return [(identity, attribute) for identity, attribute in found if attribute.datachange_callbacks]

    async def _sample(self) -> None:
        """At each step of the device its monitored nodes are looked at. Ends when nobody subscribes."""
        step_ns = self.device.model.step_ns
        while True:
            await asyncio.sleep((step_ns - self._now() % step_ns) / S)
            if not self._monitored():
                return
            await self.sample()

    # ---- faults ----------------------------------------------------------------------------------
    def misbehave(self, fault: Misbehaviour) -> Callable[[], None]:
        """A fault of the protocol begins; returns what ends it."""
        if fault.kind == "session-kill":
            self.kill_sessions(fault.hits)
            return lambda: None
        self.faults.append(fault)
        return lambda: self.faults.remove(fault)

    def kill_sessions(self, hits: Callable[[], bool] = lambda: True) -> None:
        """The server knows none of its sessions any more, or none of those that are hit; connections and
        channels stay."""
        listening: Any = self._server.bserver
        for client in listening.clients:
            session = client.processor.session
            if session and hits():
                if session.is_activated():
                    InternalSession._current_connections -= 1
                session.state = type(session.state).Closed
                session.iserver.unregister_external_session(session)
                client.processor.session = _Forgotten(session)

    def spoilt(self, answer: bytes) -> bytes | None:
        """What goes out instead of a chunk or message, None for silence; sets ``slow_ns``."""
        self.slow_ns, self.untouched = 0, True
        if not self.faults and not self._unsaid:
            return answer
        out: bytes | None = answer
        for fault in (
            sorted(self.faults, key=lambda fault: ORDER.index(fault.kind))
            if len(self.faults) > 1
            else self.faults
        ):
            if out is not None and fault.hits():
                if fault.kind == "slow":
                    self.slow_ns += fault.amount
                else:
                    out = SPOIL[fault.kind](out, fault.amount)
        self.untouched = out == answer
        unsaid, channel = 0, answer[8:12]
        if channel in self._unsaid:
            # the channel that is used last is forgotten last
            unsaid = self._unsaid[channel] = self._unsaid.pop(channel)
        more = (
            len(sequence_numbers(answer)) - (0 if out is None else 1)
            if out is None or (not self.untouched and is_fault(out))
            else 0
        )
        if more:
            self._unsaid[channel] = unsaid + more
            if len(self._unsaid) > UNSAID_MAX:
                del self._unsaid[next(iter(self._unsaid))]
        return out if out is None or not unsaid else renumbered(out, unsaid)


class _Forgotten:
    """In the place of a session that isn't known any more: whatever needs one is BadSessionIdInvalid (OPC
    10000-4 section 5.6). asyncua says that where its session is false, and ends the channel where it is
    None."""

    external = True

    def __init__(self, session: Any) -> None:
        self.user = session.user
        self.session_timeout = session.session_timeout
        self.session_id = session.session_id

    def __bool__(self) -> bool:
        return False

    def touch(self) -> None:
        """There is nothing to keep alive."""

    def is_activated(self) -> bool:
        """No."""
        return False
