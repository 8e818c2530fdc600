"""OTLP over HTTP: requests as protobuf, compressed, one after the other, with OTLP's rules for trying again.

Belongs here: addresses, headers, waiting, answers. Never: what is in a request. It is plain HTTP by the
standard library: the exporters of OpenTelemetry's SDK take what happens in their own process now, and don't
say what a receiver has refused.
"""

from __future__ import annotations

import gzip
import os
import re
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from http.client import HTTPException, HTTPMessage
from typing import IO, Any, NamedTuple

from twinloop.scenarios.export.otlp.spans import FLAG, Protos
from twinloop.scenarios.text.errors import MachineError, ScenarioError, printable

TIMEOUT_S = 10
"""for one answer"""
TRIES_MAX = 5
"""of one request that the receiver couldn't take just then"""
DEAD_TRIES_MAX = 3
"""of one request to which nobody answers"""
WAIT_FIRST_S, WAIT_MAX_S = 1.0, 30.0
"""between two tries: twice as long each time. A receiver that asks for more than WAIT_MAX_S is given up"""
ANSWER_BYTES_MAX = 1 << 20
"""of an answer that are read"""
HEADERS_VARIABLE = "OTEL_EXPORTER_OTLP_HEADERS"
"""names headers for each request, as OpenTelemetry's own exporters read it: NAME=VALUE,NAME=VALUE"""
AGAIN = (429, 502, 503, 504)
"""answers after which a request is sent again"""
SIGNALS = ("traces", "metrics")


class Parcel(NamedTuple):
    """One request. ``signal``: traces or metrics; ``items``: spans or data points in it."""

    signal: str
    body: bytes
    items: int


@dataclass
class Account:
    """What became of the items of one signal."""

    sent: int = 0
    """accepted by the receiver"""
    refused: int = 0
    """the receiver has said that it didn't want them"""
    messages: dict[str, None] | None = None
    """why, in its words"""


_NAME, _VALUE = re.compile(r"[-!#$%&'*+.^_`|~0-9A-Za-z]+"), re.compile(r"[\t\x20-\x7e]*")
"""of a header: RFC 9110, 5.1 and 5.5, without what is obsolete there"""
LABEL_MAX = 63
"""letters between two dots of a host's name: RFC 1035"""


def checked(url: str) -> str:
    """The address without a slash at its end; raises ScenarioError for one that can't be meant."""
    if not url.isascii() or not url.isprintable() or " " in url:
        text = "expected an address of letters, digits and signs of ASCII without blanks, e.g. http://localhost:4318"
        raise ScenarioError(FLAG, None, "", text)
    why = ""
    try:
        parts = urllib.parse.urlsplit(url)
    except ValueError as error:
        text = f"expected the address of a receiver of OTLP, e.g. http://localhost:4318: {error}"
        raise ScenarioError(FLAG, None, "", text) from error
    try:
        parts.port  # noqa: B018  # raises for what is no number
    except ValueError:
        why = "its port is no number from 0 to 65535"
    if any(len(label) > LABEL_MAX for label in (parts.hostname or "").split(".")):
        why = f"a part of its host's name is longer than {LABEL_MAX} letters"
    elif not parts.hostname:
        why = "it names no host"
    elif parts.username is not None or parts.password is not None:
        why = f"a name or a password doesn't belong there; put it into {HEADERS_VARIABLE}"
    elif parts.query or parts.fragment:
        why = "there is something behind its path"
    elif parts.path.rstrip("/").endswith(("/v1/traces", "/v1/metrics")):
        why = "leave out /v1/..., which is appended for traces and metrics each"
    if why:
        shown = urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
        text = f"expected the address of a receiver of OTLP, e.g. http://localhost:4318, got {shown}: {why}"
        raise ScenarioError(FLAG, None, "", text)
    return url.rstrip("/")


def headers() -> dict[str, str]:
    """What HEADERS_VARIABLE says; raises ScenarioError, and shows no value: it may be a secret."""
    found: dict[str, str] = {}
    for place, pair in enumerate(
        filter(None, map(str.strip, os.environ.get(HEADERS_VARIABLE, "").split(","))), 1
    ):
        name, equals, value = pair.partition("=")
        if not equals or not name.strip():
            raise ScenarioError(
                HEADERS_VARIABLE,
                None,
                "",
                f"expected NAME=VALUE,NAME=VALUE; entry {place} has no name or no =",
            )
        name, value = urllib.parse.unquote(name.strip()), urllib.parse.unquote(value.strip())
        if not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            text = f"entry {place} can't stand in a header: a name has letters, digits and -, a value ASCII"
            raise ScenarioError(HEADERS_VARIABLE, None, "", text)
        found[name] = value
    return found


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A POST that is sent on would become a GET, whose answer says nothing."""

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: HTTPMessage,
        newurl: str,
    ) -> None:
        return None


_JSON_OR_PROTOBUF = ("application/json", "application/x-protobuf")


class _Unreadable(Exception):
    """An answer with a good code that no receiver of OTLP gives."""


class Sender:
    """To one receiver. ``pause`` waits so many seconds."""

    def __init__(self, url: str, modules: Protos, pause: Callable[[float], None] = time.sleep) -> None:
        self.url = checked(url)
        self._modules, self._pause, self._headers = modules, pause, headers()
        self._opener = urllib.request.build_opener(_NoRedirect)
        self.accounts = {signal: Account() for signal in SIGNALS}

    def send(self, parcels: Iterable[Parcel]) -> None:
        """All of them, in order; raises MachineError at the first that the receiver doesn't take."""
        for parcel in parcels:
            self._one(parcel)

    def _one(self, parcel: Parcel) -> None:
        """One request, again as often as it makes sense."""
        body, wait_s, dead = gzip.compress(parcel.body, mtime=0), WAIT_FIRST_S, 0
        for tried in range(1, TRIES_MAX + 1):
            try:
                answer = self._posted(parcel.signal, body)
                self._booked(parcel, answer)
                return
            except urllib.error.HTTPError as error:
                why, asked_s, again = self._said(error), _asked_s(error), error.code in AGAIN
            except (OSError, HTTPException) as error:
                dead += 1
                why, asked_s, again = _reason(error), None, dead < DEAD_TRIES_MAX
            wait_s = min(wait_s, WAIT_MAX_S) if asked_s is None else asked_s
            if not again or tried == TRIES_MAX or wait_s > WAIT_MAX_S:
                raise MachineError(self._given_up(parcel, why, tried))
            self._pause(wait_s)
            wait_s = max(wait_s, WAIT_FIRST_S) * 2

    def _posted(self, signal: str, body: bytes) -> tuple[str, bytes]:
        """(type, content) of a good answer."""
        request = urllib.request.Request(  # noqa: S310  # the scheme is http or https: asked.py
            f"{self.url}/v1/{signal}",
            body,
            {
                **self._headers,
                "Content-Type": "application/x-protobuf",
                "Content-Encoding": "gzip",
                "User-Agent": "twinloop",
            },
            method="POST",
        )
        with self._opener.open(request, timeout=TIMEOUT_S) as response:
            return response.headers.get_content_type(), response.read(ANSWER_BYTES_MAX)

    def _booked(self, parcel: Parcel, answer: tuple[str, bytes]) -> None:
        """Accepted, but for what the answer says was refused. Raises MachineError for an answer that no
        receiver of OTLP gives."""
        try:
            refused, message = self._partial(parcel.signal, *answer)
        except _Unreadable as error:
            raise MachineError(self._given_up(parcel, str(error), 1)) from error
        refused = max(0, min(refused, parcel.items))
        account = self.accounts[parcel.signal]
        account.sent += parcel.items - refused
        account.refused += refused
        if message:
            account.messages = {**(account.messages or {}), printable(message): None}

    def _partial(self, signal: str, kind: str, content: bytes) -> tuple[int, str]:
        """(how many were refused, what the receiver has to say)."""
        modules = self._modules
        if content and kind not in _JSON_OR_PROTOBUF:
            raise _Unreadable(f"its answer is {kind}, so it is no receiver of OTLP")
        if signal == "traces":
            read: Any = modules.trace_service.ExportTraceServiceResponse()
        else:
            read = modules.metrics_service.ExportMetricsServiceResponse()
        try:
            if kind == "application/json":
                modules.json_format.Parse(content, read, ignore_unknown_fields=True)
            else:
                read.ParseFromString(content)
        except Exception as error:  # what others answer; protobuf's errors have no common class
            raise _Unreadable(f"its answer can't be read, so it is no receiver of OTLP: {error}") from error
        partial = read.partial_success
        refused = partial.rejected_spans if signal == "traces" else partial.rejected_data_points
        return int(refused), str(partial.error_message)

    @staticmethod
    def _said(error: urllib.error.HTTPError) -> str:
        """The code, and what is readable of the answer."""
        with error:
            content = error.read(500)
        text = "".join(
            one for one in content.decode("utf-8", "replace") if one.isprintable() and one != "\ufffd"
        )
        return f"it answered {error.code} {error.reason}" + (f": {text}" if text else "")

    def _given_up(self, parcel: Parcel, why: str, tried: int) -> str:
        times = f" ({tried} times)" if tried > 1 else ""
        return (
            f"{FLAG} {self.url}/v1/{parcel.signal}: {printable(why)}{times}. Is a receiver of OTLP over HTTP "
            f"there (usually port 4318)? {FLAG} FILE writes the same into a file"
        )


def _asked_s(error: urllib.error.HTTPError) -> float | None:
    """How long the receiver asks to wait, None when it doesn't say."""
    said = error.headers.get("Retry-After", "").strip()
    if said.isdecimal():
        return float(said[:9])
    try:
        then = parsedate_to_datetime(said)
        return max(0.0, then.timestamp() - time.time())
    except (ValueError, TypeError, IndexError, OverflowError):
        return None


def _reason(error: OSError | HTTPException) -> str:
    inner = getattr(error, "reason", None)
    text = getattr(inner, "strerror", None) or inner or getattr(error, "strerror", None) or error
    return str(text) or type(error).__name__
