"""wasi:sockets/udp by its functions, over a link whose every delay is known: states, times, limits, denials."""

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
from twinloop.devices.model.misbehaviour import Misbehaviour
from twinloop.sim.kernel.clock import MS, S
from twinloop.sim.model.wasi import Remote
from twinloop.sim.network.udp import AFOOT_MAX, DATAGRAM_BYTES_MAX
from twinloop.sim.wasi.basics import Clocks
from twinloop.sim.wasi.datagram_streams import ADDRESS_VALUES, HEADER_BYTES, SEND_MAX
from twinloop.sim.wasi.datagrams import CREATE_UDP, INCOMING, OUTGOING, UDP, UDP_OPTIONS
from twinloop.sim.wasi.network import LOOKUP
from twinloop.sim.wasi.open_sockets import OPEN_SOCKETS_MAX
from twinloop.sim.wasi.socket_streams import BUFFER_BYTES_MAX
from twinloop.sim.wasi.waiting import Timer, waits_outside

OK = (True, None)
AT = ("ipv4", (502, DEVICE))
ANY_PORT = ("ipv4", (0, (0, 0, 0, 0)))
EXCHANGE_NS = TRIP_NS + RESPONSE_NS


class Sent(Reached):
    """A place whose device is reached over UDP."""

    def __init__(self, *remotes: Remote, **trouble: Any) -> None:
        super().__init__(*(remotes or (Remote("device", 502, "udp"),)), **trouble)

    def udp(self, function: str, *arguments: Any) -> Any:
        """Of a socket."""
        return self.call(UDP + function, *arguments)

    def made(self) -> Any:
        """A new one."""
        ok, socket = self.call(CREATE_UDP, "ipv4")
        assert ok, socket
        return socket

    def bound(self) -> Any:
        """One with a port."""
        socket = self.made()
        assert self.udp("start-bind", socket, NETWORK, ANY_PORT) == OK
        assert self.udp("finish-bind", socket) == OK
        return socket

    def streams(self, remote: Any = AT) -> tuple[Any, Any, Any]:
        """Socket, incoming, outgoing."""
        socket = self.bound()
        ok, streams = self.udp("stream", socket, remote)
        assert ok, streams
        return socket, *streams

    def send(self, out: Any, *datagrams: bytes, to: Any = None) -> Any:
        """So many, with leave."""
        self.call(f"{OUTGOING}check-send", out)
        return self.call(f"{OUTGOING}send", out, [(data, to) for data in datagrams])

    def receive(self, stream: Any, count: int = 100) -> list[bytes]:
        """What is there."""
        ok, found = self.call(f"{INCOMING}receive", stream, count)
        assert ok
        assert all(remote == AT for _, remote in found)
        return [data for data, _ in found]


# ---- there and back ------------------------------------------------------------------------------
def test_a_request_is_answered_after_one_way_there_and_back() -> None:
    place = Sent()
    _, into, out = place.streams()
    assert place.send(out, READ) == (True, 1)
    place.later_on(EXCHANGE_NS - 1)
    assert place.receive(into) == []
    place.later_on(1)
    (answer,) = place.receive(into)
    assert len(answer) == ANSWER_BYTES
    assert answer[:9] == READ[:4] + bytes.fromhex("0007 01 03 04")
    assert place.receive(into) == []
    assert len(place.asked) == 1, "the witness knows"


def test_sizes_on_the_wire_count_headers() -> None:
    """12 + 28 bytes up at 3200 bit/s: 100 ms; 13 + 28 down: 102.5 ms."""
    place = Sent(rate_bps=3200)
    _, into, out = place.streams()
    place.send(out, READ)
    place.later_on(EXCHANGE_NS + 100 * MS + 102_500_000 - 1)
    assert place.receive(into) == []
    place.later_on(1)
    assert len(place.receive(into)) == 1


def test_nothing_goes_out_before_the_cpu_time_has_passed() -> None:
    place = Sent()
    _, _, out = place.streams()
    place.send(out, READ)
    place.env.run(S)
    assert place.link.stats().offered == 0
    place.later_on(DELAY_NS)
    assert len(place.asked) == 1


def test_who_dies_before_it_has_passed_has_sent_nothing() -> None:
    place = Sent()
    things = place.streams()
    place.send(things[2], READ)
    place.actions.clear()  # the instance is dropped
    for thing in things:
        thing.dropped()
    place.datagrams.instance_gone()
    place.later_on(S)
    assert place.asked == []
    assert place.machine.budget.files.open == 0
    assert place.env.next_ns is None


def test_what_was_sent_gets_there_when_the_socket_is_closed_and_its_answer_finds_nobody() -> None:
    place = Sent()
    things = place.streams()
    place.send(things[2], READ)
    for thing in (things[1], things[0], things[2]):
        assert place.machine.budget.files.open == 1
        thing.dropped()
    place.later_on(S)
    assert place.machine.budget.files.open == 0
    assert len(place.asked) == 1
    _, into, _ = place.streams()
    place.later_on(S)
    assert place.receive(into) == [], "the next socket has another port"


def test_it_asks_again_itself_nothing_else_does() -> None:
    place = Sent()
    _, into, out = place.streams()
    over = place.cut()
    place.send(out, READ)
    place.later_on(30 * S)
    over()
    place.later_on(30 * S)
    assert place.receive(into) == []
    place.send(out, READ)
    place.later_on(EXCHANGE_NS)
    assert len(place.receive(into)) == 1


def test_copies_are_answered_each() -> None:
    """The request comes twice, and each answer: four."""
    place = Sent(duplicate=1.0)
    _, into, out = place.streams()
    place.send(out, READ)
    place.later_on(S)
    assert len(place.receive(into)) == 4
    assert len(place.asked) == 2


def test_a_late_answer_is_there_before_the_next_one() -> None:
    place = Sent()
    _, into, out = place.streams()
    over = place.server.misbehave(Misbehaviour("slow", 1, 500 * MS))
    place.send(out, READ)
    place.later_on(300 * MS)
    assert place.receive(into) == []
    over()
    place.send(out, b"\0\2" + READ[2:])
    place.later_on(EXCHANGE_NS)
    assert [answer[:2] for answer in place.receive(into)] == [b"\0\2"], "it overtakes"
    place.later_on(300 * MS)
    assert [answer[:2] for answer in place.receive(into)] == [b"\0\1"]


def test_what_is_no_request_gets_no_answer() -> None:
    place = Sent()
    _, into, out = place.streams()
    assert place.send(out, b"", READ[:5], READ + READ, bytes(9000)) == (True, 4)
    place.later_on(S)
    assert place.receive(into) == []
    assert place.asked == []


# ---- waiting -------------------------------------------------------------------------------------
def test_who_waits_for_an_answer_is_woken_when_it_comes() -> None:
    place = Sent()
    _, into, out = place.streams()
    pollable = place.call(f"{INCOMING}subscribe", into)
    assert not pollable.ready(place.env.now)
    assert pollable.due_ns(place.env.now) is None
    place.send(out, READ)
    assert place.call("io/poll#poll", [pollable]) == [0]
    assert EXCHANGE_NS <= place.env.now <= EXCHANGE_NS + MS, "a Place looks every ms"
    assert waits_outside([[pollable]]), "time of the bus"


@pytest.mark.parametrize(("after_ns", "first"), [(EXCHANGE_NS - MS, 1), (EXCHANGE_NS + 5 * MS, 0)])
def test_it_waits_for_an_answer_and_a_clock_at_once(after_ns: int, first: int) -> None:
    place = Sent()
    place.now.update(Clocks(place).now)
    _, into, out = place.streams()
    place.send(out, READ)
    timer = place.call("clocks/monotonic-clock#subscribe-duration", after_ns)
    assert isinstance(timer, Timer)
    pollables = [place.call(f"{INCOMING}subscribe", into), timer]
    assert place.call("io/poll#poll", pollables) == [first]
    assert min(after_ns, EXCHANGE_NS) <= place.env.now <= min(after_ns, EXCHANGE_NS) + MS


def test_who_waits_is_woken_when_the_instance_goes() -> None:
    place = Sent()
    things = place.streams()
    told: list[int] = []
    pollable = place.call(f"{INCOMING}subscribe", things[1])
    end = pollable.on_change(lambda: told.append(place.env.now))
    for thing in things:
        thing.dropped()
    place.ends()
    assert told == [], "in turn"
    place.later_on(0)
    assert len(told) == 1
    assert pollable.ready(place.env.now)
    end()


def test_a_socket_is_bound_at_once() -> None:
    place = Sent()
    socket = place.made()
    assert place.udp("subscribe", socket).ready(place.env.now)


# ---- limits --------------------------------------------------------------------------------------
def test_so_many_may_be_sent_in_a_segment() -> None:
    place = Sent()
    _, _, out = place.streams()
    with pytest.raises(GuestEnded, match="1 datagrams sent, 0 are permitted by check-send"):
        place.call(f"{OUTGOING}send", out, [(READ, None)])
    assert place.call(f"{OUTGOING}check-send", out) == (True, SEND_MAX)
    assert place.call(f"{OUTGOING}send", out, [(READ, None)] * (SEND_MAX - 1)) == (True, SEND_MAX - 1)
    assert place.call(f"{OUTGOING}send", out, [(READ, None)]) == (True, 1)
    assert place.call(f"{OUTGOING}send", out, []) == (True, 0)
    assert place.call(f"{OUTGOING}check-send", out) == (True, 0)
    pollable = place.call(f"{OUTGOING}subscribe", out)
    assert not pollable.ready(place.env.now)
    with pytest.raises(GuestEnded):
        place.send(out, READ)
    assert place.call("io/poll#poll", [pollable]) == [0]
    assert place.env.now <= MS, "who parks has sent them"
    assert place.call(f"{OUTGOING}check-send", out) == (True, SEND_MAX)


def test_the_receive_queue_drops_what_it_has_no_room_for() -> None:
    place = Sent()
    _, into, out = place.streams()
    room = BUFFER_BYTES_MAX // (HEADER_BYTES + ANSWER_BYTES)
    for _ in range(room + 3):
        place.send(out, READ)
        place.later_on(EXCHANGE_NS)
    assert place.limits == {"datagram-queue": 3}
    assert len(place.receive(into, 5)) == 5
    assert place.call(f"{INCOMING}receive", into, 0) == (True, [])
    assert len(place.receive(into, 1 << 60)) == room - 5
    place.send(out, READ)
    place.later_on(EXCHANGE_NS)
    assert len(place.receive(into)) == 1, "there is room again"


def test_so_many_are_on_their_way() -> None:
    place = Sent()
    _, into, out = place.streams()
    for _ in range(AFOOT_MAX // SEND_MAX + 1):
        assert place.send(out, *[READ] * SEND_MAX) == (True, SEND_MAX)
        place.ends()
    assert place.limits == {"datagrams-afoot": SEND_MAX}
    place.later_on(S)
    assert len(place.receive(into, 1000)) == AFOOT_MAX


def test_who_opens_and_closes_has_no_more_on_their_way_than_others() -> None:
    place = Sent()
    for _ in range(AFOOT_MAX // SEND_MAX + 2):
        things = place.streams()
        place.send(things[2], *[READ] * SEND_MAX)
        for thing in things:
            thing.dropped()
        place.ends()
    assert place.limits == {"datagrams-afoot": 2 * SEND_MAX}
    place.later_on(S)
    assert len(place.asked) == AFOOT_MAX
    assert place.env.next_ns is None


@pytest.mark.parametrize("size", [DATAGRAM_BYTES_MAX + 1, 100_000])
def test_what_no_datagram_can_hold_is_refused(size: int) -> None:
    place = Sent()
    _, _, out = place.streams()
    assert place.send(out, bytes(size)) == (False, "datagram-too-large")
    assert place.send(out, READ, bytes(size), READ) == (True, 1), "how many were sent"
    assert place.send(out, bytes(DATAGRAM_BYTES_MAX)) == (True, 1)
    place.later_on(S)
    assert place.link.stats().offered == 1 + 45 + 1, "in fragments; the one is answered"


def test_sockets_of_both_kinds_count_together() -> None:
    place = Sent(Remote("device", 502), Remote("device", 502, "udp"))
    some: list[Any] = []
    for _ in range(OPEN_SOCKETS_MAX // 2):
        some += [place.socket(), place.made()]
    assert place.call(CREATE_UDP, "ipv4") == (False, "new-socket-limit")
    assert place.limits == {"open-sockets": OPEN_SOCKETS_MAX}
    assert place.machine.budget.files.open == OPEN_SOCKETS_MAX
    for socket in some:
        socket.dropped()
    place.ends()
    assert place.machine.budget.files.open == 0


def test_a_process_without_files_has_no_sockets() -> None:
    place = Sent()
    place.machine.budget.files.limit = 1
    place.made()
    assert place.call(CREATE_UDP, "ipv4") == (False, "new-socket-limit")
    assert place.machine.budget.breaches == {"files": 1}


def test_what_crosses_has_a_price() -> None:
    place = Sent()
    _, into, out = place.streams()
    before = place.carried_bytes
    place.send(out, READ)
    assert place.carried_bytes == before + len(READ) + ADDRESS_VALUES
    place.later_on(S)
    place.receive(into)
    assert place.carried_bytes == before + len(READ) + ANSWER_BYTES + 2 * ADDRESS_VALUES


# ---- who may be reached --------------------------------------------------------------------------
OTHERS = [
    (("ipv4", (503, DEVICE)), "access-denied"),
    (("ipv4", (502, (10, 0, 0, 6))), "access-denied"),
    (("ipv4", (53, (127, 0, 0, 1))), "access-denied"),
    (("ipv4", (0, DEVICE)), "invalid-argument"),
    (("ipv4", (502, (0, 0, 0, 0))), "invalid-argument"),
    (("ipv4", (502, (224, 0, 0, 1))), "invalid-argument"),
    (("ipv4", (502, (255, 255, 255, 255))), "invalid-argument"),
    (("ipv6", (502, 0, (0, 0, 0, 0, 0, 0, 0, 1), 0)), "invalid-argument"),
]


@pytest.mark.parametrize(("remote", "code"), OTHERS)
def test_nobody_else_is_connected_to(remote: Any, code: str) -> None:
    place = Sent()
    socket = place.bound()
    assert place.udp("stream", socket, remote) == (False, code)
    assert place.denied == ([f"{UDP}stream"] if code == "access-denied" else [])
    assert place.udp("stream", socket, AT)[0], "it may still where it may"


@pytest.mark.parametrize(("remote", "code"), OTHERS)
def test_nobody_else_is_sent_to(remote: Any, code: str) -> None:
    place = Sent()
    _, into, out = place.streams(None)
    assert place.send(out, READ, to=remote) == (False, code)
    assert place.denied == ([f"{OUTGOING}send"] if code == "access-denied" else [])
    place.later_on(S)
    assert place.link.stats().offered == 0
    assert place.send(out, READ, to=AT) == (True, 1)
    place.later_on(S)
    assert len(place.receive(into)) == 1


def test_an_address_is_where_it_is_needed_and_no_other() -> None:
    place = Sent()
    _, _, out = place.streams(None)
    assert place.send(out, READ) == (False, "invalid-argument")
    _, _, connected = place.streams()
    assert place.send(connected, READ, to=AT) == (True, 1)
    assert place.send(connected, READ, to=("ipv4", (53, (8, 8, 8, 8)))) == (False, "invalid-argument")
    assert place.denied == []


def test_tcp_is_another_grant() -> None:
    place = Sent()
    assert place.dial(place.socket()) == (False, "access-denied")
    other = Sent(Remote("device", 502))
    assert other.call(CREATE_UDP, "ipv4") == (False, "access-denied")
    assert other.denied == [CREATE_UDP]
    both = Sent(Remote("device", 502), Remote("device", 502, "udp"))
    both.streams()
    both.connected()


def test_a_grant_of_udp_alone_gives_the_device_its_name() -> None:
    place = Sent()
    ok, found = place.call(LOOKUP, NETWORK, "device")
    assert ok
    assert found.found == [("ipv4", DEVICE)]


def test_a_grant_for_another_device_is_no_grant() -> None:
    place = Sent(Remote("presses/4", 502, "udp"))
    assert place.call(CREATE_UDP, "ipv4") == (False, "access-denied")


# ---- states --------------------------------------------------------------------------------------
def test_a_socket_is_bound_before_it_has_streams() -> None:
    place = Sent()
    assert place.call(CREATE_UDP, "ipv6") == (False, "not-supported")
    socket = place.made()
    assert place.udp("address-family", socket) == "ipv4"
    assert place.udp("local-address", socket) == (False, "invalid-state")
    assert place.udp("stream", socket, AT) == (False, "invalid-state")
    assert place.udp("finish-bind", socket) == (False, "not-in-progress")
    assert place.udp("start-bind", socket, NETWORK, ("ipv4", (161, (0, 0, 0, 0)))) == (False, "access-denied")
    wrong = ("ipv4", (0, DEVICE))
    assert place.udp("start-bind", socket, NETWORK, wrong) == (False, "address-not-bindable")
    wrong = ("ipv4", (0, (224, 0, 0, 1)))
    assert place.udp("start-bind", socket, NETWORK, wrong) == (False, "invalid-argument")
    assert place.udp("start-bind", socket, NETWORK, ANY_PORT) == OK
    assert place.udp("start-bind", socket, NETWORK, ANY_PORT) == (False, "concurrency-conflict")
    assert place.udp("finish-bind", socket) == OK
    assert place.udp("start-bind", socket, NETWORK, ANY_PORT) == (False, "invalid-state")
    assert place.udp("local-address", socket) == (True, ("ipv4", (49153, (10, 255, 255, 254))))
    assert place.udp("remote-address", socket) == (False, "invalid-state")
    assert place.denied == [f"{UDP}start-bind"]


def test_a_socket_connects_anew_when_its_streams_are_gone() -> None:
    place = Sent()
    socket, into, out = place.streams()
    assert place.udp("remote-address", socket) == (True, AT)
    with pytest.raises(GuestEnded, match="streams while it still has some"):
        place.udp("stream", socket, None)
    into.dropped()
    out.dropped()
    ok, (into, out) = place.udp("stream", socket, None)
    assert ok
    assert place.udp("remote-address", socket) == (False, "invalid-state")
    place.send(out, READ, to=AT)
    place.later_on(S)
    assert len(place.receive(into)) == 1


@pytest.mark.parametrize("option", UDP_OPTIONS)
def test_options_are_kept(option: str) -> None:
    place = Sent()
    socket = place.made()
    assert place.udp(option, socket) == (True, UDP_OPTIONS[option])
    assert place.udp(f"set-{option}", socket, 7) == OK
    assert place.udp(option, socket) == (True, 7)
    assert place.udp(f"set-{option}", socket, 0) == (False, "invalid-argument")
    assert place.udp(option, place.made()) == (True, UDP_OPTIONS[option]), "of each its own"
