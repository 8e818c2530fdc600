"""wasi:sockets by its functions, over a link whose every delay is known: states, times, ends, limits, denials."""

from __future__ import annotations

from typing import Any

import pytest

from tests.sim.wasi.reached import (
    ANSWER_BYTES,
    DELAY_NS,
    DEVICE,
    NETWORK,
    READ,
    RESPONSE_NS,
    TRIP_NS,
    Reached,
)
from twinloop.components.contract.errors import GuestEnded
from twinloop.sim.field.connection import LINGER_NS, SYN_USER_TIMEOUT_NS
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.wasi import Remote
from twinloop.sim.wasi.datagrams import CREATE_UDP
from twinloop.sim.wasi.hosts import address_of
from twinloop.sim.wasi.network import LOOKUP
from twinloop.sim.wasi.open_sockets import OPEN_SOCKETS_MAX
from twinloop.sim.wasi.socket_streams import BUFFER_BYTES_MAX
from twinloop.sim.wasi.sockets import CREATE, OPTIONS, TCP
from twinloop.sim.wasi.waiting import waits_outside

CLOSED = (False, ("closed", None))
OK = (True, None)


def failed(result: Any) -> str:
    """The network's code in a stream's last error."""
    ok, (tag, error) = result
    assert not ok
    assert tag == "last-operation-failed"
    return str(error.network)


# ---- connecting ----------------------------------------------------------------------------------
def test_a_connection_takes_one_way_there_and_back() -> None:
    place = Reached()
    socket = place.socket()
    assert place.dial(socket) == OK
    pollable = place.tcp("subscribe", socket)
    place.later_on(TRIP_NS - 1)
    assert place.tcp("finish-connect", socket) == (False, "would-block")
    assert not pollable.ready(place.env.now)
    assert pollable.due_ns(place.env.now) is None
    place.later_on(1)
    assert pollable.ready(place.env.now)
    ok, _ = place.tcp("finish-connect", socket)
    assert ok
    assert place.tcp("finish-connect", socket) == (False, "not-in-progress")
    assert place.dial(socket) == (False, "invalid-state"), "a socket connects once"
    assert place.tcp("remote-address", socket) == (True, ("ipv4", (502, DEVICE)))
    assert place.tcp("local-address", socket)[0]


def test_nothing_happens_outside_before_the_cpu_time_has_passed() -> None:
    place = Reached()
    socket = place.socket()
    place.dial(socket)
    place.env.run(S)
    assert place.tcp("finish-connect", socket) == (False, "would-block")
    assert place.link.stats().offered == 0
    place.later_on(TRIP_NS)
    ok, (_, out) = place.tcp("finish-connect", socket)
    assert ok
    place.write(out)
    place.env.run(2 * S)
    assert place.asked == []
    place.later_on(DELAY_NS)
    assert len(place.asked) == 1


def test_who_dies_before_it_has_passed_has_done_nothing() -> None:
    place = Reached()
    socket, into, out = place.connected()
    place.write(out)
    place.actions.clear()  # the instance is dropped
    for thing in (socket, into, out):
        thing.dropped()
    place.later_on(S)
    assert place.asked == []
    assert place.machine.budget.files.open == 0


def test_what_a_dying_instance_had_dropped_is_closed_with_it() -> None:
    place = Reached()
    for thing in place.connected():
        thing.dropped()
    place.actions.clear()
    assert place.machine.budget.files.open == 1
    place.sockets.instance_gone()
    assert place.machine.budget.files.open == 0
    place.later_on(S)
    assert place.env.next_ns is None


def test_a_segment_s_sockets_are_open_until_it_ends() -> None:
    """However often it dials and drops: no more than so many connections wait for its end."""
    place = Reached()
    for _ in range(OPEN_SOCKETS_MAX):
        socket = place.socket()
        place.dial(socket)
        socket.dropped()
    assert place.call(CREATE, "ipv4") == (False, "new-socket-limit")
    place.ends()
    assert place.machine.budget.files.open == 0
    place.socket()


def test_who_waits_for_a_connection_is_woken_when_it_stands() -> None:
    place = Reached()
    socket = place.socket()
    place.dial(socket)
    assert place.call("io/poll#poll", [place.tcp("subscribe", socket)]) == [0]
    assert TRIP_NS <= place.env.now <= TRIP_NS + MS, "a Place looks every ms"


def test_nobody_answers_and_the_attempt_ends_as_linux_ends_it() -> None:
    place = Reached()
    place.cut()
    socket = place.socket()
    place.dial(socket)
    place.later_on(SYN_USER_TIMEOUT_NS - 1)
    assert place.tcp("finish-connect", socket) == (False, "would-block")
    place.later_on(1)
    assert place.tcp("finish-connect", socket) == (False, "timeout")
    assert place.dial(socket) == (False, "invalid-state"), "closed: it can only be dropped"
    socket.dropped()
    place.ends()
    assert place.machine.budget.files.open == 0


def test_a_lost_segment_of_the_handshake_is_sent_again_after_a_second() -> None:
    place = Reached()
    over = place.cut()
    socket = place.socket()
    place.dial(socket)
    place.later_on(500 * MS)
    over()
    place.later_on(500 * MS + TRIP_NS)
    assert place.tcp("finish-connect", socket)[0]


# ---- bytes ---------------------------------------------------------------------------------------
def test_bytes_are_there_when_they_have_arrived() -> None:
    place = Reached()
    _, into, out = place.connected()
    assert place.read(into) == (True, b"")
    began = place.env.now
    assert place.write(out) == OK
    result, at = place.awaited(into, 6)
    assert at - began == TRIP_NS + RESPONSE_NS
    assert result == (True, b"\0\1\0\0\0\7")
    ok, rest = place.read(into)
    assert ok
    assert len(rest) == ANSWER_BYTES - 6
    assert place.read(into) == (True, b"")
    assert place.read(into, 0) == (True, b"")


def test_what_is_written_in_one_segment_arrives_in_order() -> None:
    place = Reached()
    _, into, out = place.connected()
    for byte in READ:
        place.write(out, bytes([byte]))
    place.write(out, b"\0\2" + READ[2:])
    place.later_on(TRIP_NS + RESPONSE_NS)
    ok, data = place.read(into)
    assert ok
    assert len(data) == 2 * ANSWER_BYTES
    assert data[:2] == b"\0\1"
    assert data[ANSWER_BYTES : ANSWER_BYTES + 2] == b"\0\2"


def test_a_parked_write_goes_out_at_once() -> None:
    place = Reached()
    _, _, out = place.connected()
    assert place.call("io/streams#[method]output-stream.blocking-write-and-flush", out, READ) == OK
    place.env.run(place.env.now + DELAY_NS + 1)
    assert len(place.asked) == 1


def test_what_has_not_got_through_takes_room() -> None:
    place = Reached()
    _, _, out = place.connected()
    over = place.cut()
    assert place.room(out) == (True, BUFFER_BYTES_MAX)
    place.write(out, bytes(BUFFER_BYTES_MAX - 1))
    place.later_on(S)
    assert place.room(out) == (True, 1)
    place.write(out, b"\0")
    pollable = place.call("io/streams#[method]output-stream.subscribe", out)
    assert not pollable.ready(place.env.now)
    with pytest.raises(GuestEnded, match="1 bytes written to a socket, 0 are permitted"):
        place.write(out, b"\0")
    over()
    place.later_on(60 * S)
    assert pollable.ready(place.env.now)


def test_a_connection_outlives_a_cut() -> None:
    place = Reached()
    _, into, out = place.connected()
    over = place.cut()
    place.write(out)
    place.later_on(30 * S)
    assert place.read(into) == (True, b"")
    over()
    result, at = place.awaited(into)
    assert len(result[1]) == ANSWER_BYTES
    assert at < 65 * S, "the retransmission timer has doubled up to there"


# ---- ends ----------------------------------------------------------------------------------------
def test_a_device_that_breaks_off_is_a_reset_told_once() -> None:
    place = Reached()
    _, into, out = place.connected()
    place.write(out, b"\xff" * 300)
    result, at = place.awaited(into)
    assert at == TRIP_NS + DELAY_NS, "both ends learn of it at once"
    assert failed(result) == "connection-reset"
    assert place.read(into) == CLOSED
    assert place.write(out) == CLOSED
    assert place.room(out) == CLOSED
    code = place.call("sockets/network#network-error-code", result[1][1])
    assert code == "connection-reset"
    assert "connection-reset" in place.call("io/error#[method]error.to-debug-string", result[1][1])


def test_shut_down_for_sending_the_device_answers_and_closes() -> None:
    place = Reached()
    socket, into, out = place.connected()
    place.write(out)
    assert place.tcp("shutdown", socket, "send") == OK
    assert place.tcp("shutdown", socket, "send") == OK, "idempotent"
    assert place.write(out) == CLOSED
    result, _ = place.awaited(into)
    assert len(result[1]) == ANSWER_BYTES
    result, _ = place.awaited(into)
    assert result == CLOSED


def test_shut_down_for_receiving_what_has_come_is_discarded() -> None:
    place = Reached()
    socket, into, out = place.connected()
    place.write(out)
    place.later_on(S)
    assert place.tcp("shutdown", socket, "receive") == OK
    assert place.read(into) == CLOSED
    assert place.write(out) == OK


def test_dropped_what_was_written_still_gets_there() -> None:
    place = Reached()
    socket, into, out = place.connected()
    place.write(out)
    for thing in (into, out, socket):
        assert place.machine.budget.files.open == 1
        thing.dropped()
    place.later_on(S)
    assert place.machine.budget.files.open == 0
    assert len(place.asked) == 1


def test_dropped_what_cannot_get_there_is_given_up() -> None:
    place = Reached()
    things = place.connected()
    over = place.cut()
    place.write(things[2])
    for thing in things:
        thing.dropped()
    place.later_on(LINGER_NS + S)
    over()
    place.later_on(100 * S)
    assert place.asked == []
    assert place.env.next_ns is None, "nothing is left on the timeline"


def test_with_its_gateway_a_connection_is_gone_at_once() -> None:
    place = Reached()
    things = place.connected()
    place.write(things[2])
    place.ends()
    place.machine.epoch += 1
    for thing in things:
        thing.dropped()
    place.later_on(S)
    assert place.asked == []


def test_who_waits_is_woken_when_the_instance_goes() -> None:
    place = Reached()
    things = place.connected()
    told: list[int] = []
    pollable = place.call("io/streams#[method]input-stream.subscribe", things[1])
    pollable.on_change(lambda: told.append(place.env.now))
    for thing in things:
        thing.dropped()
    place.ends()
    assert told == [], "in turn"
    place.later_on(0)
    assert len(told) == 1
    assert pollable.ready(place.env.now)


def test_waiting_for_a_socket_is_time_of_the_bus() -> None:
    place = Reached()
    socket, into, out = place.connected()
    assert waits_outside([into, 5])
    assert waits_outside([out, b"x"])
    assert waits_outside([[place.tcp("subscribe", socket)]])
    assert not waits_outside([b"x", 5, [1, 2]])


# ---- limits --------------------------------------------------------------------------------------
def test_there_are_so_many_sockets_and_no_more() -> None:
    place = Reached()
    many = [place.socket() for _ in range(OPEN_SOCKETS_MAX)]
    assert place.call(CREATE, "ipv4") == (False, "new-socket-limit")
    assert place.limits == {"open-sockets": OPEN_SOCKETS_MAX}
    many.pop().dropped()
    many.append(place.socket())
    assert place.machine.budget.files.open == OPEN_SOCKETS_MAX


def test_a_process_without_files_has_no_sockets() -> None:
    place = Reached()
    place.machine.budget.files.limit = 1
    place.socket()
    assert place.call(CREATE, "ipv4") == (False, "new-socket-limit")
    assert place.machine.budget.breaches == {"files": 1}


def test_who_does_not_read_is_cut_off() -> None:
    place = Reached()
    _, into, out = place.connected()
    for _ in range(BUFFER_BYTES_MAX // ANSWER_BYTES + 1):
        place.write(out)
        place.ends()
    place.later_on(60 * S)
    assert place.limits == {"socket-buffer": 1}
    assert failed(place.read(into)) == "connection-aborted"


# ---- who may be reached --------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("remote", "code"),
    [
        (("ipv4", (503, DEVICE)), "access-denied"),
        (("ipv4", (502, (10, 0, 0, 6))), "access-denied"),
        (("ipv4", (502, (127, 0, 0, 1))), "access-denied"),
        (("ipv4", (0, DEVICE)), "invalid-argument"),
        (("ipv4", (502, (0, 0, 0, 0))), "invalid-argument"),
        (("ipv4", (502, (224, 0, 0, 1))), "invalid-argument"),
        (("ipv4", (502, (255, 255, 255, 255))), "invalid-argument"),
        (("ipv6", (502, 0, (0, 0, 0, 0, 0, 0, 0, 1), 0)), "invalid-argument"),
    ],
)
def test_nobody_else_is_reached(remote: Any, code: str) -> None:
    place = Reached()
    socket = place.socket()
    assert place.tcp("start-connect", socket, NETWORK, remote) == (False, code)
    assert place.denied == ([f"{TCP}start-connect"] if code == "access-denied" else [])
    assert place.dial(socket) == OK, "it may still connect where it may"


def test_the_device_listens_where_the_grant_says() -> None:
    place = Reached(Remote("device", 5020))
    assert place.dial(place.socket()) == (False, "access-denied")
    assert place.dial(place.socket(), port=5020) == OK


@pytest.mark.parametrize("granted", ["device", "presses/5"])
@pytest.mark.parametrize("name", ["device", "presses/5", "presses-5", "DEVICE"])
def test_a_device_has_its_names(granted: str, name: str) -> None:
    place = Reached(Remote(granted, 502))
    ok, stream = place.call(LOOKUP, NETWORK, name)
    assert ok
    following = "sockets/ip-name-lookup#[method]resolve-address-stream.resolve-next-address"
    assert place.call(following, stream) == (True, ("ipv4", DEVICE))
    assert place.call(following, stream) == OK


@pytest.mark.parametrize("name", ["presses/4", "localhost", "example.com", "devicex"])
def test_nobody_else_has_a_name(name: str) -> None:
    place = Reached()
    assert place.call(LOOKUP, NETWORK, name) == (False, "access-denied")
    assert place.denied == [LOOKUP]


def test_a_grant_for_another_device_is_no_grant() -> None:
    place = Reached(Remote("presses/4", 502))
    assert place.call(LOOKUP, NETWORK, "device") == (False, "access-denied")
    assert place.dial(place.socket()) == (False, "access-denied")


@pytest.mark.parametrize("name", ["", " ", "a b", "x" * 254, "a\0b"])
def test_what_is_no_name_is_an_invalid_argument(name: str) -> None:
    place = Reached()
    assert place.call(LOOKUP, NETWORK, name) == (False, "invalid-argument")
    assert place.denied == []


@pytest.mark.parametrize(
    ("name", "address"),
    [("192.0.2.1", ("ipv4", (192, 0, 2, 1))), ("2001:db8::1", ("ipv6", (0x2001, 0xDB8, 0, 0, 0, 0, 0, 1)))],
)
def test_an_address_is_its_own_answer(name: str, address: Any) -> None:
    place = Reached()
    ok, stream = place.call(LOOKUP, NETWORK, name)
    assert ok
    assert stream.found == [address]


def test_addresses_are_each_device_s_own() -> None:
    some = [0, 1, 253, 254, 64515, 64516, 19_999, 1 << 20]
    found = [address_of(index) for index in some]
    assert len({*found}) == len(some)
    assert all(0 < last < 255 for *_, last in found)


# ---- a gateway only dials ------------------------------------------------------------------------
def test_a_socket_binds_to_any_port_and_listens_at_none() -> None:
    place = Reached()
    socket = place.socket()
    assert place.tcp("local-address", socket) == (False, "invalid-state")
    assert place.tcp("start-listen", socket) == (False, "invalid-state")
    assert place.tcp("start-bind", socket, NETWORK, ("ipv4", (80, (0, 0, 0, 0)))) == (False, "access-denied")
    assert place.tcp("start-bind", socket, NETWORK, ("ipv4", (0, DEVICE))) == (False, "address-not-bindable")
    assert place.tcp("finish-bind", socket) == (False, "not-in-progress")
    assert place.tcp("start-bind", socket, NETWORK, ("ipv4", (0, (0, 0, 0, 0)))) == OK
    assert place.dial(socket) == (False, "concurrency-conflict")
    assert place.tcp("finish-bind", socket) == OK
    assert place.tcp("local-address", socket)[0]
    assert place.tcp("start-bind", socket, NETWORK, ("ipv4", (0, (0, 0, 0, 0)))) == (False, "invalid-state")
    assert place.tcp("start-listen", socket) == (False, "access-denied")
    assert place.tcp("finish-listen", socket) == (False, "not-in-progress")
    assert place.tcp("accept", socket) == (False, "invalid-state")
    assert not place.tcp("is-listening", socket)
    assert place.dial(socket) == OK
    assert place.denied == [f"{TCP}start-bind", f"{TCP}start-listen"]


def test_there_is_no_ipv6_and_no_udp_without_a_grant_of_it() -> None:
    place = Reached()
    assert place.call(CREATE, "ipv6") == (False, "not-supported")
    assert place.call(CREATE_UDP, "ipv4") == (False, "access-denied")
    assert place.denied == [CREATE_UDP]


@pytest.mark.parametrize("option", OPTIONS)
def test_options_are_kept(option: str) -> None:
    place = Reached()
    socket = place.socket()
    assert place.tcp(option, socket) == (True, OPTIONS[option])
    value: Any = True if OPTIONS[option] is False else 7
    assert place.tcp(f"set-{option}", socket, value) == OK
    assert place.tcp(option, socket) == (True, value)
    if value == 7:
        assert place.tcp(f"set-{option}", socket, 0) == (False, "invalid-argument")
    assert place.tcp(option, place.socket()) == (True, OPTIONS[option]), "of each its own"


def test_functions_that_need_a_connection_say_so() -> None:
    place = Reached()
    socket = place.socket()
    assert place.tcp("finish-connect", socket) == (False, "not-in-progress")
    assert place.tcp("shutdown", socket, "both") == (False, "invalid-state")
    assert place.tcp("remote-address", socket) == (False, "invalid-state")
    assert place.tcp("set-listen-backlog-size", socket, 0) == (False, "invalid-argument")
    assert place.tcp("set-listen-backlog-size", socket, 5) == OK
    assert place.tcp("address-family", socket) == "ipv4"
    place.dial(socket)
    assert place.dial(socket) == (False, "concurrency-conflict")
    assert place.tcp("set-listen-backlog-size", socket, 5) == (False, "invalid-state")
