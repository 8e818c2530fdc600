"""Monitored items as the standard has them (OPC 10000-4 sections 5.13 and 7.22), asked by asyncua's own
client on both arms: one client's filter harms nobody else, deadbands are held against what was reported last,
what can't be had is refused."""

from __future__ import annotations

import asyncio
import itertools
from dataclasses import replace
from typing import Any

import pytest
from asyncua import Client, ua

from tests.conformance.arms import Program, loopback_opcua, simulated_opcua
from twinloop.devices.catalogue.catalog import model
from twinloop.devices.model.device import Device
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.model.signal import Signal
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.devices.opcua.device import OpcUaServer
from twinloop.devices.opcua.items import WATCHED, Items

ARMS: dict[str, Any] = {"simulated": simulated_opcua, "loopback": loopback_opcua}
RAMP = Signal("ramp", 0.0, 100.0, 1000)
"""+0.1 a step of 500 ms"""


@pytest.fixture(params=ARMS)
def arm(request: pytest.FixtureRequest) -> Any:
    base = model("press-sensor")
    moved = replace(
        base,
        points=tuple(
            replace(p, signal=RAMP)
            if p.name == "pressure"
            else replace(p, signal=Signal("counter", 100.0, 1.0))
            if p.name == "cycles"
            else p
            for p in base.points
        ),
        step_ns=100_000_000,
    )

    def run(program: Program) -> None:
        ARMS[request.param](Device(model=moved, name="presses/1", unit_id=1, key=5), program)

    return run


class Told:
    """What a subscription was told of one node."""

    def __init__(self) -> None:
        self.values: list[float | None] = []
        self.statuses: list[int] = []

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.values.append(value)
        self.statuses.append(data.monitored_item.Value.StatusCode.value)


async def watch(
    client: Client,
    told: Told,
    wanted: Any = None,
    name: str = "pressure",
    every_ms: int = 100,
    queue: int = 100,
    oldest: bool = True,
    times: int = 2,
) -> Any:
    subscription = await client.create_subscription(every_ms, told)
    node = client.get_node(f"ns=2;s={name}")
    request = ua.MonitoredItemCreateRequest()
    request.ItemToMonitor = ua.ReadValueId(NodeId=node.nodeid, AttributeId=ua.AttributeIds.Value)
    request.MonitoringMode = ua.MonitoringMode.Reporting
    request.RequestedParameters = ua.MonitoringParameters(
        ClientHandle=7, SamplingInterval=50.0, Filter=wanted, QueueSize=queue, DiscardOldest=oldest
    )
    subscription._monitored_items[7] = type(
        "Item",
        (),
        {"client_handle": 7, "node": node, "attribute": ua.AttributeIds.Value, "server_handle": None},
    )()
    params = ua.CreateMonitoredItemsParameters(
        SubscriptionId=subscription.subscription_id,
        ItemsToCreate=[request],
        TimestampsToReturn=ua.TimestampsToReturn(times),
    )
    (result,) = await client.uaclient.create_monitored_items(params)
    return result


def deadband(kind: Any, width: float) -> Any:
    return ua.DataChangeFilter(
        Trigger=ua.DataChangeTrigger.StatusValue, DeadbandType=int(kind), DeadbandValue=width
    )


def test_b1_one_clients_filter_silences_nobody_else(arm: Any) -> None:
    """A value without a number comes past a deadband: asyncua computes None - float."""

    async def program(url: str, server: OpcUaServer) -> None:
        plain, narrow = Told(), Told()
        async with Client(url) as one, Client(url) as other:
            await watch(one, plain)
            await watch(other, narrow, deadband(ua.DeadbandType.Absolute, 0.25))
            await asyncio.sleep(0.5)
            end = server.device.lie(
                ValueFault("bad-status", 0, status=STATUS_CODES["BadOutOfService"]), server._now()
            )
            await asyncio.sleep(0.5)
            end()
            before = len(plain.values), len(narrow.values)
            await asyncio.sleep(1.2)
            assert len(plain.values) >= before[0] + 8, "all goes on"
            assert len(narrow.values) >= before[1] + 2
            assert STATUS_CODES["BadOutOfService"] in narrow.statuses, (
                "a change of status passes every deadband"
            )

    arm(program)


def test_b2_a_deadband_goes_on_after_a_value_that_is_no_number(arm: Any) -> None:
    """OPC 10000-4 section 7.10: one notification when it begins to be NaN; a number after that is a change
    past every deadband."""

    async def program(url: str, server: OpcUaServer) -> None:
        plain, narrow, stamped = Told(), Told(), Told()
        async with Client(url) as one, Client(url) as other, Client(url) as third:
            await watch(one, plain)
            await watch(other, narrow, deadband(ua.DeadbandType.Absolute, 0.01))
            wide = ua.DataChangeFilter(
                Trigger=ua.DataChangeTrigger.StatusValueTimestamp, DeadbandType=1, DeadbandValue=1000.0
            )
            await watch(third, stamped, wide)
            await asyncio.sleep(0.5)
            end = server.device.lie(ValueFault("nan", 0), server._now())
            await asyncio.sleep(0.6)
            end()
            before = len(narrow.values)
            await asyncio.sleep(1.2)
            for told in (plain, narrow, stamped):
                assert sum(value != value for value in told.values) == 1
            assert len(narrow.values) >= before + 2
            assert len(stamped.values) == 3, (
                "the first, none, and a number again: with a deadband the timestamp is no news"
            )

    arm(program)


@pytest.mark.parametrize(
    ("queue", "oldest", "marks"),
    [
        (3, True, [0x480, 0, 0]),
        (3, False, [0, 0, 0x480]),
        (2, True, [0x480, 0]),
        (1, True, [0]),
        (0, True, [0]),
        (100, True, None),
    ],
)
def test_b8_a_queue_that_overflows_says_so(
    arm: Any, queue: int, oldest: bool, marks: list[int] | None
) -> None:
    """OPC 10000-4 section 5.13.1.5: the neighbour of what was let go has the Overflow bit; a queue of one
    value never has. A step is 100 ms."""

    async def program(url: str, server: OpcUaServer) -> None:
        told = Told()
        async with Client(url) as client:
            await watch(client, told, name="cycles", every_ms=1500, queue=queue, oldest=oldest)
            await asyncio.sleep(0.3)
            begun = len(told.values)
            await asyncio.sleep(3.4)
            values, statuses = told.values[begun:], told.statuses[begun:]
            if marks is None:
                assert len(values) >= 20
                assert not any(statuses), "nothing was let go"
                return
            assert len(values) in (len(marks), 2 * len(marks))
            assert statuses == marks * (len(values) // len(marks))
            if oldest:
                last = values[: len(marks)]
                assert [b - a for a, b in itertools.pairwise(last)] == [1.0] * (len(marks) - 1), (
                    "the youngest are kept"
                )
            else:
                assert values[1] - values[0] == 1.0
                assert values[2] - values[1] > 3.0, "the newest takes the last place"

    arm(program)


def test_items_are_modified_as_they_are_made(arm: Any) -> None:
    """5.13.3: the queue is revised, what doesn't fit any more is let go, the other end of it is kept; an
    unknown item is refused."""

    async def program(url: str, server: OpcUaServer) -> None:
        told = Told()
        async with Client(url) as client:
            made = await watch(client, told, name="cycles", every_ms=1500)
            (subscription,) = client.uaclient._subscription_callbacks

            async def modify(item: int, **wanted: Any) -> Any:
                parameters = ua.MonitoringParameters(ClientHandle=7, SamplingInterval=50.0, **wanted)
                params = ua.ModifyMonitoredItemsParameters(
                    SubscriptionId=subscription,
                    TimestampsToReturn=ua.TimestampsToReturn.Both,
                    ItemsToModify=[
                        ua.MonitoredItemModifyRequest(MonitoredItemId=item, RequestedParameters=parameters)
                    ],
                )
                (result,) = await client.uaclient.modify_monitored_items(params)
                return result

            unknown = await modify(made.MonitoredItemId + 99, QueueSize=3)
            assert unknown.StatusCode.value == 0x80420000, "BadMonitoredItemIdInvalid"
            default = await modify(made.MonitoredItemId, QueueSize=0)
            assert (default.StatusCode.value, default.RevisedQueueSize) == (0, 1), (
                "7.21: 0 is the default, which is one for data"
            )
            most = await modify(made.MonitoredItemId, QueueSize=99_999)
            assert (most.StatusCode.value, most.RevisedQueueSize) == (0, 10_000)
            refused = await modify(
                made.MonitoredItemId, QueueSize=3, Filter=deadband(ua.DeadbandType.Absolute, -1.0)
            )
            assert refused.StatusCode.value == 0x808E0000, "BadDeadbandFilterInvalid"
            await asyncio.sleep(0.3)
            changed = await modify(made.MonitoredItemId, QueueSize=3, DiscardOldest=False)
            assert (changed.StatusCode.value, changed.RevisedQueueSize) == (0, 3)
            begun = len(told.values)
            await asyncio.sleep(3.4)
            values, statuses = told.values[begun:], told.statuses[begun:]
            assert len(values) in (3, 6)
            assert statuses[-3:] == [0, 0, 0x480]
            assert values[-1] - values[-2] > 3.0

    arm(program)


@pytest.mark.parametrize("oldest", [True, False])
def test_a_queue_that_is_made_shorter_lets_go_of_the_right_end(arm: Any, oldest: bool) -> None:
    """Some ten values wait when the queue is made one of two; and the timestamps are those that are asked for
    now."""

    async def program(url: str, server: OpcUaServer) -> None:
        stamps: list[Any] = []

        class Times(Told):
            def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
                super().datachange_notification(node, value, data)
                stamps.append(data.monitored_item.Value.SourceTimestamp)

        told = Times()
        async with Client(url) as client:
            made = await watch(client, told, name="cycles", every_ms=3000)
            await asyncio.sleep(1.3)
            begun = len(told.values)
            (subscription,) = client.uaclient._subscription_callbacks
            parameters = ua.MonitoringParameters(
                ClientHandle=7, SamplingInterval=50.0, QueueSize=2, DiscardOldest=oldest
            )
            await client.uaclient.modify_monitored_items(
                ua.ModifyMonitoredItemsParameters(
                    SubscriptionId=subscription,
                    TimestampsToReturn=ua.TimestampsToReturn.Neither,
                    ItemsToModify=[
                        ua.MonitoredItemModifyRequest(
                            MonitoredItemId=made.MonitoredItemId, RequestedParameters=parameters
                        )
                    ],
                )
            )
            await asyncio.sleep(2.5)
            assert told.statuses[begun : begun + 2] == ([0x480, 0] if oldest else [0, 0x480])
            gap = told.values[begun + 1] - told.values[begun]
            assert (gap == 1.0) if oldest else (gap > 10.0)
            assert stamps[begun + 1] is None

    arm(program)


def test_b8_notifications_have_the_timestamps_that_were_asked_for(arm: Any) -> None:
    async def program(url: str, server: OpcUaServer) -> None:
        for wanted, expected in (
            (0, {(True, False)}),
            (1, {(False, True)}),
            (2, {(True, True)}),
            (3, {(False, False)}),
        ):
            seen: list[tuple[bool, bool]] = []

            class Times(Told):
                def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
                    told = data.monitored_item.Value
                    seen.append((told.SourceTimestamp is not None, told.ServerTimestamp is not None))  # noqa: B023

            async with Client(url) as client:
                await watch(client, Times(), name="cycles", times=wanted)
                await asyncio.sleep(0.7)
            assert len(seen) >= 4
            assert set(seen) == expected

    arm(program)


def test_b1_a_librarys_exception_ends_one_item(arm: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    async def program(url: str, server: OpcUaServer) -> None:
        plain, broken, troubles = Told(), Told(), []
        monkeypatch.setattr(Items, "on_trouble", staticmethod(troubles.append))
        news = Items._news

        def trips(self: Items, before: Any, value: Any, item: Any) -> bool:
            if item.filter is not None:
                raise TypeError("unsupported operand")
            return news(self, before, value, item)

        monkeypatch.setattr(Items, "_news", trips)
        async with Client(url) as one, Client(url) as other:
            await watch(other, broken, deadband(ua.DeadbandType.Absolute, 0.1))
            await watch(one, plain)
            await asyncio.sleep(1.0)
            assert len(plain.values) >= 8
            assert len(troubles) == 1

    arm(program)


def test_b2_a_slow_drift_is_reported_when_it_has_gone_far_enough(arm: Any) -> None:
    """+0.1 each 100 ms, deadband 0.25: every third step, for a change must be larger than the deadband
    (section 7.22.2)."""

    async def program(url: str, server: OpcUaServer) -> None:
        told = Told()
        async with Client(url) as client:
            await watch(client, told, deadband(ua.DeadbandType.Absolute, 0.25))
            await asyncio.sleep(2.05)
            steps = [
                round((b or 0) - (a or 0), 4) for a, b in zip(told.values, told.values[1:], strict=False)
            ]
            assert len(steps) >= 4
            assert min(steps) == 0.3, "more where this machine stood still"

    arm(program)


@pytest.mark.parametrize(
    ("wanted", "name", "status"),
    [
        (deadband(ua.DeadbandType.Percent, 10.0), "pressure", ua.StatusCodes.BadFilterNotAllowed),
        (deadband(ua.DeadbandType.Absolute, -1.0), "pressure", ua.StatusCodes.BadDeadbandFilterInvalid),
        (deadband(ua.DeadbandType.Percent, 101.0), "pressure", ua.StatusCodes.BadDeadbandFilterInvalid),
        (ua.AggregateFilter(), "pressure", ua.StatusCodes.BadMonitoredItemFilterUnsupported),
    ],
)
def test_b2_a_filter_that_cannot_be_had_is_refused(arm: Any, wanted: Any, name: str, status: int) -> None:
    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            assert (await watch(client, Told(), wanted, name)).StatusCode.value == status

    arm(program)


def test_b8_the_revised_sampling_interval_is_how_often_values_move(arm: Any) -> None:
    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            assert (await watch(client, Told())).RevisedSamplingInterval == 100.0

    arm(program)


def test_b3_b4_each_answer_is_known_by_what_it_says_of_the_counter(
    arm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A Publish brings every value that waited in its queue; what has nothing to do with the counter brings
    none; a Read brings one."""
    carried: list[list[int]] = []

    async def program(url: str, server: OpcUaServer) -> None:
        index = next(i for i, point in enumerate(server.device.model.points) if point.name == "cycles")
        server.count(index)
        carry = server._carry

        def counted(values: list[Any]) -> None:
            if values:
                carried.append([int(value) for value in values])
            carry(values)

        monkeypatch.setattr(server, "_carry", counted)
        monkeypatch.setitem(
            WATCHED, server._server.iserver.aspace, (WATCHED[server._server.iserver.aspace][0], counted)
        )
        async with Client(url) as client:
            await client.nodes.server_state.read_value()
            await client.get_node("ns=2;s=pressure").read_value()
            assert not carried, "nothing of that is the counter"
            await client.get_node("ns=2;s=cycles").read_value()
            assert len(carried) == 1
            carried.clear()
            subscription = await client.create_subscription(700, Told())
            await subscription.subscribe_data_change([client.get_node("ns=2;s=cycles")], queuesize=20)
            await client.nodes.server_state.read_value()
            await asyncio.sleep(3.0)
            values = [value for one in carried for value in one]
            assert values == sorted(dict.fromkeys(values)), "each once, in order"
            assert max(map(len, carried)) >= 5, "a publishing interval's worth at once"
            assert await client.nodes.server_state.read_value() is not None

    arm(program)


def test_b8_the_servers_clock_goes_and_can_be_watched(arm: Any) -> None:
    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            clock = client.get_node(ua.NodeId(2258))
            first = await clock.read_value()
            told: list[Any] = []
            subscription = await client.create_subscription(
                100,
                type(
                    "Handler",
                    (),
                    {"datachange_notification": lambda self, node, value, data: told.append(value)},
                )(),
            )
            await subscription.subscribe_data_change(clock)
            await asyncio.sleep(0.6)
            passed = (await clock.read_value() - first).total_seconds()
            assert 0.5 < passed < 5.0
            assert len(told) >= 3
            assert told == sorted(told)

    arm(program)


def test_b1_no_request_keeps_the_others_waiting(arm: Any) -> None:
    """More nodes than the server says that it takes at a time are refused, and the session stands."""

    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            said = [
                await client.get_node(node).read_value()
                for node in ("i=11705", "i=11707", "i=11710", "i=11712")
            ]
            assert said == [1000, 1000, 20, 200]
            node = client.get_node("ns=2;s=pressure")
            assert len(await client.read_values([node] * 1000)) == 1000
            with pytest.raises(ua.uaerrors.BadTooManyOperations):
                await client.read_values([node] * 1001)
            everything = ua.BrowseParameters()
            everything.NodesToBrowse = [ua.BrowseDescription(NodeId=ua.NodeId(58), ResultMask=63)] * 20
            assert len(await client.uaclient.browse(everything)) == 20
            everything.NodesToBrowse = everything.NodesToBrowse * 2
            with pytest.raises(ua.uaerrors.BadTooManyOperations):
                await client.uaclient.browse(everything)
            assert await node.read_value() is not None

    arm(program)


def test_b8_the_servers_status_is_whole(arm: Any) -> None:
    """OPC 10000-5 sections 6.3.2 and 12.10: the structure moves with its parts, which all have a value, and
    can be watched."""

    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            whole = client.get_node(ua.NodeId(2256))
            first = await whole.read_value()
            assert first.State == ua.ServerState.Running
            assert first.BuildInfo.ProductName
            started = await client.get_node(ua.NodeId(2257)).read_value()
            assert first.StartTime == started <= first.CurrentTime
            told: list[Any] = []
            subscription = await client.create_subscription(
                100,
                type(
                    "Handler",
                    (),
                    {"datachange_notification": lambda self, node, value, data: told.append(value)},
                )(),
            )
            await subscription.subscribe_data_change(whole)
            await asyncio.sleep(0.6)
            second = await whole.read_value()
            passed = (second.CurrentTime - first.CurrentTime).total_seconds()
            assert 0.5 < passed < 5.0
            clock = await client.get_node(ua.NodeId(2258)).read_value()
            assert 0.0 <= (clock - second.CurrentTime).total_seconds() < 5.0
            assert len(told) >= 3
            assert [one.CurrentTime for one in told] == sorted(one.CurrentTime for one in told)
            parts = [
                await client.get_node(ua.NodeId(number)).read_value() for number in (2259, 2992, 2993, 2994)
            ]
            assert [parts[0], parts[1], parts[2].Text or "", parts[3]] == [0, 0, "", False]

    arm(program)


def test_b8_what_cannot_be_sent_again_is_refused(arm: Any) -> None:
    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            subscription = await client.create_subscription(100, Told())

            async def republish(number: int, of: int) -> Any:
                request = ua.RepublishRequest()
                request.Parameters = ua.RepublishParameters(
                    SubscriptionId=of, RetransmitSequenceNumber=number
                )
                return await client.uaclient.protocol.send_request(request)

            with pytest.raises(ua.uaerrors.BadMessageNotAvailable):
                await republish(4711, subscription.subscription_id)
            with pytest.raises(ua.uaerrors.BadSubscriptionIdInvalid):
                await republish(1, 987654)
            assert (await client.get_node("ns=2;s=pressure").read_data_value()).StatusCode.is_good(), (
                "the session stands"
            )

    arm(program)
