"""A driver's datagrams to a real device: what crosses, what the witness hears, what ends it."""

from __future__ import annotations

from tests.sim.wasi.reached import DELAY_NS, READ
from tests.sim.wasi.test_connection import PLACE, Outside
from tests.sim.wasi.test_datagrams import Sent
from twinloop.sim.field.datagrams import ASKED_MAX
from twinloop.sim.field.files import Client
from twinloop.sim.field.real_port import AttachedPort
from twinloop.sim.kernel.clock import S
from twinloop.sim.network.udp import AFOOT_MAX
from twinloop.sim.wasi.hosts import Hosts

ANSWER = bytes.fromhex("0001 0000 0007 01 03 04 3f800000")


def attached() -> tuple[Sent, Outside, list[tuple[bytes, bytes]]]:
    """A place whose device is real; and what its witness hears."""
    place, outside = Sent(), Outside()
    machine = place.machine
    port = AttachedPort(
        outside, PLACE, env=place.env, trace=machine.trace, device=4, link=place.link, server=None, leg="presses/5",
        response_ns=0, client=Client("gw", machine.budget.files, machine.take_file),
    )  # fmt: skip
    heard: list[tuple[bytes, bytes]] = []
    port.on_exchange = lambda request, reply: heard.append((request, reply))
    place.hosts = Hosts(4, "presses/5", port)
    return place, outside, heard


def test_a_real_device_is_sent_to_at_its_place_and_its_witness_hears() -> None:
    place, outside, heard = attached()
    things = place.streams()
    assert outside.called == [], "the first datagram opens it"
    place.send(things[2], READ)
    place.later_on(DELAY_NS)
    assert outside.called == [f"udp {PLACE.url}"]
    assert outside.got == [READ]
    outside.heard(ANSWER)
    assert heard == []
    place.later_on(DELAY_NS)
    assert place.receive(things[1]) == [ANSWER]
    assert heard == [(READ, ANSWER)]
    for thing in things:
        thing.dropped()
    place.later_on(S)
    assert outside.gone == 1
    outside.heard(ANSWER)
    place.later_on(S)
    assert len(heard) == 1, "nobody is at the port of a closed socket"


def test_answers_are_told_with_the_request_that_they_are_to() -> None:
    """Late, twice, to nothing."""
    place, outside, heard = attached()
    _, into, out = place.streams()
    other = b"\0\2" + READ[2:9] + b"\7" + READ[10:]
    place.send(out, READ, other)
    place.later_on(DELAY_NS)
    for answer in (ANSWER, ANSWER, b"\0\2" + ANSWER[2:], b"\0\3" + ANSWER[2:], b""):
        outside.heard(answer)
    place.later_on(DELAY_NS)
    assert len(place.receive(into)) == 5
    assert [request for request, _ in heard] == [READ, READ, other]


def test_of_so_many_requests_the_answers_are_known() -> None:
    place, outside, heard = attached()
    _, _, out = place.streams()
    for number in range(ASKED_MAX + 1):
        place.send(out, number.to_bytes(2, "big") + READ[2:])
        place.ends()
    place.later_on(DELAY_NS)
    outside.heard(bytes(2) + ANSWER[2:])
    outside.heard(ANSWER)
    place.later_on(DELAY_NS)
    assert heard == [(READ, ANSWER)]


def test_a_flood_from_outside_is_bounded() -> None:
    place, outside, _ = attached()
    _, into, out = place.streams()
    place.send(out, READ)
    place.later_on(DELAY_NS)
    for _ in range(AFOOT_MAX + 5):
        outside.heard(ANSWER)
    place.later_on(DELAY_NS)
    assert place.limits == {"datagrams-afoot": 5}
    assert len(place.receive(into, 1000)) == AFOOT_MAX


def test_a_socket_that_never_sent_leaves_nobody_behind() -> None:
    place, outside, _ = attached()
    for thing in place.streams():
        thing.dropped()
    place.later_on(S)
    assert (outside.called, outside.gone) == ([], 0)
