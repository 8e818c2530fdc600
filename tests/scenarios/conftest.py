"""What tests of whole scenarios share."""

from __future__ import annotations

import json
from typing import Any

import pytest

from twinloop.sim.cloud.messages import Message
from twinloop.sim.gateway import pipeline


@pytest.fixture
def bodies(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What is written into messages."""
    found: list[Any] = []
    plain = Message.__init__

    def noting(self: Message, row: Any, mask: int, lane: int, topic: bytes, body: bytes) -> None:
        found.append(json.loads(body))
        plain(self, row, mask, lane, topic, body)

    monkeypatch.setattr(Message, "__init__", noting)
    monkeypatch.setattr(pipeline, "new_message", Message)
    return found
