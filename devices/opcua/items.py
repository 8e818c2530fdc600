"""Monitored items as the standard has them: filters checked when they are made, deadbands against what was
reported last, one item's trouble its own.

Belongs here: where asyncua 2.1.0's monitored items and Republish depart from OPC 10000-4 sections 5.13,
5.14.6 and 7.22 (each has a test). Never: Publish, which is asyncua's. Relied on privately:
``MonitoredItemService``'s methods, ``InternalSubscription``'s import of it by name, what it keeps until it is
acknowledged.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import replace
from typing import Any
from weakref import WeakKeyDictionary

from asyncua import ua
from asyncua.common.utils import ServiceError
from asyncua.server import internal_subscription
from asyncua.server.monitored_item_service import MonitoredItemService
from asyncua.server.subscription_service import SubscriptionService
from asyncua.ua import uaprotocol_auto

_FILTER_UNSUPPORTED, _FILTER_NOT_ALLOWED, _DEADBAND_INVALID = 0x80440000, 0x80450000, 0x808E0000
"""BadMonitoredItemFilterUnsupported, BadFilterNotAllowed, BadDeadbandFilterInvalid (OPC 10000-4 section
7.22.2, OPC 10000-8 section 7.2)"""
_MESSAGE_NOT_AVAILABLE, _SUBSCRIPTION_ID_INVALID = 0x807B0000, 0x80280000
"""BadMessageNotAvailable, BadSubscriptionIdInvalid"""
_NUMBERS = range(2, 12)
"""identifiers of the built-in types SByte to Double (OPC 10000-6 table 1)"""
_ITEM_UNKNOWN = 0x80420000
"""BadMonitoredItemIdInvalid"""
_STATUS, _STATUS_VALUE_TIMESTAMP = 0, 2
_NONE, _ABSOLUTE, _PERCENT = 0, 1, 2
PERCENT_MAX = 100.0
DATA_QUEUE = 1
"""values of an item for which a queue of 0 was asked, which means the server's default: for data that is one
(section 7.21); an event's items keep asyncua's"""
OVERFLOW = 0x480
"""in a StatusCode: values of this item were lost"""


_TIMES_INVALID = 0x802B0000
"""BadTimestampsToReturnInvalid"""
SOURCE, SERVER, BOTH, NEITHER = range(4)
"""TimestampsToReturn (OPC 10000-4 section 7.40)"""


def with_times(value: Any, wanted: int) -> Any:
    """A value with the timestamps that were asked for (OPC 10000-4 section 7.40): itself, or a copy."""
    if wanted == BOTH or value is None:
        return value
    source = value.SourceTimestamp if wanted == SOURCE else None
    return replace(
        value, SourceTimestamp=source, ServerTimestamp=value.ServerTimestamp if wanted == SERVER else None
    )


def require_times(wanted: Any) -> int:
    """Which timestamps are asked for; raises asyncua's ServiceError for what the standard doesn't know."""
    number = int(wanted)
    if number not in (SOURCE, SERVER, BOTH, NEITHER):
        raise ServiceError(_TIMES_INVALID)
    return number


LOOKING: ContextVar[bool] = ContextVar("LOOKING", default=False)
"""is a node being looked at for a monitored item? What is found then goes out with a Publish, if at all"""
WATCHED: WeakKeyDictionary[Any, tuple[Any, Callable[[list[Any]], None]]] = WeakKeyDictionary()
"""address space -> (a node, who is told of its values in each Publish that goes out)"""


class _Notification(ua.MonitoredItemNotification):
    """``of``: the node whose value it says, whatever becomes of the item that it was made for."""

    __slots__ = ("of",)
    of: Any


class Items(MonitoredItemService):
    """The monitored items of one subscription. ``on_trouble``: told of each item that a library's exception
    ended."""

    on_trouble: Callable[[str], None] = staticmethod(lambda what: None)
    step_ms: Callable[[Any], float] = staticmethod(lambda node: 0.0)
    """how often a node is looked at, 0 if that isn't known"""

    def __init__(self, isub: Any, aspace: Any) -> None:
        super().__init__(isub, aspace)
        self._times = BOTH
        told = isub.pub_result_callback

        async def published(result: Any, *more: Any, **named: Any) -> Any:
            if self.aspace in WATCHED:
                node, tell = WATCHED[self.aspace]
                tell(self._values_of(node, result))
            return await told(result, *more, **named)

        isub.pub_result_callback = published

    @staticmethod
    def _values_of(node: Any, result: Any) -> list[Any]:
        """What a Publish says of a node, in its order, whatever has become of the item since."""
        data = result.NotificationMessage.NotificationData or ()
        told = [
            one
            for part in data
            for one in getattr(part, "MonitoredItems", None) or ()
            if isinstance(one, _Notification) and one.of == node
        ]
        return [
            one.Value.Value.Value for one in told if one.Value is not None and one.Value.Value is not None
        ]

    async def create_monitored_items(self, params: Any) -> Any:
        """Each item tells the timestamps that were asked for with it."""
        self._times = require_times(params.TimestampsToReturn)
        return await super().create_monitored_items(params)

    def modify_monitored_items(self, params: Any) -> Any:
        """As they are made."""
        self._times = require_times(params.TimestampsToReturn)
        return super().modify_monitored_items(params)

    async def trigger_datachange(self, handle: int, nodeid: Any, attr: Any) -> None:
        """The first look at a node, for an item."""
        token = LOOKING.set(True)
        try:
            await super().trigger_datachange(handle, nodeid, attr)
        finally:
            LOOKING.reset(token)

    def _make_monitored_item_common(self, params: Any) -> Any:
        made: tuple[Any, Any] = super()._make_monitored_item_common(params)
        result, item = made
        step = type(self).step_ms(self.aspace)
        if step:
            result.RevisedSamplingInterval = step  # (asyncua: the publishing interval)
        item.discard_oldest, item.times = bool(params.RequestedParameters.DiscardOldest), self._times
        return result, item

    def _modify_monitored_item(self, params: Any) -> Any:
        """As it is made (asyncua: an unlimited queue is taken for one of no length, an unknown item
        trips)."""
        result = ua.MonitoredItemModifyResult()
        item: Any = self._monitored_items.get(params.MonitoredItemId)
        wanted = params.RequestedParameters
        new = _filter_of(wanted)
        refused = _ITEM_UNKNOWN if item is None else self._refused(item.read_value_id.NodeId, new)
        if refused:
            result.StatusCode = ua.StatusCode(ua.UInt32(refused))
            return result
        result.RevisedSamplingInterval = type(self).step_ms(self.aspace) or wanted.SamplingInterval
        result.RevisedQueueSize = item.queue_size = self._revise_queue_size(wanted.QueueSize or DATA_QUEUE)
        item.client_handle = wanted.ClientHandle
        item.discard_oldest = bool(wanted.DiscardOldest)
        item.times = self._times
        item.filter = new if new is not None else item.filter
        waiting = self.isub._triggered_datachanges.get(params.MonitoredItemId, [])
        if len(waiting) > item.queue_size:
            kept = waiting[-item.queue_size :] if item.discard_oldest else waiting[: item.queue_size]
            if len(kept) > 1:
                _overflown(kept[0 if item.discard_oldest else -1])
            waiting[:] = kept
        return result

    async def _create_data_change_monitored_item(self, params: Any) -> Any:
        wanted = params.RequestedParameters
        wanted.QueueSize = wanted.QueueSize or DATA_QUEUE
        wanted.Filter = _filter_of(wanted)
        refused = self._refused(params.ItemToMonitor.NodeId, wanted.Filter)
        if refused:
            result = ua.MonitoredItemCreateResult()
            result.StatusCode = ua.StatusCode(ua.UInt32(refused))
            return result
        return await super()._create_data_change_monitored_item(params)

    def _refused(self, node: Any, wanted: Any) -> int:
        """The StatusCode for a filter that can't be had here, 0 for one that can."""
        if wanted is None:
            return 0
        if not isinstance(wanted, uaprotocol_auto.DataChangeFilter):
            return _FILTER_UNSUPPORTED
        kind = int(wanted.DeadbandType or 0)
        if kind == _NONE:
            return 0
        value = wanted.DeadbandValue
        if (
            kind not in (_ABSOLUTE, _PERCENT)
            or not isinstance(value, int | float)
            or not 0 <= value <= (PERCENT_MAX if kind == _PERCENT else value)
        ):
            return _DEADBAND_INVALID
        shown = self.aspace.read_attribute_value(node, ua.AttributeIds.DataType).Value  # type: ignore[attr-defined]
        identifier = None if shown is None or shown.Value is None else shown.Value.Identifier
        if identifier is not None and identifier not in _NUMBERS:
            return _FILTER_NOT_ALLOWED
        return _FILTER_NOT_ALLOWED if kind == _PERCENT and self._range(node) is None else 0

    def _range(self, node: Any) -> float | None:
        """How wide the EURange of a node is; None when it has none."""
        found = self.aspace._nodes.get(node)
        for reference in found.references if found is not None else ():
            if reference.BrowseName is not None and reference.BrowseName.Name == "EURange":
                held = self.aspace.read_attribute_value(reference.NodeId, ua.AttributeIds.Value).Value  # type: ignore[attr-defined]
                span = None if held is None else held.Value
                width = None if span is None else float(span.High) - float(span.Low)
                return width if width is not None and width > 0 else None
        return None

    async def datachange_callback(self, handle: int, value: Any, error: Any = None) -> None:
        """News for one item: whatever goes wrong with it is that item's end, and nobody else's."""
        try:
            await self._look(handle, value, error)
        except Exception as failure:  # noqa: BLE001  # a library's exception, or ours: other clients wait behind this one
            self._monitored_datachange.pop(handle, None)
            self.aspace.delete_datachange_callback(handle)
            type(self).on_trouble(repr(failure)[:200])

    async def _look(self, handle: int, value: Any, error: Any) -> None:
        if error:
            await super().datachange_callback(handle, value, error)
            return
        number = self._monitored_datachange[handle]
        item: Any = self._monitored_items[number]
        if item.mode != ua.MonitoringMode.Reporting:
            return
        # what was reported last (asyncua: what was looked at last)
        before = item.mvalue.get_current_datavalue()
        if before is not None and not self._news(before, value, item):
            return
        item.mvalue.set_current_datavalue(value)
        event = _Notification()
        event.ClientHandle, event.Value = item.client_handle, with_times(value, item.times)
        event.of = item.read_value_id.NodeId
        await self._queue(number, event, item)

    async def _queue(self, number: int, event: Any, item: Any) -> None:
        """What doesn't fit into an item's queue is let go, and its neighbour says so (section 5.13.1.5; a
        queue of one value never does)."""
        waiting = self.isub._triggered_datachanges.get(number)
        if waiting is None or not item.queue_size or len(waiting) < item.queue_size:
            await self.isub.enqueue_datachange_event(number, event, 0)
        elif item.queue_size == 1:
            waiting[0] = event
        elif item.discard_oldest:
            waiting.pop(0)
            waiting.append(event)
            _overflown(waiting[0])
        else:
            _overflown(event)
            waiting[-1] = event

    def _news(self, before: Any, value: Any, item: Any) -> bool:
        """Has it changed as the item's filter wants it (OPC 10000-4 section 7.22.2)?"""
        wanted = item.filter
        trigger = 1 if wanted is None else int(wanted.Trigger)
        kind = _NONE if wanted is None else int(wanted.DeadbandType or 0)
        if before.StatusCode != value.StatusCode:
            return True
        if (
            trigger == _STATUS_VALUE_TIMESTAMP
            and kind == _NONE
            and before.SourceTimestamp != value.SourceTimestamp
        ):
            return True  # with a deadband it is as STATUS_VALUE
        old, new = (None if one is None else one.Value for one in (before.Value, value.Value))
        if trigger == _STATUS or before.Value == value.Value or (_is_nan(old) and _is_nan(new)):
            return False  # of no number there is one notification, when it begins to be none
        if (
            kind == _NONE
            or not isinstance(old, int | float)
            or not isinstance(new, int | float)
            or new - new != 0.0
            or old - old != 0.0
        ):
            return True
        width = float(wanted.DeadbandValue)
        if kind == _PERCENT:
            width *= (self._range(item.read_value_id.NodeId) or 0.0) / PERCENT_MAX
        return bool(abs(new - old) > width)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and value != value  # noqa: PLR0124


def _filter_of(wanted: Any) -> Any:
    """The filter of requested parameters; the null extension object asks for nothing."""
    found = wanted.Filter
    return (
        None
        if isinstance(found, ua.ExtensionObject) and not found.TypeId.Identifier and not found.Body
        else found
    )


def _overflown(event: Any) -> None:
    """Beside this one another was let go (section 7.39.1: InfoType DataValue, Overflow)."""
    status = event.Value.StatusCode.value if event.Value.StatusCode is not None else 0
    event.Value = replace(event.Value, StatusCode=ua.StatusCode(ua.UInt32(status | OVERFLOW)))


def _republished(subscription: Any, number: int) -> Any:
    """A notification stays until it is acknowledged, however often it is asked for (OPC 10000-4 section
    5.14.6)."""
    kept = subscription._not_acknowledged_results.get(number)
    if kept is None:
        raise ServiceError(_MESSAGE_NOT_AVAILABLE)
    return kept.NotificationMessage


def _republish(service: Any, params: Any) -> Any:
    subscription = service.subscriptions.get(params.SubscriptionId)
    if subscription is None:
        raise ServiceError(_SUBSCRIPTION_ID_INVALID)
    return subscription.republish(params.RetransmitSequenceNumber)


def install() -> None:
    """From now on asyncua's subscriptions have these items, and know what they can't send again."""
    vars(internal_subscription)["MonitoredItemService"] = Items
    internal_subscription.InternalSubscription.republish = _republished  # type: ignore[method-assign, assignment]
    SubscriptionService.republish = _republish  # type: ignore[method-assign, assignment]
