"""wasi:http/types as far as a client comes: fields as WASI has them, a request that is made, and what denies it."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.wasi.place import Place
from twinloop.components.contract.errors import GuestEnded
from twinloop.components.wasi.interfaces import signatures
from twinloop.sim.kernel.random import RandomStream
from twinloop.sim.model.wasi import WasiSpec
from twinloop.sim.wasi.http import FORBIDDEN, HEADERS_BYTES_MAX, TIMEOUTS
from twinloop.sim.wasi.system import System

OK, FAILED = (True, None), (False, None)
WHOLE = [name for name in signatures() if name.startswith("http/")]
ANSWERS = ("incoming-", "future-", "outgoing-response", "response-outparam")
"""what only an answer brings, or a server makes"""


class Client:
    """A component without a grant that makes requests."""

    def __init__(self, *packages: str) -> None:
        place: Any = Place()
        functions: dict[str, list[str]] = {}
        for name in WHOLE:
            interface, _, function = name.partition("#")
            functions.setdefault(interface, []).append(function)
        self.system = System(place, "scale", WasiSpec(packages), functions, lambda purpose: RandomStream(1))
        self.limits: dict[str, int] = place.limits

    def __call__(self, name: str, *arguments: Any) -> Any:
        return self.system.handlers[f"http/{name}"](*arguments)

    def fields(self, function: str, *arguments: Any) -> Any:
        """A method of fields."""
        return self(f"types#[method]fields.{function}", *arguments)

    def request(self, function: str, *arguments: Any) -> Any:
        """A method of a request."""
        return self(f"types#[method]outgoing-request.{function}", *arguments)


def test_a_request_is_made_and_denied_in_http_s_own_words() -> None:
    client = Client()
    headers = client("types#[constructor]fields")
    assert client.fields("append", headers, "X-One", b"1") == OK
    request = client("types#[constructor]outgoing-request", headers)
    assert client.request("set-method", request, ("post", None)) == OK
    assert client.request("set-scheme", request, ("HTTP", None)) == OK
    assert client.request("set-authority", request, "device:80") == OK
    assert client.request("set-path-with-query", request, "/values?x=1") == OK
    ok, body = client.request("body", request)
    assert ok
    assert client.request("body", request) == FAILED
    ok, stream = client("types#[method]outgoing-body.write", body)
    assert ok
    assert client("types#[method]outgoing-body.write", body) == FAILED
    assert stream.write(b"hello") == OK
    options = client("types#[constructor]request-options")
    assert client("outgoing-handler#handle", request, options) == (False, ("HTTP-request-denied", None))
    assert client("types#[static]outgoing-body.finish", body, None) == OK
    assert client("types#http-error-code", object()) is None
    assert client.system.denied == {"http/outgoing-handler#handle": 1}
    assert client.limits == {"denied": 1}


@pytest.mark.parametrize("name", [name for name in WHOLE if not any(word in name for word in ANSWERS)])
def test_a_client_traps_nowhere_before_that(name: str) -> None:
    """Every function of WASI's types that leads to a request has its handler."""
    client = Client()
    if name == "http/outgoing-handler#handle":
        assert client.system.handlers[name](None, None)[0] is False
        return
    with pytest.raises((TypeError, AttributeError)):  # it is there, and wants its arguments
        client.system.handlers[name](None, None, None, None, None)


def test_a_name_s_case_does_not_count_and_is_kept() -> None:
    client = Client()
    ok, fields = client("types#[static]fields.from-list", [("X-One", b"1"), ("Accept", b"*"), ("x-one", b"")])
    assert ok
    assert client.fields("get", fields, "x-ONE") == [b"1", b""]
    assert client.fields("has", fields, "accept")
    assert not client.fields("has", fields, "a b")
    assert client.fields("get", fields, "a b") == []
    assert client.fields("set", fields, "X-ONE", [b"2", b"3"]) == OK
    assert client.fields("entries", fields) == [("Accept", b"*"), ("X-ONE", b"2"), ("X-ONE", b"3")]
    copy = client.fields("clone", fields)
    assert client.fields("delete", fields, "accept") == OK
    assert client.fields("delete", fields, "accept") == OK
    assert client.fields("entries", copy)[0] == ("Accept", b"*")


@pytest.mark.parametrize(
    ("name", "value", "why"),
    [
        ("a b", b"1", "invalid-syntax"), ("", b"1", "invalid-syntax"), ("näme", b"1", "invalid-syntax"),
        ("a", b"1\r\nb: 2", "invalid-syntax"), ("a", b"\0", "invalid-syntax"),
        *((name.title(), b"1", "forbidden") for name in FORBIDDEN),
    ],
)  # fmt: skip
def test_what_is_no_field_is_refused(name: str, value: bytes, why: str) -> None:
    client = Client()
    fields = client("types#[constructor]fields")
    wrong = (False, (why, None))
    assert client.fields("append", fields, name, value) == wrong
    assert client.fields("set", fields, name, [value]) == wrong
    assert client("types#[static]fields.from-list", [("fine", b""), (name, value)]) == wrong
    assert client.fields("entries", fields) == []


def test_a_request_s_headers_are_immutable() -> None:
    client = Client()
    _, fields = client("types#[static]fields.from-list", [("a", b"1")])
    request = client("types#[constructor]outgoing-request", fields)
    headers = client.request("headers", request)
    wrong = (False, ("immutable", None))
    assert client.fields("append", headers, "b", b"2") == wrong
    assert client.fields("set", headers, "a", []) == wrong
    assert client.fields("delete", headers, "a") == wrong
    assert client.fields("entries", headers) == [("a", b"1")]
    assert client.fields("append", client.fields("clone", headers), "b", b"2") == OK


@pytest.mark.parametrize(
    ("what", "first", "good", "bad"),
    [
        ("method", ("get", None), ("other", "QUERY"), ("other", "NO WAY")),
        ("scheme", None, ("other", "coap+tcp"), ("other", "1x")),
        ("authority", None, "device:80", "a b"),
        ("path-with-query", None, "/x?y=%20", "/x y\n"),
    ],
)
def test_a_request_says_what_was_set(what: str, first: Any, good: Any, bad: Any) -> None:
    client = Client()
    request = client("types#[constructor]outgoing-request", client("types#[constructor]fields"))
    assert client.request(what, request) == first
    assert client.request(f"set-{what}", request, bad) == FAILED
    assert client.request(what, request) == first
    assert client.request(f"set-{what}", request, good) == OK
    assert client.request(what, request) == good
    if first is None:
        assert client.request(f"set-{what}", request, None) == OK


def test_timeouts_are_kept() -> None:
    client = Client()
    options = client("types#[constructor]request-options")
    for number, name in enumerate(TIMEOUTS):
        assert client(f"types#[method]request-options.{name}", options) is None
        assert client(f"types#[method]request-options.set-{name}", options, number) == OK
        assert client(f"types#[method]request-options.{name}", options) == number


def test_fields_have_an_end() -> None:
    client = Client()
    half = b"x" * (HEADERS_BYTES_MAX // 2)
    fields = client("types#[constructor]fields")
    client.fields("append", fields, "a", half)
    client.fields("set", fields, "a", [half])
    other = client.fields("clone", client("types#[constructor]fields"))
    with pytest.raises(GuestEnded, match="bytes of HTTP fields"):
        client.fields("append", other, "a", half)
    fields.dropped()
    client.fields("append", client("types#[constructor]fields"), "a", half[:1000])
