"""Adapters: a driver of what exports example:device, or a stream of batches; which types fit, what is answered."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.components.test_modbus_driver import FUEL, ask, tcp
from tests.plants import WASM
from twinloop.components.compose.adapting import load_whole
from twinloop.components.contract.contract import PointConfig, Settings
from twinloop.components.host.component import ComponentRefused
from twinloop.components.host.host import Host
from twinloop.components.host.instance import Instance

GUESTS = Path(__file__).parents[1] / "guests"
THEIRS = GUESTS / "example-device" / "example-device.wasm"
STREAM = GUESTS / "rust-stream-driver" / "rust-stream-driver.wasm"
STREAM_01 = Path(__file__).with_name("stream-driver-0.1.wasm")
"""the same, built when the contract was 0.1"""
LOGGING = GUESTS / "logging" / "logging.wasm"
NOW_NS = 1_700_000_000_123_456_789
PLAIN, MAY_FAIL = "$reading", "(result $reading (error string))"


def device(
    reading: str = PLAIN, outcome: str = "", interface: str = "example:device/sensor@0.1.0", value: str = "f32.const 21.5",
    timestamp: str = "1700000000", unit: str = "degC", fails: str = "", interval: str = "u32",
) -> bytes:  # fmt: skip
    """A component that exports an interface of example:device, as text. ``fails``: what both functions say, where they
    may."""
    at, failed = (8 if reading == MAY_FAIL else 0), int(bool(fails))
    fields = '(field "value" f32) (field "timestamp" u64) (field "unit" string)'
    configured = f"(result {outcome})" if outcome else ""
    wide = "i64" if interval == "u64" else "i32"
    answer = f"(i32.store8 (i32.const 256) (i32.const {failed})) (i32.store (i32.const 260) (i32.const 600)) (i32.store (i32.const 264) (i32.const {len(fails)}))"
    text = f"""(component
      (core module $m
        (memory (export "memory") 1)
        (data (i32.const 512) "{unit}") (data (i32.const 600) "{fails}")
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "read") (result i32)
          (i32.store8 (i32.const 128) (i32.const {failed}))
          (f32.store (i32.const {128 + at}) ({value}))
          (i64.store (i32.const {136 + at}) (i64.const {timestamp}))
          (i32.store (i32.const {144 + at}) (i32.const 512)) (i32.store (i32.const {148 + at}) (i32.const {len(unit)}))
          (if (i32.const {failed}) (then (i32.store (i32.const {128 + at}) (i32.const 600)) (i32.store (i32.const {132 + at}) (i32.const {len(fails)}))))
          (i32.const 128))
        (func (export "configure") (param $interval {wide}) {"(result i32)" if outcome else ""}
          {f"{answer} (i32.const 256)" if outcome else "(if (i32.ne (local.get $interval) (i32.const 250)) (then unreachable))" if wide == "i32" else ""}))
      (core instance $i (instantiate $m))
      (type $reading (record {fields}))
      (func $read (result {reading}) (canon lift (core func $i "read") (memory (core memory $i "memory"))))
      (func $configure (param "interval" {interval}) {configured} (canon lift (core func $i "configure") (memory (core memory $i "memory"))))
      (component $c
        (type $r0 (record {fields}))
        (import "reading" (type $reading (eq $r0)))
        (import "read-sensor" (func $read (result {reading})))
        (import "configure" (func $configure (param "interval" {interval}) {configured}))
        (type $r1 (record {fields}))
        (export $named "reading" (type $r1))
        (export "read-sensor" (func $read) (func (result {reading.replace("$reading", "$named")})))
        (export "configure" (func $configure)))
      (instance $e (instantiate $c (with "reading" (type $reading)) (with "read-sensor" (func $read)) (with "configure" (func $configure))))
      (export "{interface}" (instance $e)))"""
    return text.encode()


def point(
    name: str = "temperature", unit: str = "degC", scale: float = 1.0, offset: float = 0.0
) -> PointConfig:
    return PointConfig(3, name, "0", unit, scale, offset, None, None)


@contextmanager
def adapted(host: Host, data: bytes, grants: tuple[str, ...] = ()) -> Iterator[Instance]:
    whole = load_whole(host, [("theirs", data)], "driver")
    assert "an adapter makes it a driver" in whole.note
    instance = host.instantiate(host.link(whole.component, grants), {"clock.now": lambda: NOW_NS}, FUEL)
    yield instance
    instance.close()


def nobody(request: Any) -> Any:
    raise AssertionError(f"it asks for {request}")


def configured(instance: Instance, *points: PointConfig, **options: str) -> Any:
    told = {"protocol": "modbus-tcp", "unit": "1", "interval": "250 ms", **options}
    return ask(instance, nobody, "configure", (Settings("d/1", [*points], [*told.items()]),))


def read(host: Host, data: bytes, wanted: PointConfig | None = None, **options: str) -> Any:
    with adapted(host, data) as instance:
        assert configured(instance, wanted or point(), **options).ok
        return ask(instance, nobody)


@pytest.mark.parametrize("reading", [PLAIN, MAY_FAIL])
@pytest.mark.parametrize("outcome", ["", "(result (error string))"])
@pytest.mark.parametrize(
    "interface", ["example:device/sensor@0.1.0", "example:device/thing", "example:device/sensor@2.0.0"]
)
def test_any_of_the_usual_types_makes_a_driver(
    host: Host, reading: str, outcome: str, interface: str
) -> None:
    found = read(host, device(reading, outcome, interface))
    assert found.ok
    assert [tuple(one) for one in found.value.readings] == [(3, 21.5, 0, 1_700_000_000 * 10**9)]
    assert not [*found.value.texts]


def test_other_types_are_refused_with_those_that_fit(host: Host) -> None:
    said = (
        r"exports example:device/sensor@0.1.0, and an adapter would .* u64, unit: string }.*\(.*type mismatch"
    )
    with pytest.raises(ComponentRefused, match=said):
        load_whole(host, [("theirs", device(interval="u64"))], "driver")
    with pytest.raises(
        ComponentRefused, match=r"expected a transform .*, it exports example:device/sensor@0.1.0$"
    ):
        load_whole(host, [("theirs", device())], "transform")
    with pytest.raises(
        ComponentRefused, match="twinloop components compose FILE -o OUT makes a driver of it"
    ):
        host.load(device(), "driver")


@pytest.mark.parametrize(
    ("timestamp", "unit", "ns"),
    [
        ("1700000000", "auto", 1_700_000_000 * 10**9), ("1700000000123", "auto", 1_700_000_000_123 * 10**6),
        ("1700000000123456", "auto", 1_700_000_000_123_456_000), ("1700000000123456789", "auto", NOW_NS),
        ("5", "ms", 5_000_000), ("0", "auto", 0), ("7", "ns", 7), ("7", "us", 7000), ("7", "s", 7 * 10**9),
    ],
)  # fmt: skip
def test_timestamps(host: Host, timestamp: str, unit: str, ns: int) -> None:
    assert read(host, device(timestamp=timestamp), timestamp=unit).value.readings[0].measured == ns


@pytest.mark.parametrize(
    ("value", "told", "wanted", "status", "becomes"),
    [
        ("f32.const 21.5", "degC", point(), 0, 21.5), ("f32.const 21.5", "degC", point(unit=""), 0, 21.5),
        ("f32.const 21.5", "", point(), 0, 21.5), ("f32.const 21.5", "degF", point(), 0x40000000, 21.5),
        ("f32.const nan", "degC", point(), 0x808C0000, 0.0), ("f32.const -inf", "degF", point(), 0x808C0000, 0.0),
        ("f32.const 2", "degC", point(scale=0.5, offset=-1.0), 0, 0.0),
    ],
)  # fmt: skip
def test_values_and_units(
    host: Host, value: str, told: str, wanted: PointConfig, status: int, becomes: float
) -> None:
    (one,) = read(host, device(value=value, unit=told), wanted).value.readings
    assert (one.value, one.status) == (becomes, status)


def test_what_the_interface_cannot_say_is_answered(host: Host) -> None:
    with adapted(host, device()) as instance:
        assert ask(instance, nobody).value == ("not-configured", None)
        for options in ({"interval": "1"}, {"interval": "10 us"}, {"timestamp": "h"}, {"point": "pressure"}):
            (key,) = options
            assert configured(instance, point(), **options).value == ("bad-option", key)
        assert configured(instance, point(), gain="2").value == ("unknown-option", "gain")
        assert configured(instance).value == ("bad-option", "point")
        assert configured(
            instance, point("other"), PointConfig(9, "x", "", "", 1, 0, None, None), point="x"
        ).ok
        assert ask(instance, nobody).value.readings[0].point == 9
        assert ask(instance, nobody, "write-register", (3, ("real", 1.0))).value == ("other", "read-only")
        assert tuple(ask(instance, nobody, "get-status")) == ("ok", 1, 0, "")


def test_what_they_refuse_is_handed_on(host: Host) -> None:
    with adapted(host, device(MAY_FAIL, fails="unplugged")) as instance:
        assert configured(instance, point()).ok
        assert ask(instance, nobody).value == ("other", "unplugged")
        assert tuple(ask(instance, nobody, "get-status")) == ("degraded", 1, 1, "unplugged")
    with adapted(host, device(PLAIN, "(result (error string))", fails="too fast")) as instance:
        assert configured(instance, point()).value == ("other", "too fast")
        assert ask(instance, nobody).value == ("not-configured", None)
    found = read(host, device(timestamp="18446744073709551615"), timestamp="ms")
    assert found.value == ("malformed", "a timestamp beyond the year 2554")


def gauge(request: Any) -> Any:
    return tcp(lambda pdu: bytes((3, 2)) + (1234).to_bytes(2, "big"))(request)


def test_a_component_in_c_that_knows_only_that_interface(host: Host) -> None:
    with adapted(host, THEIRS.read_bytes(), ("fieldbus", "clock")) as instance:
        assert configured(instance, point(unit="bar")).ok
        found = ask(instance, gauge)
        assert [tuple(one) for one in found.value.readings] == [(3, 1234.0, 0, NOW_NS // 10**6 * 10**6)]
        assert ask(instance, lambda request: (False, ("timeout", None))).value == ("other", "no answer")


def test_many_polls_leave_nothing_behind(host: Host) -> None:
    with adapted(host, THEIRS.read_bytes(), ("fieldbus", "clock")) as instance:
        assert configured(instance, point(unit="psi")).ok
        for _ in range(100):
            ask(instance, gauge)
        before = instance.memory.size_bytes
        for _ in range(3000):
            assert ask(instance, gauge).value.readings[0].status == 0x40000000
        assert instance.memory.size_bytes == before


def told(instance: Instance, *options: tuple[str, str]) -> Any:
    """A configure, as components of its contract take it."""
    settings = Settings("d/1", [point()], [("protocol", "modbus-tcp"), *options])
    return ask(instance, nobody, "configure", (settings.of(instance.linked.component.contract),))


@pytest.mark.parametrize("stream", [STREAM, STREAM_01], ids=["as built", "0.1"])
def test_a_stream_is_a_batch_a_poll(host: Host, stream: Path) -> None:
    asked: list[tuple[str, Any]] = []

    def answer(request: Any) -> Any:
        asked.append((request.name, request.arguments[0]))
        return None if request.name == "clock.sleep" else gauge(request)

    with adapted(host, stream.read_bytes(), ("fieldbus", "clock")) as instance:
        track = instance.linked.component.contract.track
        assert told(instance, ("batches", "3"), ("interval", "20 ms")).ok
        for poll in range(3):
            asked.clear()
            found = ask(instance, answer)
            assert [tuple(one) for one in found.value.readings] == [(3, 1234.0, 0, NOW_NS)]
            (*slept, (name, _)) = asked  # one exchange a poll: nothing is read ahead
            assert slept == ([("clock.sleep", 20_000_000)] if poll else [])
            assert name == "fieldbus.transact"
        assert ask(instance, answer).value == ("bus", ("disconnected", None))
        assert ask(instance, answer).ok
        assert ask(instance, answer, "get-status").health == "ok"
        written: Any = 1.0 if track == "0.1" else ("real", 1.0)
        assert ask(instance, nobody, "write-register", (3, written)).value == ("other", "read-only")


@pytest.mark.parametrize("stream", [STREAM, STREAM_01], ids=["as built", "0.1"])
def test_a_stream_that_cannot_be(host: Host, stream: Path) -> None:
    with adapted(host, stream.read_bytes(), ("fieldbus", "clock")) as instance:
        assert told(instance, ("fail", "")).ok
        assert ask(instance, nobody).value == ("other", "no subscription")
        assert told(instance, ("interval", "soon")).value == ("bad-option", "interval")


def test_a_stream_keeps_its_contract(host: Host) -> None:
    whole = load_whole(host, [("stream", STREAM_01.read_bytes())], "driver")
    assert whole.component.contract.track == "0.1"
    assert "exports twinloop:gateway/driver-stream@0.1.0: an adapter makes it a driver" in whole.note
    for version in ("0.2.0", "0.1.7"):
        text = f'(component (component $c) (instance $i (instantiate $c)) (export "twinloop:gateway/driver-stream@{version}" (instance $i)))'
        said = rf"exports twinloop:gateway/driver-stream@{version}, .* expected the functions of twinloop:gateway/driver-stream@{version[:4]}0 as"
        with pytest.raises(ComponentRefused, match=said):
            load_whole(host, [("stream", text.encode())], "driver")
    other = '(component (component $c) (instance $i (instantiate $c)) (export "twinloop:gateway/driver-stream@0.3.0" (instance $i)))'
    with pytest.raises(
        ComponentRefused,
        match=r"driver-stream@0.3.0, for which there is no adapter; this host serves 0.2.x and 0.1.x",
    ):
        load_whole(host, [("stream", other.encode())], "driver")


def test_several_are_joined_before_they_are_adapted(host: Host) -> None:
    text = device().decode().replace("(component", '(component (import "acme:x/y" (instance))', 1)
    gives = b'(component (component $c) (instance $i (instantiate $c)) (export "acme:x/y" (instance $i)))'
    whole = load_whole(host, [("theirs", text.encode()), ("more", gives)], "driver")
    assert whole.component.imports == {}
    assert whole.note.startswith("theirs + more exports example:device/sensor@0.1.0")
    with pytest.raises(ComponentRefused, match="logging is not used by anything"):
        load_whole(host, [("theirs", device()), ("logging", LOGGING.read_bytes())], "driver")
    alone = load_whole(host, [("route", (WASM / "route.wasm").read_bytes())], "policy")
    assert alone.note == ""
