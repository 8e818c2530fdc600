"""opcua-driver and Int64, UInt64 and String: whole numbers exact when read and written, texts written, and what
doesn't fit."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from asyncua import ua

from tests.opcua_peer import Bus, Peer, ask, driver
from twinloop.components.contract.contract import PointConfig
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance

UNFIT = (False, ("other", "value does not fit the node's type"))
KINDS = {
    "count": ua.VariantType.UInt64, "balance": ua.VariantType.Int64, "small": ua.VariantType.Byte, "sbyte": ua.VariantType.SByte,
    "word": ua.VariantType.UInt16, "short": ua.VariantType.Int16, "long": ua.VariantType.UInt32, "int": ua.VariantType.Int32,
    "float": ua.VariantType.Float, "double": ua.VariantType.Double, "flag": ua.VariantType.Boolean, "label": ua.VariantType.String,
}  # fmt: skip
NAMES = list(KINDS)


class Nodes:
    """A server with a writable node of each of these types beside a device's own; values as it has them."""

    def __init__(self) -> None:
        self.peer = Peer()
        self.nodes: dict[str, Any] = {}
        self.run(self._make())

    def run(self, what: Any) -> Any:
        with self.peer.stacks.inside():
            return self.peer.stacks.loop.run_until_complete(what)

    async def _make(self) -> None:
        objects = self.peer.server._server.nodes.objects
        for name, kind in KINDS.items():
            first: Any = "" if name == "label" else False if name == "flag" else 0
            node = await objects.add_variable(ua.NodeId(f"t-{name}", 2), f"2:t-{name}", first, kind)
            await node.set_writable()
            self.nodes[name] = node

    def set(self, name: str, value: Any) -> None:
        self.run(self.nodes[name].write_value(value, KINDS[name]))

    def get(self, name: str) -> Any:
        async def read() -> Any:
            await asyncio.sleep(0)
            return (await self.nodes[name].read_data_value()).Value

        variant = self.run(read())
        assert variant.VariantType == KINDS[name]
        return variant.Value


@pytest.fixture(scope="module")
def nodes() -> Iterator[Nodes]:
    nodes = Nodes()
    yield nodes
    nodes.peer.close()


def point(name: str, scale: float = 1.0, offset: float = 0.0) -> PointConfig:
    return PointConfig(NAMES.index(name), name, f"ns=2;s=t-{name}", "", scale, offset, None, None)


def opened(host: Host, nodes: Nodes, *points: PointConfig) -> tuple[Instance, Bus]:
    return driver(host, points=list(points)), Bus(nodes.peer.talk)


def whole(value: int) -> Any:
    return "integer", ("signed" if value < 0 else "unsigned", value)


@pytest.mark.parametrize("value", [2**53 + 1, 2**63, 2**64 - 1, 5, 0])
def test_a_uint64_is_read_and_written_exactly(host: Host, nodes: Nodes, value: int) -> None:
    instance, bus = opened(host, nodes, point("count"), point("double"))
    nodes.set("count", value)
    batch = ask(instance, bus).value
    assert [(i.point, i.value, i.status) for i in batch.integers] == [(0, ("unsigned", value), 0)]
    assert [r.point for r in batch.readings] == [NAMES.index("double")]
    nodes.set("count", 7)
    assert ask(instance, bus, "write-register", (0, whole(value))).ok
    assert nodes.get("count") == value
    instance.close()


@pytest.mark.parametrize("value", [2**53 + 1, -(2**53) - 1, 2**63 - 1, -(2**63), -1, 0])
def test_an_int64_is_read_and_written_exactly(host: Host, nodes: Nodes, value: int) -> None:
    instance, bus = opened(host, nodes, point("balance"))
    nodes.set("balance", value)
    batch = ask(instance, bus).value
    assert [(i.point, i.value, i.status) for i in batch.integers] == [(1, ("signed", value), 0)]
    assert not batch.readings
    nodes.set("balance", 7)
    assert ask(instance, bus, "write-register", (1, whole(value))).ok
    assert nodes.get("balance") == value
    instance.close()


def test_other_numbers_and_what_is_scaled_stay_readings(host: Host, nodes: Nodes) -> None:
    points = [point("count", 0.5), point("balance", 1.0, 1.0), *(point(name) for name in NAMES[2:11])]
    instance, bus = opened(host, nodes, *points)
    nodes.set("count", 2**53 + 2)
    nodes.set("balance", -5)
    nodes.set("long", 2**32 - 1)
    batch = ask(instance, bus).value
    assert not batch.integers
    found = {r.point: r.value for r in batch.readings}
    assert (found[0], found[1], found[6]) == (2.0**52 + 1, -4.0, 2.0**32 - 1)
    assert all(type(value) is float for value in found.values())
    instance.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [("small", 255), ("sbyte", -128), ("sbyte", 127), ("word", 65535), ("short", -32768), ("long", 2**32 - 1), ("int", -(2**31)), ("int", 2**31 - 1),
     ("float", 16_777_216), ("double", -(2**53)), ("double", 2**63), ("flag", 1)],
)  # fmt: skip
def test_a_whole_number_goes_to_a_node_of_any_numeric_type(
    host: Host, nodes: Nodes, name: str, value: int
) -> None:
    instance, bus = opened(host, nodes, point(name))
    nodes.set(name, False if name == "flag" else 0)
    assert ask(instance, bus, "write-register", (NAMES.index(name), whole(value))).ok
    assert nodes.get(name) == value
    instance.close()


@pytest.mark.parametrize(
    ("name", "written"),
    [("small", whole(256)), ("small", whole(-1)), ("sbyte", whole(128)), ("sbyte", whole(-129)), ("word", whole(65536)), ("short", whole(-32769)),
     ("long", whole(2**32)), ("int", whole(2**31)), ("count", whole(-1)), ("balance", whole(2**63)), ("double", whole(2**53 + 1)), ("float", whole(2**64 - 1)),
     ("count", ("text", "5")), ("flag", ("text", "true")), ("label", ("real", 5.0)), ("label", whole(5)), ("count", ("real", 2.0**64)), ("balance", ("real", 2.0**63))],
)  # fmt: skip
def test_what_does_not_fit_is_refused(host: Host, nodes: Nodes, name: str, written: Any) -> None:
    instance, bus = opened(host, nodes, point(name))
    before = nodes.get(name)
    assert ask(instance, bus, "write-register", (NAMES.index(name), written)) == UNFIT
    assert nodes.get(name) == before
    instance.close()


def test_whole_numbers_of_a_scaled_point_are_written_where_a_double_holds_them(
    host: Host, nodes: Nodes
) -> None:
    instance, bus = opened(host, nodes, point("count", 10.0))
    assert ask(instance, bus, "write-register", (0, whole(120))).ok
    assert nodes.get("count") == 12
    assert ask(instance, bus, "write-register", (0, whole(2**53 + 1))) == UNFIT
    assert ask(instance, bus, "write-register", (0, ("real", 2.0**60))).ok
    assert nodes.get("count") == round(2.0**60 / 10.0)
    instance.close()


@pytest.mark.parametrize("text", ["", "on", 'a "b"\\ \n é', "x" * 20_000])
def test_a_text_is_written_to_a_string(host: Host, nodes: Nodes, text: str) -> None:
    instance, bus = opened(host, nodes, point("label"))
    nodes.set("label", "before")
    assert ask(instance, bus, "write-register", (NAMES.index("label"), ("text", text))).ok
    assert nodes.get("label") == text
    batch = ask(instance, bus).value
    assert [(t.point, t.value) for t in batch.texts] == [(NAMES.index("label"), text)]
    instance.close()


def test_news_of_a_subscription_are_exact(host: Host, nodes: Nodes) -> None:
    options = {"mode": "subscribe", "publishing": "10 ms", "sampling": "10 ms"}
    instance = driver(host, points=[point("count")], **options)
    bus = Bus(lambda data: nodes.peer.talk(data, 1.5))
    nodes.set("count", 2**64 - 3)
    batch = ask(instance, bus).value
    assert [(i.point, i.value) for i in batch.integers] == [(0, ("unsigned", 2**64 - 3))]
    instance.close()


def test_memory_is_flat(host: Host, nodes: Nodes) -> None:
    instance, bus = opened(host, nodes, point("count"), point("label"), point("double"))
    written = [(0, whole(2**64 - 1)), (11, ("text", "t" * 300)), (0, ("text", "t" * 300)), (9, ("real", 1.5))]

    def rounds(count: int) -> None:
        for k in range(count):
            assert ask(instance, bus).ok
            ask(instance, bus, "write-register", written[k % 4])
            if k % 50 == 0:
                assert not ask(instance, Bus(lambda data: None)).ok
                ask(instance, bus)  # what went unheard has used a sequence number: the session is made anew

    rounds(100)
    before = instance.memory_bytes
    rounds(600)
    assert instance.memory_bytes == before
    instance.close()
