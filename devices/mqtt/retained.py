"""What an MQTT broker retains, and to whose new subscriptions it is still to be told: in turns, so that
nobody waits for another's.

Belongs here: messages by topic, subscriptions that haven't heard all of them. Never: sending (broker.py).
"""

from __future__ import annotations

from collections.abc import Iterator

from twinloop.devices.mqtt.packet import Publish
from twinloop.devices.mqtt.session import MqttSession
from twinloop.devices.mqtt.topics import in_turns

RETAINED_MAX = 100_000
"""topics with a retained message; a new one beyond it isn't retained"""
RETAINED_A_TURN = 100
"""topics that are looked at for new subscriptions before others have a turn"""


class Retained:
    """``messages``: topic -> the last one that was to be retained. Subscriptions are told one after the
    other: one list is walked at a time."""

    def __init__(self) -> None:
        self.messages: dict[str, Publish] = {}
        self._kept_at: dict[str, int] = {}
        self._count = 0
        """messages that were to be retained so far: a clock"""
        self._owed: dict[tuple[str, str], tuple[MqttSession, int]] = {}
        """(client, filter) -> who waits to be told, and what the clock said when he subscribed"""
        self._active: tuple[str, str] | None = None

    def keep(self, packet: Publish) -> bool:
        """Retain it in place of the one before; without a payload that is taken away [MQTT-3.3.1-10]. False
        when there are too many."""
        topic = packet.topic
        if not packet.payload:
            self.messages.pop(topic, None)
            self._kept_at.pop(topic, None)
            return True
        if topic not in self.messages and len(self.messages) >= RETAINED_MAX:
            return False
        self._count += 1
        self.messages[topic], self._kept_at[topic] = packet, self._count
        return True

    def owe(self, session: MqttSession, pattern: str) -> None:
        """A filter was subscribed to: all that is retained now is to be told, also if it was being told
        already (3.8.4)."""
        self.forget(session, pattern)
        self._owed[session.client, pattern] = session, self._count

    def forget(self, session: MqttSession, pattern: str) -> None:
        """It isn't subscribed to any more."""
        key = session.client, pattern
        self._owed.pop(key, None)
        if self._active == key:
            self._active = None

    def turns(self) -> Iterator[tuple[MqttSession, str, Publish] | None]:
        """(session, filter, message) of all that is owed, and None when others should have a turn. What is
        retained after a subscription was made has come to it as itself."""
        while self._owed:
            key = next(iter(self._owed))
            session, asked = self._owed.pop(key)
            self._active = key
            for kept in in_turns(key[1], self.messages, RETAINED_A_TURN):
                if self._active is not key:
                    break
                if kept is None:
                    yield None
                elif self._kept_at[kept.topic] <= asked:
                    yield session, key[1], kept
        self._active = None
