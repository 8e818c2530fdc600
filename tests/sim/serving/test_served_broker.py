"""The broker of a served field, where clients of the real world flood it."""

from __future__ import annotations

from tests.sim.field.test_field import mixed
from tests.sim.serving.test_served import bare
from twinloop.components.host.host import Host
from twinloop.devices.mqtt.packet import Connect, PacketReader, Publish, Subscribe, encode
from twinloop.devices.mqtt.retained import RETAINED_A_TURN
from twinloop.sim.kernel.clock import S
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.network.half import MSS_BYTES
from twinloop.sim.serving.broker import North
from twinloop.sim.serving.plant import SPELL_EVENTS, TURN_EVENTS, ServedPlant


def test_d10_a_flood_at_the_broker_is_many_turns(host: Host) -> None:
    """5 000 small messages at once: no turn takes many more than TURN_EVENTS of them, so that others' sockets
    are heard in between."""
    spec = bare(mixed(host, ("modbus-tcp",), poll_ns=S))
    plant = ServedPlant(spec, EPOCH_NS)
    plant.boot()
    north = North(plant, plant.links["cloud"], "gw")
    plant.run_to(0)
    caller = north.accept(lambda data: None, lambda: None)
    one = encode(Publish("a", b"1", 1, packet=1))
    plant.put(0, caller.received, encode(Connect("flood")) + 5000 * one)
    most = 0
    for _ in range(2000):
        over = plant.turn(10 * S)
        most = max(most, plant.worked)
        if over:
            break
    assert north.broker.work == 5001
    assert most <= TURN_EVENTS + 20 * MSS_BYTES // len(one)
    plant.close()


def test_d10_retained_messages_for_many_subscriptions_are_many_turns(host: Host) -> None:
    """One SUBSCRIBE with ten filters, seven of them different, that each match 3 000 retained messages: all
    of them are told, and others have their turn in between."""
    plant = ServedPlant(bare(mixed(host, ("modbus-tcp",), poll_ns=S)), EPOCH_NS)
    plant.boot()
    north = North(plant, plant.links["cloud"], "gw")
    plant.run_to(0)
    filters = ("#", "a/#", "a/+", "+/#", "+/+", "a/+/#", "+/+/#", "#", "a/#", "a/+")
    for number in range(3000):
        north.broker.publish(Publish(f"a/{number}", b"1", 0, retain=True), None)
    came = bytearray()
    caller = north.accept(came.extend, lambda: None)
    plant.put(
        0,
        caller.received,
        encode(Connect("greedy")) + encode(Subscribe(1, tuple((pattern, 0) for pattern in filters))),
    )
    turns, most = 0, 0
    while not plant.turn(plant.env.now + S):
        turns, most = turns + 1, max(most, plant.worked)
    assert most <= TURN_EVENTS + SPELL_EVENTS * (RETAINED_A_TURN + RETAINED_A_TURN // 20)
    assert turns > 10
    told = [packet for packet in PacketReader().feed(bytes(came)) if isinstance(packet, Publish)]
    assert len(told) == len(dict.fromkeys(filters)) * 3000, (
        "the same filter again is told once, from the last time"
    )
    plant.close()
