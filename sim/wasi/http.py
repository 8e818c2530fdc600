"""wasi:http/types as far as a client comes before its request is denied.

Belongs here: fields, requests, bodies that go out, options: what a guest makes for itself. Never: sending
them. No simulated host speaks HTTP: `outgoing-handler.handle` is denied like any call that isn't granted
(`HTTP-request-denied`, see system.py), so a client learns it in its own words, and nothing that only an
answer could bring (incoming-response, trailers) is ever there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from twinloop.components.contract.contract import Result
from twinloop.components.contract.errors import GuestEnded
from twinloop.components.wasi.interfaces import resource_number
from twinloop.sim.wasi.guest import OK, Handler
from twinloop.sim.wasi.streams import Output

HEADERS_BYTES_MAX = 1 << 20
"""of all fields that one instance holds; more ends it (cause ``quota``)"""
FORBIDDEN = (
    "connection",
    "host",
    "http2-settings",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "upgrade",
)
"""fields that are the host's to set (as wasmtime has it)"""
_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
"""RFC 9110 section 5.6.2"""
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
"""RFC 3986 section 3.1"""
_FIELDS, _REQUEST = "http/types#[method]fields.", "http/types#[method]outgoing-request."
_BODY = "http/types#[method]outgoing-body."
_OPTIONS = "http/types#[method]request-options."
TIMEOUTS = ("connect-timeout", "first-byte-timeout", "between-bytes-timeout")
FAILED: Result = (False, None)
Entries = list[tuple[str, bytes]]


class Fields:
    """Headers. ``immutable``: they are a request's."""

    resource = resource_number("fields")

    def __init__(self, part: Http, entries: Entries, immutable: bool = False) -> None:
        self._part, self.entries, self.immutable = part, entries, immutable
        part.hold(self.size_bytes())

    def size_bytes(self) -> int:
        """Of names and values."""
        return sum(len(name) + len(value) for name, value in self.entries)

    def put(self, entries: Entries) -> None:
        """They are these now."""
        self._part.hold(-self.size_bytes())
        self.entries = entries
        self._part.hold(self.size_bytes())

    def dropped(self) -> None:
        """The guest has let them go."""
        self._part.hold(-self.size_bytes())


class Request:
    """One that is being made. ``said``: method, path, scheme, authority."""

    resource = resource_number("outgoing-request")

    def __init__(self, headers: Fields) -> None:
        self.headers = headers
        self.said: dict[str, Any] = {
            "method": ("get", None), "path-with-query": None, "scheme": None, "authority": None
        }  # fmt: skip
        self.has_given_body = False

    def dropped(self) -> None:
        """The guest has let it go, and its headers with it."""
        self.headers.dropped()


class Body:
    """What would be sent: nobody takes it."""

    resource = resource_number("outgoing-body")

    def __init__(self) -> None:
        self.has_given_stream = False

    def dropped(self) -> None:
        """The guest has let it go."""


class Options:
    """Timeouts of a request."""

    resource = resource_number("request-options")

    def __init__(self) -> None:
        self.timeouts: dict[str, int | None] = dict.fromkeys(TIMEOUTS)

    def dropped(self) -> None:
        """The guest has let them go."""


class Http:
    """Of one component's place."""

    def __init__(self) -> None:
        self._held_bytes = 0
        self.now: dict[str, Handler] = {
            "http/types#[constructor]fields": lambda: Fields(self, []),
            "http/types#[static]fields.from-list": self._from_list,
            f"{_FIELDS}get": lambda fields, name: [v for key, v in fields.entries if _same(key, name)],
            f"{_FIELDS}has": lambda fields, name: any(_same(key, name) for key, _ in fields.entries),
            f"{_FIELDS}set": self._set,
            f"{_FIELDS}delete": lambda fields, name: self._set(fields, name, ()),
            f"{_FIELDS}append": lambda fields, name, value: self._change(
                fields, name, [value], fields.entries
            ),
            f"{_FIELDS}entries": lambda fields: fields.entries,
            f"{_FIELDS}clone": lambda fields: Fields(self, list(fields.entries)),
            "http/types#[constructor]outgoing-request": Request,
            f"{_REQUEST}body": _body,
            f"{_REQUEST}headers": lambda request: Fields(self, [*request.headers.entries], immutable=True),
            "http/types#[constructor]request-options": Options,
            f"{_BODY}write": _stream,
            "http/types#[static]outgoing-body.finish": lambda body, trailers: OK,
            "http/types#http-error-code": lambda error: None,
        }
        for what, check in _CHECKS.items():
            self.now[f"{_REQUEST}{what}"] = partial(lambda what, request: request.said[what], what)
            self.now[f"{_REQUEST}set-{what}"] = partial(_say, what, check)
        for timeout in TIMEOUTS:
            self.now[f"{_OPTIONS}{timeout}"] = partial(lambda name, options: options.timeouts[name], timeout)
            self.now[f"{_OPTIONS}set-{timeout}"] = partial(_set_timeout, timeout)
        self.later: dict[str, Callable[..., Any]] = {}

    def hold(self, change_bytes: int) -> None:
        """Fields have grown or shrunk; raises GuestEnded when they are too large."""
        self._held_bytes += change_bytes
        if change_bytes > 0 and self._held_bytes > HEADERS_BYTES_MAX:
            raise GuestEnded("quota", f"more than {HEADERS_BYTES_MAX} bytes of HTTP fields")

    # ---- fields ----------------------------------------------------------------------------------
    def _from_list(self, entries: Entries) -> Result:
        for name, value in entries:
            wrong = _wrong(name, [value])
            if wrong:
                return False, (wrong, None)
        return True, Fields(self, [*entries])

    def _set(self, fields: Fields, name: str, values: Sequence[bytes]) -> Result:
        return self._change(
            fields, name, values, [entry for entry in fields.entries if not _same(entry[0], name)]
        )

    @staticmethod
    def _change(fields: Fields, name: str, values: Sequence[bytes], others: Entries) -> Result:
        wrong = "immutable" if fields.immutable else _wrong(name, values)
        if wrong:
            return False, (wrong, None)
        fields.put([*others, *((name, value) for value in values)])
        return OK


def _same(one: str, other: str) -> bool:
    return one.lower() == other.lower()


def _wrong(name: str, values: Sequence[bytes]) -> str:
    """Why they can't be a field's name and values; empty: they can."""
    if not _TOKEN.fullmatch(name) or any(byte in value for value in values for byte in b"\r\n\0"):
        return "invalid-syntax"
    return "forbidden" if name.lower() in FORBIDDEN else ""


def _say(what: str, check: Callable[[Any], bool], request: Request, value: Any) -> Result:
    if value is not None and not check(value):
        return FAILED
    request.said[what] = value
    return OK


def _other(pattern: re.Pattern[str], value: Any) -> bool:
    return value[0] != "other" or pattern.fullmatch(value[1]) is not None


def _text(value: str) -> bool:
    return value.isprintable() and " " not in value


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "method": partial(_other, _TOKEN),
    "path-with-query": _text,
    "scheme": partial(_other, _SCHEME),
    "authority": _text,
}


def _body(request: Request) -> Result:
    if request.has_given_body:
        return FAILED
    request.has_given_body = True
    return True, Body()


def _stream(body: Body) -> Result:
    if body.has_given_stream:
        return FAILED
    body.has_given_stream = True
    return True, Output()


def _set_timeout(name: str, options: Options, value: int | None) -> Result:
    options.timeouts[name] = value
    return OK
