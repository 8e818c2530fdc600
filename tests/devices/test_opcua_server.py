"""OPC UA servers over a shared address space: the same as stock ones to a client, apart from each other,
small."""

from __future__ import annotations

import gc
import logging
from typing import Any

import pytest
from asyncua import Client, Server, ua

from tests.sim.libraries.stacks import Field, on
from twinloop.devices.opcua.server import (
    NAMESPACE,
    NodeOverlay,
    StandardSpace,
    fresh_counters,
    serve,
    standard_space,
)
from twinloop.sim.kernel.clock import MS


@pytest.fixture(scope="module")
def standard() -> StandardSpace:
    return standard_space()  # it is filled once a process, and nobody changes it


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    logging.disable(logging.CRITICAL)
    fresh_counters()
    yield
    logging.disable(logging.NOTSET)


BROWSED_AT_ONCE = 100
"""a request for each of 3000 nodes is 6000 messages over the network"""


def field(*hosts: str) -> Field:
    return Field(hosts, delay_ns=MS, jitter_ns=0)


async def tree(client: Client) -> dict[str, tuple[Any, ...]]:
    """Every node below the root: class, name, and what it refers to."""
    seen: dict[str, tuple[Any, ...]] = {}
    waiting = {client.nodes.root.nodeid.to_string(): client.nodes.root}
    while waiting:
        asked = dict(list(waiting.items())[:BROWSED_AT_ONCE])
        found: dict[str, Any] = {}
        for key, (_, result) in zip(asked, await client.browse_nodes(list(asked.values())), strict=True):
            result.StatusCode.check()
            told = [(r.NodeId.to_string(), r) for r in result.References if r.IsForward]
            seen[key] = tuple(
                sorted(
                    (r.ReferenceTypeId.to_string(), name, r.BrowseName.Name or "", int(r.NodeClass))
                    for name, r in told
                )
            )
            found.update(told)
        waiting = {key: node for key, node in waiting.items() if key not in asked}
        waiting |= {key: client.get_node(r.NodeId) for key, r in found.items() if key not in seen}
    return seen


def test_a_client_sees_the_same_nodes_as_of_a_stock_server(standard: StandardSpace) -> None:
    async def program(place: Field) -> None:
        async def stock() -> Server:
            server = Server()
            await server.init()
            server.set_endpoint("opc.tcp://stock:4840/")
            server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
            await server.register_namespace(NAMESPACE)
            await server.start()
            return server

        lean, _ = await on("lean", serve(standard, "press", "lean", 4840, {}))
        usual = await on("stock", stock())
        async with Client("opc.tcp://lean:4840/") as one, Client("opc.tcp://stock:4840/") as other:
            ours, theirs = await tree(one), await tree(other)
        own = [key for key in ours if key not in theirs]
        assert own == ["ns=2;s=press"]
        assert [key for key in theirs if key not in ours] == []
        differing = [key for key in theirs if ours[key] != theirs[key]]
        assert differing == ["i=85"], "the Objects folder, which holds the device"
        assert len(theirs) > 3000
        await lean.stop()
        await usual.stop()

    field("lean", "stock").run(program)


def test_servers_do_not_see_each_others_writes_and_nodes(standard: StandardSpace) -> None:
    async def program(place: Field) -> None:
        servers = [
            await on(f"plc-{i}", serve(standard, f"press-{i}", f"plc-{i}", 4840, {"temperature": float(i)}))
            for i in (1, 2)
        ]
        async with Client("opc.tcp://plc-1:4840/") as one, Client("opc.tcp://plc-2:4840/") as other:
            for number, client in ((1, one), (2, other)):
                node = client.get_node(f"ns=2;s=press-{number}.temperature")
                assert await node.read_value() == float(number)
                with pytest.raises(ua.UaStatusCodeError):
                    await client.get_node(f"ns=2;s=press-{3 - number}.temperature").read_value()
        location = ua.NodeId(ua.ObjectIds.Server_ServiceLevel)
        await servers[0][0].get_node(location).write_value(200, ua.VariantType.Byte)
        assert await servers[0][0].get_node(location).read_value() == 200
        assert await servers[1][0].get_node(location).read_value() != 200
        await servers[0][0].delete_nodes([servers[0][0].get_node(ua.NodeId(ua.ObjectIds.Server_Auditing))])
        assert await servers[1][0].get_node(ua.NodeId(ua.ObjectIds.Server_Auditing)).read_browse_name()
        for server, _ in servers:
            await server.stop()

    field("plc-1", "plc-2").run(program)
    assert ua.NodeId(ua.ObjectIds.Server_Auditing) in standard.nodes


def test_a_changed_value_is_published_and_written_values_come_back(standard: StandardSpace) -> None:
    async def program(place: Field) -> None:
        server, nodes = await on(
            "plc", serve(standard, "press", "plc", 4840, {"temperature": 20.0, "setpoint": 1.0})
        )
        await nodes["setpoint"].set_writable()

        class Changes:
            def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
                place.log.append((place.env.now, value))

        async with Client("opc.tcp://plc:4840/") as client:
            subscription = await client.create_subscription(1000, Changes())
            await subscription.subscribe_data_change(client.get_node("ns=2;s=press.temperature"))
            await client.get_node("ns=2;s=press.setpoint").write_value(4.5)
            assert await nodes["setpoint"].read_value() == 4.5
            with pytest.raises(ua.uaerrors.BadNotWritable):
                await client.get_node("ns=2;s=press.temperature").write_value(0.0)
            await nodes["temperature"].write_value(21.0)
            import asyncio

            await asyncio.sleep(3)
        await server.stop()

    place = field("plc")
    place.run(program)
    assert [value for _, value in place.log] in ([20.0, 21.0], [21.0])


def test_a_server_is_small_and_copies_what_it_touches(standard: StandardSpace) -> None:
    """The stock one holds 6000 nodes of its own; memory is counted in nodes, which no other process
    disturbs."""
    held: list[int] = []

    async def program(place: Field) -> None:
        servers = [
            await on(f"plc-{i}", serve(standard, f"press-{i}", f"plc-{i}", 4840, {"a": 1.0, "b": 2.0}))
            for i in range(20)
        ]
        for server, _ in servers:
            nodes = server.iserver.aspace._nodes
            assert isinstance(nodes, NodeOverlay)
            held.append(nodes.copied)
            await server.stop()

    before = len(gc.get_objects())
    field(*(f"plc-{i}" for i in range(20))).run(program)
    assert len(standard.nodes) > 5000
    assert max(held) < 200
    gc.collect()
    assert len(gc.get_objects()) - before < 200_000


def test_an_overlay_is_a_mapping_like_the_one_that_it_replaces(standard: StandardSpace) -> None:
    overlay = NodeOverlay(standard)
    key = next(iter(standard.nodes))
    size = len(standard.nodes)
    assert len(overlay) == size == len(list(overlay))
    assert overlay[key] is overlay[key] is not standard.nodes[key]
    assert len(overlay) == size
    del overlay[key]
    assert key not in overlay
    assert len(overlay) == size - 1 == len(list(overlay))
    with pytest.raises(KeyError):
        overlay[key]
    with pytest.raises(KeyError):
        del overlay[key]
    overlay[key] = standard.nodes[key]
    new = ua.NodeId("new", 9)
    overlay[new] = standard.nodes[key]
    assert len(overlay) == size + 1 == len(list(overlay))
    del overlay[new]
    assert new not in overlay
    assert overlay.get(new) is None
