"""The life of an MQTT session at the driver: what a broker may do with identifiers, backlogs, long messages,
and a host that comes and goes."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.components.test_mqtt_driver import (
    FUEL,
    NOTHING,
    POINTS,
    TOPIC,
    Bus,
    S,
    ask,
    document,
    driver,
    publish,
)
from twinloop.components.contract.contract import PointConfig, Settings
from twinloop.components.host.host import Host
from twinloop.devices.mqtt.broker import Broker
from twinloop.devices.mqtt.packet import Connack, Pingreq, Pingresp, Puback, Publish, Suback, encode


def session(host: Host, **options: str) -> tuple[Any, Bus]:
    bus = Bus(broker=Broker())
    instance = driver(host, bus, **options)
    assert ask(instance, bus) == NOTHING
    return instance, bus


def test_a_broker_may_give_an_identifier_again_to_another_message(host: Host) -> None:
    """The lowest that is free, as some do: with DUP set it is still one that was never read."""
    instance, bus = session(host)
    bus.hear(encode(Publish(TOPIC, document(a=1), 1, packet=1)))
    assert ask(instance, bus).value.readings[0].value == 1.0
    assert ask(instance, bus) == NOTHING
    bus.hear(encode(Publish(TOPIC, document(a=2), 1, dup=True, packet=1)))
    assert ask(instance, bus).value.readings[0].value == 2.0
    bus.hear(encode(Publish(TOPIC, document(a=2), 1, dup=True, packet=1)))
    assert ask(instance, bus) == NOTHING, "that one was"
    instance.close()


def test_a_whole_window_that_comes_again_is_known(host: Host) -> None:
    instance, bus = session(host)
    copies = [encode(Publish(TOPIC, document(a=k), 1, packet=k + 1)) for k in range(20)]
    for copy in copies:
        bus.hear(copy)
        assert ask(instance, bus).ok
    for k in range(20):
        bus.hear(encode(Publish(TOPIC, document(a=k), 1, dup=True, packet=k + 1)))
    assert ask(instance, bus) == NOTHING
    instance.close()


def test_a_backlog_comes_before_the_answer_to_the_subscription(host: Host) -> None:
    instance, bus = session(host)
    assert bus.broker is not None
    bus._connection.lost(bus.now_ns)
    filler = "x" * 15_000
    for k in range(20):
        bus.broker.publish(
            Publish(TOPIC, json.dumps({"values": {"a": k}, "filler": filler}).encode(), 1, packet=1), None
        )
    instance.close()
    bus.unread = b""
    instance = driver(host, bus)
    assert [ask(instance, bus).value.readings[0].value for _ in range(20)] == [float(k) for k in range(20)]
    assert ask(instance, bus) == NOTHING
    assert len(bus.broker.sessions["gw:presses/1"].inflight) == 0
    assert bus.resets == 0
    instance.close()


@pytest.mark.parametrize("size", [17_000, 270_000, 600_000])
@pytest.mark.parametrize("qos", [0, 1])
def test_a_message_that_is_too_long_is_refused_acknowledged_and_read_past(
    host: Host, size: int, qos: int
) -> None:
    instance, bus = session(host)
    bus.hear(
        encode(Publish(TOPIC, b"x" * size, qos, packet=qos and 7))
        + encode(Publish(TOPIC, document(a=5), qos, packet=qos and 8))
    )
    message = "payload too long" if size < 262_144 else "message too long"
    assert ask(instance, bus) == (False, ("malformed", message))
    assert ask(instance, bus).value.readings[0].value == 5.0
    assert [packet for packet in bus.sent if isinstance(packet, Puback)] == [Puback(7)] * qos
    assert bus.resets == 0
    instance.close()


def test_many_points_cost_one_walk(host: Host) -> None:
    points = [PointConfig(i, f"p{i}", f"values.p{i}", "", 1.0, 0.0, None, None) for i in range(500)]
    bus = Bus(broker=Broker())
    instance = driver(host, bus, points)
    assert ask(instance, bus) == NOTHING
    assert bus.broker is not None
    publish(bus.broker, json.dumps({"ts": 1, "values": {f"p{i}": i for i in range(500)}}).encode())
    instance.begin("read-sensor", (), FUEL)
    fuel = instance.advance()
    while instance.request is not None:
        instance.answer(bus.answer(instance.request))
        fuel += instance.advance()
    assert [r.value for r in instance.result().value.readings] == [float(i) for i in range(500)]
    assert fuel < 8_000_000
    instance.close()


def test_names_with_escapes_match_and_what_comes_twice_counts_last(host: Host) -> None:
    points = [
        PointConfig(0, "t", "values.temp\u00e9rature", "", 1.0, 0.0, None, None),
        PointConfig(1, "b", "values.b", "", 1.0, 0.0, None, None),
    ]
    bus = Bus(broker=Broker())
    instance = driver(host, bus, points)
    assert ask(instance, bus) == NOTHING
    assert bus.broker is not None
    publish(bus.broker, b'{"values":{"temp\\u00e9rature":21.5,"b":1,"b":2}}')
    assert [r.value for r in ask(instance, bus).value.readings] == [21.5, 2.0]
    instance.close()


def test_configure_again_leaves_the_bus_alone_and_remembers_what_was_handled(host: Host) -> None:
    instance, bus = session(host)
    assert bus.broker is not None
    publish(bus.broker, document(a=1))
    assert ask(instance, bus).ok
    said = len(bus.sent)
    given = {"protocol": "mqtt", "topic": TOPIC, "client": "gw:presses/1"}
    instance.begin("configure", (Settings("presses/1", POINTS, list(given.items())),), FUEL)
    instance.advance()
    assert instance.request is None
    assert instance.result().ok
    assert len(bus.sent) == said
    assert ask(instance, bus) == NOTHING, "a new connection; the message that comes again is known"
    assert bus.resets == 1
    assert ask(instance, bus, "get-status").polls == 1
    publish(bus.broker, document(a=2))
    assert ask(instance, bus).value.readings[0].value == 2.0
    instance.close()


def test_a_nudge_does_not_break_a_handshake_or_a_write(host: Host) -> None:
    late: list[bytes] = []

    class Slow(Bus):
        """Answers come with the third wait; the two before are ended early."""

        waits = 0

        def answer(self, request: Any) -> Any:
            if request.name == "fieldbus.receive" and late and not self.unread:
                self.waits += 1
                if self.waits % 3:
                    self.now_ns += 1000
                    return False, ("timeout", None)
                self.hear(late.pop(0))
            return super().answer(request)

    def talk(data: bytes) -> bytes:
        late.append(
            {0x10: encode(Connack(False)), 0x82: encode(Suback(1, (1, 1))), 0x32: encode(Puback(2))}.get(
                data[0], b""
            )
        )
        return b""

    bus = Slow(talk)
    instance = driver(host, bus)
    ask(instance, bus)
    assert bus.resets == 0
    late.clear()
    assert ask(instance, bus, "write-register", (0, ("real", 1.0))).ok
    assert bus.resets == 0
    instance.close()


def test_an_answer_to_a_ping_that_lay_unread_counts(host: Host) -> None:
    instance, bus = session(host, **{"keep-alive": "30 s", "wait": "10 s"})
    assert bus.broker is not None
    assert [packet for packet in bus.sent if isinstance(packet, Pingreq)] == []
    bus.now_ns += 10 * S
    connection = bus._connection
    send = connection.send
    connection.send = lambda data, tag, packet: None  # the answer is late
    bus.nudged = True
    assert ask(instance, bus) == NOTHING
    assert any(isinstance(packet, Pingreq) for packet in bus.sent)
    bus.hear(encode(Pingresp()))
    connection.send = send
    bus.now_ns += 60 * S
    bus.nudged = False
    assert ask(instance, bus) == NOTHING
    assert bus.resets == 0
    instance.close()


def test_a_sign_of_life_goes_out_while_messages_pour_in(host: Host) -> None:
    instance, bus = session(host, **{"keep-alive": "30 s", "wait": "1 s", "qos": "0"})
    assert bus.broker is not None
    for k in range(40):
        bus.now_ns += 3 * S
        publish(bus.broker, document(a=k), 0)
        assert ask(instance, bus).ok
    assert len([packet for packet in bus.sent if isinstance(packet, Pingreq)]) >= 5
    instance.close()


def test_a_lower_qos_than_asked_for_is_told(host: Host) -> None:
    answers = {0x10: encode(Connack(False)), 0x82: encode(Suback(1, (0, 0)))}
    bus = Bus(lambda data: answers.get(data[0], b""))
    instance = driver(host, bus)
    assert ask(instance, bus) == NOTHING
    status = ask(instance, bus, "get-status")
    assert (status.health, status.detail) == ("degraded", "the broker grants QoS 0 only")
    instance.close()


@pytest.mark.parametrize("address", ['values."a', "values.\\a", "values.\n"])
def test_an_address_that_would_break_json_is_refused(host: Host, address: str) -> None:
    instance = driver(host, Bus(broker=Broker()), [PointConfig(0, "p", address, "", 1.0, 0.0, None, None)])
    assert instance.result() == (False, ("bad-address", address))
    instance.close()


def test_memory_stays_flat(host: Host) -> None:
    instance, bus = session(host)
    assert bus.broker is not None
    written: tuple[Any, ...] = (
        lambda k: ("real", float(k)),
        lambda k: ("integer", ("unsigned", 2**63 + k)),
        lambda k: ("text", f'"{k}'),
    )

    def messages(count: int) -> None:
        for k in range(count):
            payload = (document(a=k, b=2**63 + k), document(a="", b="text"), b"{", document(), b"x" * 20_000)[
                k % 5
            ]
            publish(bus.broker, payload, k % 2)  # type: ignore[arg-type]
            ask(instance, bus)
            if k % 50 == 0:
                bus._connection.lost(bus.now_ns)
                bus.unread = b""
                bus.now_ns += 30 * S
                for _ in range(3):
                    ask(instance, bus)
            ask(instance, bus, "get-status")
            ask(instance, bus, "write-register", (0, written[k % 3](k)))

    messages(300)
    before = instance.memory_bytes
    messages(3000)
    assert instance.memory_bytes == before
    instance.close()
