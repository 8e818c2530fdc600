"""Messages on their way to a session of a broker: queued, in the window, sent.

Belongs here: one session's queue and window. Never: who gets which message (broker.py).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twinloop.devices.mqtt.packet import Publish
from twinloop.devices.mqtt.session import Copy, MqttConnection, MqttSession

QUEUED_MAX = 1000
"""QoS 1 messages that wait for one session (mosquitto.conf(5), max_queued_messages)"""


class Told(Protocol):
    """Who hears of what didn't go out."""

    on_gone: Callable[[str, Any, str], None]
    """(client, tag, why): a copy was given up"""
    on_limit: Callable[[str, str], None]
    """(limit, client): it was met"""


def enqueue(told: Told, session: MqttSession, copy: Copy) -> bool:
    """False when it was given up at once: QoS 0 for a client that is away, no room, or more than the
    client takes."""
    connection = session.connection
    if connection is not None and connection.packet_max and not fits(told, connection, copy):
        return False
    if not copy.qos:
        if connection is None:
            return False
        send(session, copy)
        return True
    if len(session.queued) >= QUEUED_MAX:
        told.on_limit("mqtt-queued", session.client)
        return False
    session.queued.append(copy)
    pump(told, session)
    return True


def fits(told: Told, connection: MqttConnection, copy: Copy) -> bool:
    """Does the client take so much in one packet? Else it is as if it had been sent [MQTT-3.1.2-25]."""
    whole = connection.encode(
        Publish(copy.topic, copy.payload, copy.qos, copy.retain, False, 1, copy.properties)
    )
    if not connection.packet_max or len(whole) <= connection.packet_max:
        return True
    told.on_limit("mqtt-packet-bytes", "" if connection.session is None else connection.session.client)
    return False


def pump(told: Told, session: MqttSession) -> None:
    """Send what waits, as far as the window allows."""
    while (
        session.connection is not None
        and session.queued
        and len(session.inflight) < session.connection.window
    ):
        copy = session.queued.popleft()
        if session.connection.packet_max and not fits(told, session.connection, copy):
            told.on_gone(session.client, copy.tag, "overrun")
            continue
        if not copy.sent:  # else it keeps its identifier
            session.packet = session.packet % 65_535 + 1
            while session.packet in session.inflight:
                session.packet = session.packet % 65_535 + 1
            copy.packet = session.packet
        session.inflight[copy.packet] = copy
        send(session, copy)


def send(session: MqttSession, copy: Copy) -> None:
    """Send it now, to a client that is there; a second time as DUP."""
    assert session.connection is not None
    packet = Publish(
        copy.topic,
        copy.payload,
        copy.qos,
        copy.retain,
        copy.sent and copy.qos > 0,
        copy.packet,
        copy.properties,
    )
    copy.sent = True
    session.connection.send(session.connection.encode(packet), copy.tag, copy.packet)
