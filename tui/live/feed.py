"""The connection to a process that serves, with what a Feed has: ``take``, ``look``, ``send``, ``left``,
``alive``, ``close``.

Belongs here: asking, one question at a time, in a thread of its own; trying again. Never: what the answers
mean (facts.py).
"""

from __future__ import annotations

import contextlib
import http.client
import json
import secrets
import socket
import threading
from collections import deque
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from twinloop.scenarios.text.errors import ScenarioError
from twinloop.tui.engine.explored import CloserView
from twinloop.tui.engine.messages import Command, Look, Quit, Refused, Reply, Wrong
from twinloop.tui.live.facts import NotUnderstood, Plan, Seen, clean, plan_of, seen

LOOK_S = 0.25
"""between two questions"""
ANSWER_S = 5.0
"""for an answer to come"""
ANSWER_BYTES_MAX = 64 << 20
"""of one answer"""
TRIES, RETRY_S = 10, 1.0
"""how often a connection that is lost is tried again, and after how long each time"""
HISTORY_MAX = 240
"""looks at a device, and at all requests, that are remembered"""
REPLIES_MAX = 64
"""that wait for the screen; the oldest go"""
RATE_S, STRETCH_S = 5.0, 1.0
"""over how long requests a second are taken, at least: now, and over time"""
READ_ONLY = "the run is in other hands: this terminal only looks on"


@dataclass(frozen=True, slots=True)
class Address:
    """Where a process serves its state."""

    host: str
    port: int
    token: str

    @property
    def shown(self) -> str:
        """Without the token: it may stand on a screen that others see."""
        return f"http://{f'[{self.host}]' if ':' in self.host else self.host}:{self.port}/"


def address(url: str) -> Address:
    """Of what ``serve --watch-port`` has printed; raises ScenarioError."""
    expected = "expected the URL that serve --watch-port prints: http://127.0.0.1:PORT/?token=..."
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        token = parse_qs(parts.query).get("token", [""])[-1]
    except ValueError as error:
        raise ScenarioError("--attach", None, "", f"{expected}, got a URL that isn't one: {error}") from error
    if parts.scheme != "http" or not host or port is None:
        raise ScenarioError("--attach", None, "", f'{expected}, got "{clean(url)}"')
    if not token:
        raise ScenarioError("--attach", None, "", f"{expected}, got one without a token (put it in quotes)")
    return Address(host, port, token)


class _Refusal(Exception):
    """The other side doesn't want us, or isn't a twinloop that serves: trying again is of no use."""


class LiveFeed:
    """One connection, begun at once."""

    def __init__(self, at: Address) -> None:
        self._at, self._who = at, secrets.token_hex(8)
        self._replies: deque[Reply] = deque(maxlen=REPLIES_MAX)
        self._wanted = Look()
        self._look, self._closed = threading.Event(), threading.Event()
        self._http = http.client.HTTPConnection(at.host, at.port)
        self._plan: Plan | None = None
        self._last: Seen | None = None
        self._totals: deque[tuple[int, int, tuple[int, ...]]] = deque(maxlen=HISTORY_MAX)
        """(instant, requests, those of each fleet) of each look"""
        self._history: tuple[int, deque[tuple[float, ...]]] = (-1, deque(maxlen=HISTORY_MAX))
        """the device that is looked at, and its values"""
        self._thread = threading.Thread(target=self._run, daemon=True, name="twinloop attached")
        self._thread.start()

    # ---- as a Feed -------------------------------------------------------------------------------
    def send(self, command: Command) -> None:
        """Whatever would change the run is refused, in words."""
        if isinstance(command, Look):
            self.look(command)
        elif not isinstance(command, Quit):
            self._replies.append(Wrong(READ_ONLY))

    def look(self, look: Look) -> None:
        """What is wanted from now on."""
        self._wanted = look
        self._look.set()

    def take(self) -> list[Reply]:
        """All that has come."""
        taken: list[Reply] = []
        while self._replies:
            taken.append(self._replies.popleft())
        return taken

    def left(self, width: int) -> str:
        """Where it stood when this terminal left."""
        last = self._last
        if last is None or self._plan is None:
            return ""
        if last.mode == "over":
            end = f"ended: {last.verdict}" if last.verdict else "has ended"
            return f"{self._plan.name}: serve {end}\n"
        return f"{self._plan.name}: {last.lost or 'serve goes on; the report stands where it was started'}\n"

    @property
    def alive(self) -> bool:
        """Does it still ask?"""
        return self._thread.is_alive()

    def close(self) -> None:
        """It asks no more."""
        self._closed.set()
        self._look.set()
        with contextlib.suppress(AttributeError, OSError):  # none, or no more
            self._http.sock.shutdown(socket.SHUT_RDWR)  # it needn't wait for an answer any more
        self._thread.join(ANSWER_S + 1)

    # ---- the thread ------------------------------------------------------------------------------
    def _run(self) -> None:
        tries = 0
        while not self._closed.is_set():
            try:
                if self._plan is None:
                    self._plan = plan_of(self._ask("/plan"), self._at.shown)
                    self._replies.append(self._plan)
                self._seen(self._ask("/state", after=self._wanted.line, device=self._wanted.device))
                tries = 0
                if self._last is not None and self._last.mode == "over":
                    return
                self._closed.wait(LOOK_S)
                self._look.wait()
                self._look.clear()
            except (_Refusal, NotUnderstood) as error:
                self._refuse(str(error))
                return
            except (OSError, http.client.HTTPException) as error:
                tries += 1
                if self._closed.is_set() or not self._again(tries, error):
                    return
                self._closed.wait(RETRY_S)

    def _ask(self, path: str, **more: int) -> Any:
        """Raises OSError, HTTPException, _Refusal, NotUnderstood."""
        query = urlencode({"token": self._at.token, "who": self._who, **more})
        connection = http.client.HTTPConnection(self._at.host, self._at.port, timeout=ANSWER_S)
        self._http = connection
        try:
            connection.request("GET", f"{path}?{query}")
            answer = connection.getresponse()
            body = answer.read(ANSWER_BYTES_MAX + 1)
        finally:
            connection.close()
        if answer.status == http.client.FORBIDDEN:
            raise _Refusal("it refuses the token: use the URL that this serve has printed at its start")
        if answer.status == http.client.SERVICE_UNAVAILABLE:
            raise OSError("too many look on already")
        if len(body) > ANSWER_BYTES_MAX:
            raise NotUnderstood(f"more than {ANSWER_BYTES_MAX >> 20} MiB")
        try:
            data = json.loads(body)
        except (ValueError, RecursionError) as error:
            raise NotUnderstood("it isn't JSON") from error
        if answer.status != http.client.OK:
            raise NotUnderstood(f"it answers {answer.status}")
        return data

    def _seen(self, data: Any) -> None:
        """A view more, with what only several looks can tell."""
        assert self._plan is not None
        try:
            view = seen(self._plan, data)
        except (KeyError, TypeError, AttributeError) as error:
            raise NotUnderstood(str(error)) from error
        fleets = tuple(dict.fromkeys(one.fleet for one in self._plan.devices))
        order = {name: i for i, name in enumerate(fleets)}
        by_fleet = [0] * len(fleets)
        for info, row in zip(self._plan.devices, view.served, strict=True):
            by_fleet[order[info.fleet]] += row.answers if row.requests is None else row.requests
        self._totals.append((view.snapshot.now_ns, sum(by_fleet), tuple(by_fleet)))
        self._last = replace(
            view,
            carried_per_s=_rates(self._totals, len(fleets)),
            per_s=_over_time(self._totals),
            closer=CloserView(None if view.device is None else self._with_history(view)),
        )
        self._replies.append(self._last)

    def _with_history(self, view: Seen) -> Any:
        found = view.device
        assert found is not None
        if self._history[0] != found.index:
            self._history = found.index, deque(maxlen=HISTORY_MAX)
        nothing = float("nan")
        self._history[1].append(
            tuple(nothing if value is None or isinstance(value, str) else value for value, _ in found.values)
        )
        return replace(found, history=tuple(zip(*self._history[1], strict=True)))

    def _refuse(self, why: str) -> None:
        if self._last is None:
            self._replies.append(Refused(f"{self._at.shown}: {why}"))
        else:
            self._tell_lost(f"{why}; r connects again")

    def _again(self, tries: int, error: Exception) -> bool:
        """Say that nothing comes; is it tried once more?"""
        why = str(getattr(error, "strerror", None) or error or type(error).__name__)
        if self._last is None:
            if tries <= TRIES and not isinstance(error, ConnectionRefusedError):
                return True
            self._replies.append(Refused(f"{self._at.shown}: {why}: does twinloop serve run there?"))
            return False
        if tries > TRIES:
            self._tell_lost(f"the connection is lost, given up after {TRIES} tries; r connects again")
            return False
        self._tell_lost(f"the connection is lost, trying again ({tries} of {TRIES})")
        return True

    def _tell_lost(self, why: str) -> None:
        assert self._last is not None
        self._last = replace(self._last, lost=why, log=())
        self._replies.append(self._last)


Totals = deque[tuple[int, int, tuple[int, ...]]]


def _rates(totals: Totals, fleets: int) -> tuple[float, ...]:
    """Requests a second of each fleet, over RATE_S or what is known."""
    now, _, last = totals[-1]
    before = next((one for one in reversed(totals) if now - one[0] >= RATE_S * 1e9), totals[0])
    span_s = (now - before[0]) / 1e9
    if span_s <= 0:
        return (0.0,) * fleets
    return tuple((b - a) / span_s for a, b in zip(before[2], last, strict=True))


def _over_time(totals: Totals) -> tuple[tuple[int, float], ...]:
    """(instant, requests a second over the STRETCH_S before it)."""
    found, first, known = [], 0, list(totals)
    for at, count, _ in known[1:]:
        while known[first + 1][0] <= at - STRETCH_S * 1e9:
            first += 1
        since, before, _ = known[first]
        if at - since >= STRETCH_S * 1e9:
            found.append((at, max(0.0, (count - before) * 1e9 / (at - since))))
    return tuple(found)
