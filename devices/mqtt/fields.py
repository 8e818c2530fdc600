"""What MQTT packets of every level are made of: numbers, strings, topics.

Belongs here: sections 1.5 and 4.7 of the standards (3.1.1 and 5.0 say the same), whose numbers are beside the
code. Never: packets (packet.py).
"""

from __future__ import annotations

TOPIC_BYTES_MAX = 1024


class ProtocolError(ValueError):
    """The peer broke the protocol: the connection must be closed [MQTT-4.8.0-1]. ``reason``: of MQTT 5.0's
    codes (section 2.4); malformed packet."""

    def __init__(self, text: str, reason: int = 0x81) -> None:
        super().__init__(text)
        self.reason = reason


class Cursor:
    """A packet's remaining bytes. What isn't there, or isn't what it should be, is a ProtocolError."""

    def __init__(self, data: bytes) -> None:
        self._data, self.at = data, 0

    @property
    def left(self) -> int:
        """Bytes that haven't been taken."""
        return len(self._data) - self.at

    def take(self, count: int) -> bytes:
        """The next so many."""
        data, begun = self._data, self.at
        end = begun + count
        if end > len(data):
            raise ProtocolError(f"{count} bytes expected, {self.left} are left")
        self.at = end
        return data[begun:end]

    def since(self, begun: int) -> bytes:
        """What was taken since it stood there."""
        return self._data[begun : self.at]

    def number(self) -> int:
        """Two bytes."""
        return int.from_bytes(self.take(2), "big")

    def identifier(self) -> int:
        """2.3.1: not zero."""
        number = self.number()
        if not number:
            raise ProtocolError("packet identifier 0")
        return number

    def binary(self) -> bytes:
        """Bytes behind their count."""
        return self.take(self.number())

    def text(self) -> str:
        """1.5.3: UTF-8 without surrogates and without U+0000."""
        raw = self.binary()
        try:
            text = raw.decode()
        except UnicodeDecodeError as error:
            raise ProtocolError("a string that isn't UTF-8") from error
        if "\0" in text:
            raise ProtocolError("a string with U+0000")
        return text

    def end(self) -> None:
        """Nothing is left."""
        if self.left:
            raise ProtocolError(f"{self.left} bytes too many")


def check_topic(topic: str) -> str:
    """4.7: a name to publish to; raises ProtocolError."""
    if not topic or "+" in topic or "#" in topic or len(topic.encode()) > TOPIC_BYTES_MAX:
        raise ProtocolError(f"topic name {topic[:40]!r}")
    return topic


def check_filter(pattern: str) -> str:
    """4.7.1: ``#`` alone and last, ``+`` alone in its level; raises ProtocolError."""
    levels = pattern.split("/")
    wrong = not pattern or len(pattern.encode()) > TOPIC_BYTES_MAX or "#" in "".join(levels[:-1]) or any(
        (level != "+" and "+" in level) or (level != "#" and "#" in level) for level in levels
    )  # fmt: skip
    if wrong:
        raise ProtocolError(f"topic filter {pattern[:40]!r}")
    return pattern


def matches(pattern: str, topic: str) -> bool:
    """4.7: does a topic match a filter? Wildcards at the beginning don't match ``$`` topics."""
    if topic[0] == "$" and pattern[0] in "+#":
        return False
    if pattern == topic:
        return True
    wanted, found = pattern.split("/"), topic.split("/")
    for i, level in enumerate(wanted):
        if level == "#":
            return True
        if i >= len(found) or level not in ("+", found[i]):
            return False
    return len(wanted) == len(found)
