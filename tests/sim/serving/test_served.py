"""A served field without sockets: clients' bytes in, answers out, at instants that the test says."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from pymodbus.framer import FramerRTU

from tests.plants import plant
from tests.sim.field.test_field import mixed
from twinloop.components.host.host import Host
from twinloop.devices.model.device import Device
from twinloop.devices.mqtt.broker import Broker
from twinloop.devices.mqtt.device import MqttDevice
from twinloop.devices.mqtt.packet import Connect, PacketReader, Puback, Publish, Subscribe, encode
from twinloop.sim.kernel.clock import MS, US, S
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.model.spec import Action, WorldSpec
from twinloop.sim.network.link import LinkModel
from twinloop.sim.serving.modbus import LineCaller, ModbusCaller
from twinloop.sim.serving.mqtt import Sender
from twinloop.sim.serving.opcua import OpcUaCaller
from twinloop.sim.serving.plant import WAITING_MAX, ServedPlant
from twinloop.sim.trouble.verbs import act


def bare(spec: WorldSpec, *timeline: Action, **link: Any) -> WorldSpec:
    """Without gateways; the field's link has no delay but what is said."""
    links = tuple(
        replace(one, model=LinkModel(**link)) if one.name == "plant" and one.timing is None else one
        for one in spec.links
    )
    return replace(spec, gateways=(), components=(), timeline=timeline, links=links)


class Desk:
    """One client's view: what was written to it and when."""

    def __init__(self, spec: WorldSpec, epoch_ns: int = EPOCH_NS) -> None:
        self.plant = ServedPlant(spec, epoch_ns)
        self.plant.boot()
        self.heard: list[tuple[int, bytes]] = []
        self.hung_up = False
        self.rooms = 0
        self.caller: Any = None

    def write(self, data: bytes) -> None:
        self.heard.append((self.plant.env.now, data))

    def hang_up(self) -> None:
        self.hung_up = True

    def modbus(self) -> Desk:
        self.caller = ModbusCaller(
            self.plant, dict(enumerate(range(len(self.plant.spec.devices)), 1)), self.write, self.hang_up
        )
        self.caller.on_room = self._room
        return self

    def _room(self) -> None:
        self.rooms += 1

    def say(self, at_ns: int, *data: bytes) -> None:
        for piece in data:
            self.plant.at(at_ns, self.caller.received, piece)

    def close(self) -> None:
        self.caller.lost()
        self.plant.close()


def read(number: int, unit: int, address: int = 0, count: int = 6) -> bytes:
    return (
        number.to_bytes(2, "big")
        + b"\0\0\0\x06"
        + bytes((unit, 3))
        + address.to_bytes(2, "big")
        + count.to_bytes(2, "big")
    )


def registers(device: Device, at_ns: int, count: int = 6) -> bytes:
    device.advance(at_ns)
    raw = device.image.read_raw("holding", 0, count)
    assert raw is not None
    return raw


def test_units_are_devices_in_order_and_values_those_of_a_run(host: Host) -> None:
    """Each answers as its twin in a plant of the same seed does, which nobody serves."""
    spec = bare(plant(host, count=5), delay_ns=300 * US)
    desk, twin = Desk(spec).modbus(), ServedPlant(spec, EPOCH_NS)
    for unit in range(1, 6):
        desk.say(unit * 3 * S, read(unit, unit))
    desk.plant.run_to(20 * S)
    assert len(desk.heard) == 5
    for unit, (at_ns, answer) in enumerate(desk.heard, 1):
        assert answer[:9] == unit.to_bytes(2, "big") + b"\0\0\0\x0f" + bytes((unit, 3, 12))
        response_ns = spec.devices[unit - 1].response_ns
        assert at_ns == unit * 3 * S + 600 * US + response_ns
        assert answer[9:] == registers(twin.field.servers[unit - 1].device, unit * 3 * S + 300 * US)
    assert desk.plant.requests == 5
    desk.close()
    twin.close()


def test_pipelined_and_split_requests_are_all_answered_in_order(host: Host) -> None:
    desk = Desk(bare(plant(host, count=2))).modbus()
    whole = b"".join(read(number, number % 2 + 1) for number in range(10))
    desk.say(S, whole, *(whole[i : i + 1] for i in range(len(whole))), whole[:30], whole[30:])
    desk.plant.run_to(2 * S)
    for unit in (1, 2):
        assert [answer[1] for _, answer in desk.heard if answer[6] == unit] == [
            n for n in range(10) if n % 2 + 1 == unit
        ] * 3
    desk.close()


@pytest.mark.parametrize("unit", [0, 3, 255])
def test_a_unit_that_is_not_there_is_refused_at_once(host: Host, unit: int) -> None:
    desk = Desk(bare(plant(host, count=2), delay_ns=5 * MS)).modbus()
    desk.say(S, read(7, unit))
    assert desk.heard == [(S, b"\0\x07\0\0\0\x03" + bytes((unit, 0x83, 0x0B)))]
    desk.close()


@pytest.mark.parametrize(
    "data",
    [b"GET / HTTP/1.1\r\n\r\n", b"\0\1\0\1\0\6\1\3\0\0\0\1", b"\0\1\0\0\0\1\1", b"\0\1\0\0\xff\xff\1\3"],
)
def test_what_is_no_modbus_ends_the_connection(host: Host, data: bytes) -> None:
    desk = Desk(bare(plant(host, count=2))).modbus()
    desk.say(S, read(1, 1), data, read(2, 1))
    desk.plant.run_to(10 * S)
    assert desk.hung_up
    assert desk.heard == [], "who is cut off hears nothing more"
    assert desk.plant.limits == {"not-modbus": 1}
    desk.plant.close()


def test_a_write_acts_and_another_client_sees_it(host: Host) -> None:
    desk = Desk(bare(plant(host, count=1))).modbus()
    device = desk.plant.field.servers[0].device
    point = device.model.points[9]
    address = point.address.to_bytes(2, "big")
    desk.say(S, b"\0\1\0\0\0\x0b\1\x10" + address + b"\0\2\4\x40\x60\0\0")  # 3.5 as f32
    desk.plant.run_to(2 * S)
    assert desk.heard[0][1][7:] == b"\x10" + address + b"\0\2"
    other: list[bytes] = []
    caller = ModbusCaller(desk.plant, {1: 0}, other.append, lambda: None)
    desk.plant.at(3 * S, caller.received, read(2, 1, point.address, 2))
    desk.plant.run_to(4 * S)
    assert other[0][-4:] == b"\x40\x60\0\0"
    caller.lost()
    desk.close()


def test_who_asks_too_much_is_not_read_from_until_there_is_room(host: Host) -> None:
    desk = Desk(bare(plant(host, count=2), delay_ns=MS)).modbus()
    for number in range(2 * WAITING_MAX):
        if desk.caller.full:
            break
        desk.say(S, read(number, 1))
    assert number == WAITING_MAX
    assert desk.plant.limits == {"client-requests": 1}
    desk.plant.run_to(2 * S)
    assert desk.rooms == 1
    assert not desk.caller.full
    assert len(desk.heard) == desk.plant.requests == WAITING_MAX
    desk.close()


def test_who_sends_a_lot_at_once_waits_for_the_wall_between(host: Host) -> None:
    """What lies in a client's buffer goes on when the outside says so: the plant's own time would be all
    his."""
    desk = Desk(bare(plant(host, count=2), delay_ns=MS)).modbus()
    desk.say(S, b"".join(read(number, number % 2 + 1) for number in range(3 * WAITING_MAX)))
    desk.plant.run_to(2 * S)
    assert (len(desk.heard), desk.rooms, desk.caller.full) == (WAITING_MAX, 1, False)
    for second in range(3, 7):
        desk.plant.at(second * S, desk.caller.go_on)
        desk.plant.run_to((second + 1) * S - 1)
    assert len(desk.heard) == 3 * WAITING_MAX
    desk.close()


def test_a_turn_is_bounded_however_much_is_due(host: Host) -> None:
    desk = Desk(bare(plant(host, count=2))).modbus()
    for number in range(WAITING_MAX - 1):
        desk.plant.put(S + number, desk.caller.received, read(number, 1))
    turns = 0
    while not desk.plant.turn(2 * S):
        turns += 1
    assert turns >= 3
    assert len(desk.heard) == WAITING_MAX - 1
    desk.close()


def test_trouble_of_the_timeline_is_on_the_wire(host: Host) -> None:
    """A cut cable delays what TCP repeats, one for too long loses it; a slow device is slow, a stuck sensor
    stuck, another device neither."""
    timeline = (
        act(S, "cut", "plant", 2 * S, leg="presses/1"), act(10 * S, "cut", "plant", 20 * S, leg="presses/1"),
        act(30 * S, "device-fault", "presses/1", 40 * S, kind="slow", delay_ns=700 * MS),
        act(50 * S, "device-fault", "presses/1", 60 * S, kind="stuck", point="pressure"),
    )  # fmt: skip
    spec = bare(plant(host, count=2), *timeline)
    desk = Desk(spec).modbus()
    response_ns = spec.devices[0].response_ns
    for at_ns in (1500 * MS, 12 * S, 25 * S, 31 * S, 51 * S, 59 * S):
        desk.say(at_ns, read(1, 1), read(2, 2))
    desk.plant.run_to(70 * S)
    of = {unit: [(at_ns, answer) for at_ns, answer in desk.heard if answer[6] == unit] for unit in (1, 2)}
    assert [at_ns for at_ns, _ in of[2]] == [
        at_ns + response_ns for at_ns in (1500 * MS, 12 * S, 25 * S, 31 * S, 51 * S, 59 * S)
    ]
    first, third, slow, stuck, still = of[1]
    assert 2 * S <= first[0] < 3 * S
    assert [third[0], slow[0]] == [25 * S + response_ns, 31 * S + response_ns + 700 * MS]
    assert stuck[1][9:13] == still[1][9:13] != slow[1][9:13]
    assert desk.plant.requests == 12, "one of them was lost, and isn't waited for"
    desk.close()


def test_a_device_that_swallows_answers_leaves_room(host: Host) -> None:
    silent = act(0, "device-fault", "presses/1", 10 * S, kind="silent")
    desk = Desk(bare(plant(host, count=1), silent)).modbus()
    for number in range(3 * WAITING_MAX):
        desk.say(S + number * MS, read(number, 1))
    assert not desk.caller.full
    assert desk.heard == []
    desk.say(11 * S, read(1, 1))
    desk.plant.run_to(12 * S)
    assert len(desk.heard) == 1
    desk.close()


def test_a_client_that_leaves_leaves_nothing(host: Host) -> None:
    desk = Desk(bare(plant(host, count=2), delay_ns=100 * MS)).modbus()
    servers = [desk.plant.field.servers[i] for i in range(2)]
    before = [len(server._connections) for server in servers]  # type: ignore[attr-defined]
    for number in range(20):
        caller = ModbusCaller(desk.plant, {1: 0, 2: 1}, desk.write, desk.hang_up)
        desk.plant.at(number * S, caller.received, read(1, 1) + read(2, 2))
        desk.plant.at(number * S + 50 * MS, caller.lost)
    desk.plant.run_to(60 * S)
    assert desk.heard == []
    assert [len(server._connections) for server in servers] == before  # type: ignore[attr-defined]
    desk.close()


# ---- lines ---------------------------------------------------------------------------------------
def rtu(unit: int, pdu: bytes) -> bytes:
    frame = bytes((unit,)) + pdu
    return frame + FramerRTU.compute_CRC(frame).to_bytes(2, "big")


def line(host: Host, *timeline: Action) -> Desk:
    spec = plant(host, count=3, serial_bd=9600)
    spec = bare(
        replace(spec, devices=tuple(replace(device, unit_id=i + 1) for i, device in enumerate(spec.devices))),
        *timeline,
    )
    desk = Desk(spec)
    desk.caller = LineCaller(desk.plant, desk.plant.field.line(spec.devices[0]), [0, 1, 2], desk.write)
    return desk


ASK = b"\x03\0\0\0\6"


def test_a_line_takes_its_time(host: Host) -> None:
    """Section 2.5.1: 11 bits a character; request, gap, the device, answer."""
    desk = line(host)
    desk.say(S, rtu(2, ASK))
    desk.plant.run_to(2 * S)
    ((at_ns, answer),) = desk.heard
    assert answer == rtu(
        2, b"\x03\x0c" + registers(desk.plant.field.servers[1].device, S + 8 * 11 * S // 9600)
    )
    character_ns = 11 * S / 9600
    assert at_ns == pytest.approx(
        S + (8 + 3.5 + 17) * character_ns + desk.plant.spec.devices[1].response_ns, abs=20
    )
    desk.close()


def test_on_a_line_strangers_broadcasts_and_noise_are_silence(host: Host) -> None:
    desk = line(host)
    for second, frame in enumerate(
        (rtu(9, ASK), b"garbage", rtu(1, ASK)[:-1] + b"\0", rtu(0, b"\x06\0\x12\0\1"), b""), 1
    ):
        desk.say(second * S, frame)
    desk.say(8 * S, rtu(3, ASK))
    desk.plant.run_to(9 * S)
    assert [answer[0] for _, answer in desk.heard] == [3]
    desk.close()


def test_two_requests_at_a_time_garble_each_other(host: Host) -> None:
    desk = line(host)
    desk.say(S, rtu(1, ASK))
    desk.say(S + 5 * MS, rtu(2, ASK))
    desk.say(3 * S, rtu(1, ASK))
    desk.plant.run_to(4 * S)
    assert [(at_ns > 3 * S, answer[0]) for at_ns, answer in desk.heard] == [(True, 1)]
    assert desk.plant.limits == {"line-collision": 1}
    desk.close()


# ---- OPC UA --------------------------------------------------------------------------------------
HELLO = (
    b"HELF\x38\0\0\0"
    + b"\0\0\0\0"
    + b"\xff\xff\0\0" * 2
    + b"\0\0\0\0" * 2
    + b"\x18\0\0\0opc.tcp://presses-1:4840"
)


def test_an_opcua_client_is_greeted_and_a_chatterer_cut_off(host: Host) -> None:
    desk = Desk(bare(mixed(host, ("opcua",)), delay_ns=MS))
    for data, answers in (
        (HELLO[:4] + len(HELLO).to_bytes(4, "little") + HELLO[8:], 1),
        (b"GET / HTTP/1.1\r\n\r\n", 0),
    ):
        desk.heard.clear()
        desk.caller = OpcUaCaller(
            plant=desk.plant,
            index=0,
            name=("127.0.0.1", 4999),
            peer="127.0.0.1",
            write=desk.write,
            hang_up=desk.hang_up,
        )
        desk.hung_up = False
        at_ns = desk.plant.env.now + S
        desk.say(at_ns, data)
        desk.plant.run_to(at_ns + S)
        assert [answer[:3] for _, answer in desk.heard][:1] == [b"ACK"] * answers
        assert desk.hung_up == (not answers)
    desk.close()


# ---- MQTT ----------------------------------------------------------------------------------------
class Port:
    """A broker of the real world as the senders of a plant meet it: our model, at once; ``there``: does it
    listen?"""

    def __init__(self, plant: ServedPlant) -> None:
        self.plant, self.broker, self.there = plant, Broker(), True
        self.dials = 0
        self.heard: list[tuple[int, Publish]] = []
        self.ends: list[Any] = []
        self.sender = Sender(plant, 0, self._dialled)
        self._reader = PacketReader()
        self.watcher = self.broker.connection(self._watched, lambda: None, 0)
        self.watcher.received(encode(Connect("watcher", True, 0)) + encode(Subscribe(1, (("#", 1),))), 0)

    def _dialled(self) -> None:
        self.dials += 1
        self.plant.env.call_in(0, self._answer)

    def _answer(self) -> None:
        if not self.there:
            self.sender.refused()
            return
        connections: list[Any] = []
        end = self.sender.opened(
            lambda data: connections[0].received(data, self.plant.env.now),
            lambda: connections[0].lost(self.plant.env.now),
        )
        connections.append(
            self.broker.connection(lambda data, tag, packet: end.received(data), end.lost, self.plant.env.now)
        )
        self.ends.append(end)

    def _watched(self, data: bytes, tag: Any, packet: int) -> None:
        for one in self._reader.feed(data):
            if isinstance(one, Publish):
                self.heard.append((self.plant.env.now, one))
                if one.qos:
                    self.watcher.received(encode(Puback(one.packet)), self.plant.env.now)

    def samples(self) -> list[tuple[int, dict[str, Any]]]:
        return [
            (at_ns, json.loads(one.payload)) for at_ns, one in self.heard if one.topic == "plant/presses/1"
        ]


def publishing(host: Host, *timeline: Action, qos: int = 1) -> Port:
    plant = ServedPlant(bare(mixed(host, ("mqtt",), qos=qos, poll_ns=S), *timeline, delay_ns=MS), EPOCH_NS)
    plant.boot()
    return Port(plant)


def test_a_device_publishes_by_its_plan_what_it_measures(host: Host) -> None:
    port = publishing(host)
    twin = ServedPlant(port.plant.spec, EPOCH_NS)
    port.plant.run_to(9 * S + S // 2)
    samples = port.samples()
    assert [at_ns // S for at_ns, _ in samples] == [*range(10)]
    device = twin.field.servers[0]
    assert isinstance(device, MqttDevice)
    for k, (_, payload) in enumerate(samples):
        assert payload == json.loads(device.payload(k * S)), "as in a run of the same seed"
    assert any(one.topic == "plant/presses/1/status" and one.payload == b"online" for _, one in port.heard)
    assert port.plant.requests == 10
    twin.close()
    port.plant.close()


@pytest.mark.parametrize(("qos", "came"), [(1, 30), (0, 26)])
def test_a_cut_cable_keeps_what_has_qos_1(host: Host, qos: int, came: int) -> None:
    port = publishing(host, act(5500 * MS, "cut", "plant", 9 * S, leg="presses/1"), qos=qos)
    port.plant.run_to(29 * S + 500 * MS)
    assert abs(len({payload["ts"] for _, payload in port.samples()}) - came) <= (4 if qos == 0 else 0)
    port.plant.close()


def test_a_broker_that_is_not_there_is_tried_again_ever_more_seldom(host: Host) -> None:
    port = publishing(host)
    port.there = False
    port.plant.run_to(60 * S)
    assert 5 <= port.dials == port.plant.limits["broker-refused"] <= 8
    port.there = True
    port.plant.run_to(100 * S)
    assert len({payload["ts"] for _, payload in port.samples()}) == 100, (
        "QoS 1: the outbox of a hundred holds them"
    )
    port.ends[-1].lost()
    port.plant.run_to(110 * S)
    assert len(port.ends) == 2, "it calls again"
    assert len({payload["ts"] for _, payload in port.samples()}) == 110
    port.plant.close()
