"""NodeSet2 files: which nodes are points, what an OPC UA client sees of the whole file, and files that are
none."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from asyncua import Client

from tests.conformance.arms import simulated_opcua
from tests.opcua_peer import Bus, Peer, ask, driver
from twinloop.components.host.host import Host
from twinloop.devices.model.device import Device
from twinloop.devices.opcua.device import OpcUaServer
from twinloop.devices.opcua.nodeset import NodeSetError, nodeset_model

MIXER = (Path(__file__).parents[2] / "scenarios" / "library" / "nodeset" / "mixer.xml").read_text()


def test_variables_of_instances_become_points_with_their_types_and_ranges() -> None:
    model = nodeset_model(MIXER, "nodeset/mixer.xml")
    assert [(p.name, p.node.id, p.node.type, p.writable) for p in model.points] == [
        ("Speed", "ns=2;i=6001", "Double", False),
        ("Torque", "ns=2;i=6003", "Float", False),
        ("Batches", "ns=2;i=6004", "UInt32", False),
        ("Running", "ns=2;i=6005", "Boolean", False),
        ("Setpoint", "ns=2;s=Mixer.Setpoint", "Double", True),
    ]
    assert (model.points[0].low, model.points[0].high) == (0.0, 1500.0)
    assert model.protocols == ("opcua",)
    device = Device(model=model, name="m/1", unit_id=1, key=5)
    device.advance(0)
    assert [round(device.image.value(i)) for i in range(5)] == [420, 38, 1207, 1, 420]


def test_a_client_sees_the_file_as_it_is_and_values_that_move() -> None:
    async def program(url: str, server: OpcUaServer) -> None:
        async with Client(url) as client:
            assert await client.get_namespace_index("urn:twinloop:mixer") == 2
            mixer = await client.nodes.objects.get_child("2:Mixer")
            assert (await mixer.read_type_definition()).to_string() == "ns=2;i=1000"
            names = [(await child.read_browse_name()).Name for child in await mixer.get_children()]
            assert names == ["Speed", "Torque", "Batches", "Running", "Setpoint", "Recipe"]
            recipe = await mixer.get_child("2:Recipe")
            assert await recipe.read_value() == "white 7"
            speed = await mixer.get_child("2:Speed")
            assert (await (await speed.get_child("0:EURange")).read_value()).High == 1500.0
            assert await speed.read_value() == server.image.read(0, server._now()).value
            setpoint = await mixer.get_child("2:Setpoint")
            await setpoint.write_value(500.0)
            assert server.device.image.value(4) == 500.0

    simulated_opcua(Device(model=nodeset_model(MIXER, "m"), name="mixers/1", unit_id=1, key=5), program)


def test_the_driver_reads_and_writes_it(host: Host) -> None:
    model = nodeset_model(MIXER, "m")
    peer = Peer(model)
    instance = driver(host, model)
    bus = Bus(peer.talk)
    result = ask(instance, bus)
    assert [(r.point, r.status) for r in result.value.readings] == [(i, 0) for i in range(5)]
    assert ask(instance, bus, "write-register", (4, ("real", 600.0))).ok
    assert ask(instance, bus).value.readings[4].value == 600.0
    instance.close()
    peer.close()


WRONG: dict[str, tuple[Any, str]] = {
    "no XML": (lambda text: "hello", "XML: "),
    "another document": (lambda text: "<a xmlns='x'/>", "expected a UANodeSet"),
    "cut": (lambda text: text[:2000], "XML: "),
    "an entity": (
        lambda text: text.replace("<UANodeSet", "<!DOCTYPE a [<!ENTITY b 'c'>]><UANodeSet", 1),
        "document type declaration",
    ),
    "another model needed": (
        lambda text: text.replace(
            'RequiredModel ModelUri="http://opcfoundation.org/UA/"',
            'RequiredModel ModelUri="http://opcfoundation.org/UA/DI/"',
        ),
        "needs the model http://opcfoundation.org/UA/DI/, which isn't in the file",
    ),
    "nothing below Objects": (
        lambda text: text.replace(">i=85<", ">i=86<"),
        "no variable that holds a number lies below the Objects folder",
    ),
    "a value that is none": (
        lambda text: text.replace("<uax:UInt32>1207<", "<uax:UInt32>many<"),
        "a node that asyncua can't read",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_is_none_is_refused_with_the_reason(name: str) -> None:
    change, message = WRONG[name]
    with pytest.raises(NodeSetError, match=message.replace("(", "\\(")):
        nodeset_model(change(MIXER), "m")
