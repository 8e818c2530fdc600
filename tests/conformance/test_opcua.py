"""The OPC UA service set (OPC 10000-4 section 5) on two arms: asyncua's client in simulated time, and over a
loopback socket."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from asyncua import Client, ua

from tests.conformance.arms import Program, loopback_opcua, simulated_opcua
from twinloop.devices.catalogue.catalog import model
from twinloop.devices.model.device import Device
from twinloop.devices.model.overlay import ValueFault
from twinloop.devices.model.statuses import STATUS_CODES
from twinloop.devices.opcua.device import OpcUaServer

ARMS: dict[str, Any] = {"simulated": simulated_opcua, "loopback": loopback_opcua}


@pytest.fixture(params=ARMS)
def arm(request: pytest.FixtureRequest) -> Any:
    def run(program: Program) -> None:
        ARMS[request.param](Device(model=model("press-sensor"), name="presses/1", unit_id=1, key=5), program)

    return run


def test_discovery(arm: Any) -> None:
    """5.5.2 FindServers, 5.5.4 GetEndpoints: None/None, anonymous."""

    async def program(url: str, server: OpcUaServer) -> None:
        endpoints = await Client(url).connect_and_get_server_endpoints()
        assert [(one.SecurityPolicyUri.rsplit("#")[1], int(one.SecurityMode)) for one in endpoints] == [
            ("None", 1)
        ]
        assert 0 in [int(token.TokenType) for token in endpoints[0].UserIdentityTokens]
        assert await Client(url).connect_and_find_servers()

    arm(program)


def test_sessions(arm: Any) -> None:
    """5.7: several at a time, closed one by one; a request without an active session is refused."""

    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as one, Client(url) as other:
            assert one.uaclient.protocol is not other.uaclient.protocol
            assert (
                await one.get_node("ns=2;s=pressure").read_value()
                == await other.get_node("ns=2;s=pressure").read_value()
            )
        client = Client(url)
        await client.connect()
        server.kill_sessions()
        with pytest.raises(ua.uaerrors.BadSessionIdInvalid):
            await client.get_node("ns=2;s=pressure").read_value()
        with pytest.raises(ua.uaerrors.BadSessionIdInvalid):  # a second stack tries that first
            await client.activate_session()
        await client.create_session()
        await client.activate_session()
        assert await client.get_node("ns=2;s=pressure").read_value() > 0.0, "over the same channel"
        await client.close_session()
        client.disconnect_socket()

    arm(program)


@pytest.mark.parametrize(
    ("wanted", "source", "server"), [(0, True, False), (1, False, True), (2, True, True), (3, False, False)]
)
def test_the_timestamps_that_were_asked_for(arm: Any, wanted: int, source: bool, server: bool) -> None:
    """7.40 TimestampsToReturn, of a device's node and of one of the server's own."""

    async def program(url: str, device: OpcUaServer) -> None:
        async with Client(url) as client:
            for node in ("ns=2;s=pressure", "i=2255"):
                params = ua.ReadParameters(TimestampsToReturn=ua.TimestampsToReturn(wanted))
                params.NodesToRead.append(
                    ua.ReadValueId(NodeId=ua.NodeId.from_string(node), AttributeId=ua.AttributeIds.Value)
                )
                for _ in range(2):
                    (value,) = await client.uaclient.read(params)
                    assert value.Value.Value is not None
                    if node != "i=2255":
                        assert (value.SourceTimestamp is not None, value.ServerTimestamp is not None) == (
                            source,
                            server,
                        )
                        assert not source or not server or value.SourceTimestamp <= value.ServerTimestamp
                    else:
                        assert (
                            value.SourceTimestamp is None or source,
                            value.ServerTimestamp is None or server,
                        ) == (True, True)

    arm(program)


def test_timestamps_that_do_not_exist(arm: Any) -> None:
    async def program(url: str, device: OpcUaServer) -> None:
        async with Client(url) as client:
            params = ua.ReadParameters(TimestampsToReturn=ua.TimestampsToReturn.Invalid)
            params.NodesToRead.append(
                ua.ReadValueId(
                    NodeId=ua.NodeId.from_string("ns=2;s=pressure"), AttributeId=ua.AttributeIds.Value
                )
            )
            with pytest.raises(ua.uaerrors.BadTimestampsToReturnInvalid):
                await client.uaclient.read(params)

    arm(program)


def test_browse_and_translate(arm: Any) -> None:
    """5.9.2 Browse, 5.9.4 TranslateBrowsePathsToNodeIds: the device below Objects, its points below it."""

    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            folder = await client.nodes.objects.get_child([ua.QualifiedName("presses/1", 2)])
            children = await folder.get_children()
            assert [child.nodeid.to_string() for child in children] == [
                f"ns=2;s={point.name}" for point in server.device.model.points
            ]
            assert (await folder.get_child("2:stroke")).nodeid.to_string() == "ns=2;s=stroke"
            with pytest.raises(ua.uaerrors.BadNoMatch):
                await folder.get_child("2:nowhere")
            assert await client.get_namespace_index("urn:twinloop") == 2

    arm(program)


def test_read(arm: Any) -> None:
    """5.11.2: values with their types, StatusCodes and the source's timestamp, which this client asks for;
    each node's refusal is its own."""

    async def program(url: str, server: OpcUaServer) -> None:
        device = server.device
        async with Client(url) as client:
            nodes = [client.get_node(f"ns=2;s={point.name}") for point in device.model.points]
            got = await client.uaclient.read_attributes(
                [*(node.nodeid for node in nodes), ua.NodeId("nowhere", 2)], ua.AttributeIds.Value
            )
            assert [one.StatusCode.value for one in got] == [0] * 10 + [STATUS_CODES["BadNodeIdUnknown"]]
            assert [one.Value.VariantType.name for one in got[:10]] == server.image.types
            for one in got[:10]:
                assert (one.SourceTimestamp is not None, one.ServerTimestamp) == (True, None)
            assert (await nodes[0].read_data_type_as_variant_type()).name == "Float"
            assert (await nodes[0].read_browse_name()).Name == "pressure"
            wrong = (await client.uaclient.read_attributes([nodes[0].nodeid], ua.AttributeIds.Executable))[0]
            assert wrong.StatusCode.value == 0x80350000, "BadAttributeIdInvalid"
            over = device.lie(ValueFault("bad-status", 0, status=STATUS_CODES["BadOutOfService"]), 0)
            bad = await nodes[0].read_data_value(raise_on_bad_status=False)
            assert (bad.StatusCode.value, bad.Value.Value) == (STATUS_CODES["BadOutOfService"], None)
            over()
            device.lie(ValueFault("frozen-timestamp", 0), 0)
            assert (
                await nodes[0].read_data_value()
            ).SourceTimestamp.isoformat() == "2026-01-01T00:00:00+00:00"

    arm(program)


def test_write(arm: Any) -> None:
    """5.11.4: what can be written is, of its own type and within its range; anything else is refused by name
    and changes nothing."""

    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            node = client.get_node("ns=2;s=setpoint")
            await node.write_value(7.5, ua.VariantType.Float)
            assert await node.read_value() == 7.5
            refused = [
                (ua.Variant(7.5, ua.VariantType.Double), ua.uaerrors.BadTypeMismatch),
                (ua.Variant("x", ua.VariantType.String), ua.uaerrors.BadTypeMismatch),
                (ua.Variant([1.0, 2.0], ua.VariantType.Float), ua.uaerrors.BadTypeMismatch),
                (ua.Variant(99.0, ua.VariantType.Float), ua.uaerrors.BadOutOfRange),
            ]
            for variant, error in refused:
                with pytest.raises(error):
                    await node.write_value(ua.DataValue(variant))
            with pytest.raises(ua.uaerrors.BadNotWritable):
                await client.get_node("ns=2;s=pressure").write_value(1.0, ua.VariantType.Float)
            with pytest.raises(ua.uaerrors.BadNodeIdUnknown):
                await client.get_node("ns=2;s=nowhere").write_value(1.0, ua.VariantType.Float)
            with pytest.raises(ua.uaerrors.BadUserAccessDenied):
                await node.write_attribute(
                    ua.AttributeIds.BrowseName,
                    ua.DataValue(ua.Variant(ua.QualifiedName("x", 2), ua.VariantType.QualifiedName)),
                )
            assert await node.read_value() == 7.5

    arm(program)


def test_subscriptions(arm: Any) -> None:
    """5.13, 5.14: a monitored item tells of each change, not of what stays; deleted, it tells no more."""

    async def program(url: str, server: OpcUaServer) -> None:
        told: dict[str, list[Any]] = {}

        class Told:
            def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
                told.setdefault(node.nodeid.Identifier, []).append(value)

        async with Client(url) as client:
            subscription = await client.create_subscription(100, Told())
            nodes = [client.get_node(f"ns=2;s={name}") for name in ("pressure", "setpoint")]
            await subscription.subscribe_data_change(nodes, queuesize=10)
            await asyncio.sleep(1.7)
            assert 3 <= len(told["pressure"]) <= 5, "the first, and one at each step of 500 ms"
            assert told["setpoint"] == [6.0]
            await nodes[1].write_value(8.0, ua.VariantType.Float)
            await asyncio.sleep(0.7)
            assert told["setpoint"] == [6.0, 8.0]
            await subscription.delete()
            count = len(told["pressure"])
            await asyncio.sleep(0.7)
            assert len(told["pressure"]) == count

    arm(program)


def test_what_is_not_served_is_a_service_fault(arm: Any) -> None:
    """7.34: the reason has a name, and the session goes on."""

    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            with pytest.raises(ua.UaStatusCodeError):
                await client.get_node("ns=2;s=pressure").call_method("2:nothing")
            refused = await client.uaclient.delete_subscriptions([4711])
            assert [status.name for status in refused] == ["BadSubscriptionIdInvalid"]
            assert isinstance(await client.get_node("ns=2;s=pressure").read_value(), float)

    arm(program)
