"""What clients may ask that the shipped driver never does: parts of values, writes with a status, items that
change their name, many subscriptions. Asked by asyncua's own client on both arms."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from asyncua import Client, ua

from tests.conformance.arms import loopback_opcua, simulated_opcua
from tests.conformance.test_opcua_items import Told, arm, watch
from tests.steady import steady
from twinloop.devices.catalogue.catalog import model
from twinloop.devices.model.device import Device
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.opcua.device import OpcUaServer
from twinloop.devices.opcua.items import WATCHED
from twinloop.devices.opcua.limits import SUBSCRIPTIONS_A_SESSION_MAX

__all__ = ("arm",)


async def read(client: Client, node: str, index_range: str | None) -> Any:
    asked = ua.ReadValueId(
        NodeId=ua.NodeId.from_string(node), AttributeId=ua.AttributeIds.Value, IndexRange=index_range
    )
    (value,) = await client.uaclient.read(ua.ReadParameters(NodesToRead=[asked]))
    return value


async def write(client: Client, node: str, value: Any, index_range: str | None = None) -> int:
    asked = ua.WriteValue(
        NodeId=ua.NodeId.from_string(node),
        AttributeId=ua.AttributeIds.Value,
        Value=value,
        IndexRange=index_range,
    )
    (status,) = await client.uaclient.write(ua.WriteParameters(NodesToWrite=[asked]))
    return int(status.value)


def test_a_part_of_a_value(arm: Any) -> None:
    """OPC 10000-4 section 7.27: of a scalar there is none; of an array what there is of it."""

    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            for index_range in ("0", "0:1"):
                refused = await read(client, "ns=2;s=pressure", index_range)
                assert refused.StatusCode.value == ua.StatusCodes.BadIndexRangeNoData
            for index_range in ("x", "1:1", "2:1", "-1", "1:", "0,0", "1:" + "9" * 5000, "\u0663"):
                refused = await read(client, "ns=2;s=pressure", index_range)
                assert refused.StatusCode.value == ua.StatusCodes.BadIndexRangeInvalid, index_range
            assert (await read(client, "ns=9;s=nix", "0")).StatusCode.value == ua.StatusCodes.BadNodeIdUnknown
            end = server.device.lie(ValueFault("nan", 6), server._now())
            assert (
                await read(client, "ns=2;s=cycles", "0")
            ).StatusCode.value == ua.StatusCodes.BadSensorFailure, "there is no value at all"
            end()
            namespaces = (await read(client, "i=2255", None)).Value.Value
            assert len(namespaces) >= 3
            assert (await read(client, "i=2255", "1")).Value.Value == namespaces[1:2]
            assert (await read(client, "i=2255", "1:99")).Value.Value == namespaces[1:]
            assert (await read(client, "i=2255", "99")).StatusCode.value == ua.StatusCodes.BadIndexRangeNoData

    arm(program)


def test_a_write_says_a_value_and_nothing_else(arm: Any) -> None:
    """OPC 10000-4 section 5.11.4: a part of a value, or a value that is said to be bad, isn't taken, and
    changes nothing."""

    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            node = "ns=2;s=setpoint"
            number = ua.Variant(6.5, ua.VariantType.Float)
            before = (await read(client, node, None)).Value.Value
            assert await write(client, node, ua.DataValue(number), "0") == ua.StatusCodes.BadWriteNotSupported
            for name in ("BadOutOfService", "UncertainInitialValue"):
                told = ua.DataValue(number, ua.StatusCode(ua.UInt32(getattr(ua.StatusCodes, name))))
                assert await write(client, node, told) == ua.StatusCodes.BadWriteNotSupported
            assert (await read(client, node, None)).Value.Value == before
            assert await write(client, node, ua.DataValue(number)) == 0
            assert (await read(client, node, None)).Value.Value == 6.5

    arm(program)


@partial(steady, stall_s=0.04)
def test_b3_what_waits_is_known_whatever_becomes_of_its_item(arm: Any, tmp_path: Path) -> None:
    """An item that gets another handle while values of it wait: the Publish that brings them says values of
    that node. It is looked at each 50 ms."""

    async def program(url: str, server: OpcUaServer) -> None:
        node = next(
            identity
            for identity, point in server._index.items()
            if server.device.model.points[point].name == "cycles"
        )
        said: list[Any] = []
        WATCHED[server._server.iserver.aspace] = node, said.extend
        async with Client(url) as client:
            made = await watch(client, Told(), name="cycles", every_ms=1500)
            (subscription,) = client.uaclient._subscription_callbacks
            await asyncio.sleep(0.8)
            parameters = ua.MonitoringParameters(ClientHandle=8, SamplingInterval=50.0, QueueSize=100)
            await client.uaclient.modify_monitored_items(
                ua.ModifyMonitoredItemsParameters(
                    SubscriptionId=subscription,
                    TimestampsToReturn=ua.TimestampsToReturn.Both,
                    ItemsToModify=[
                        ua.MonitoredItemModifyRequest(
                            MonitoredItemId=made.MonitoredItemId, RequestedParameters=parameters
                        )
                    ],
                )
            )
            await asyncio.sleep(2.6)
            assert said == [said[0] + step for step in range(len(said))], "none is left out"
            assert len(said) > 20

    arm(program)


@pytest.mark.parametrize("run", [simulated_opcua, loopback_opcua])
def test_one_session_cant_take_all_subscriptions(run: Callable[..., None]) -> None:
    async def program(url: str, server: OpcUaServer) -> None:
        server.limit()
        async with Client(url) as greedy, Client(url) as other:
            for _ in range(SUBSCRIPTIONS_A_SESSION_MAX):
                await greedy.create_subscription(1000, Told())
            with pytest.raises(ua.UaStatusCodeError) as refused:
                await greedy.create_subscription(1000, Told())
            assert refused.value.code == ua.StatusCodes.BadTooManySubscriptions
            assert await other.create_subscription(1000, Told())

    run(Device(model=model("press-sensor"), name="presses/1", unit_id=1, key=5), program)
