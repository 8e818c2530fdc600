"""Many filters, many retained messages: each topic finds its filters, and nobody waits for another's
subscription."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.devices.mqtt.test_mqtt_broker import connected
from twinloop.devices.mqtt.broker import Broker
from twinloop.devices.mqtt.fields import matches
from twinloop.devices.mqtt.packet import Publish, Subscribe, Unsubscribe, encode
from twinloop.devices.mqtt.topics import FilterTree

LEVELS = st.lists(st.sampled_from(["a", "b", "", "$s"]), min_size=1, max_size=4)
PATTERNS = st.lists(st.sampled_from(["a", "b", "", "+", "$s"]), min_size=1, max_size=4)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(PATTERNS, st.booleans(), st.booleans()), max_size=12),
    st.lists(LEVELS, min_size=1, max_size=6),
)
def test_a_tree_finds_what_filter_by_filter_is_found(
    made: list[tuple[list[str], bool, bool]], topics: list[list[str]]
) -> None:
    """Filters are added and taken away; each topic finds those that match it by 4.7, each once."""
    tree, held = FilterTree(), dict[str, None]()
    for levels, rest, stays in made:
        pattern = "/".join([*levels, "#"] if rest else levels) or "a"
        tree.add(pattern)
        held[pattern] = None
        if not stays:
            tree.discard(pattern)
            tree.discard("never/there")
            del held[pattern]
        for topic in ("/".join(levels) or "a" for levels in topics):
            assert sorted(tree.found(topic)) == sorted(one for one in held if matches(one, topic)), (
                held,
                topic,
            )


def test_a_message_doesnt_look_at_each_filter_of_a_client() -> None:
    """D10: a client with 990 filters of three levels costs a message some looks, not 990."""
    tree = FilterTree()
    for number in range(990):
        tree.add(f"plant/+/{number}/#")
    assert list(tree.found("plant/press/7/value")) == ["plant/+/7/#"]
    assert tree.looks < 10


def test_what_is_replaced_while_retained_messages_are_told_isnt_told_twice() -> None:
    """A subscription's retained messages go out in turns; what is published meanwhile comes as itself, and
    what a client unsubscribes ends."""
    broker, rest = Broker(), list[Callable[[], None]]()
    for number in range(450):
        broker.publish(Publish(f"d/{number}", b"old", 0, retain=True), None)
    broker.later = rest.append
    reader = connected(broker, "reader")
    told = reader.say(Subscribe(1, (("d/#", 0),)))
    assert len(told) == 1 + 100
    broker.publish(Publish("d/300", b"new", 0, retain=True), None)
    while rest:
        rest.pop()()
    told = [packet for packet in reader.came if isinstance(packet, Publish)]
    assert len({packet.topic for packet in told}) == len(told) == 450
    assert [packet.payload for packet in told if packet.topic == "d/300"] == [b"new"]
    assert len(reader.say(Subscribe(2, (("d/+", 0),)))) == 1 + 100
    assert len(reader.say(Unsubscribe(3, ("d/+",)))) == 1
    while rest:
        rest.pop()()
    assert len(reader.came) == 1, "nothing more is told"


def waiting(count: int = 250, qos: int = 0) -> tuple[Broker, list[Callable[[], None]]]:
    """A broker with so many retained messages, which tells them in turns."""
    broker, rest = Broker(), list[Callable[[], None]]()
    for number in range(count):
        broker.publish(Publish(f"t/{number}", b"1", qos, retain=True), None)
    broker.later = rest.append
    return broker, rest


def let(rest: list[Callable[[], None]]) -> int:
    turns = 0
    while rest:
        rest.pop()()
        turns += 1
    return turns


def test_a_kept_session_hears_all_that_was_retained_though_it_was_away_meanwhile() -> None:
    broker, rest = waiting(250, 1)
    reader = connected(broker, "p", False)
    reader.say(Subscribe(1, (("t/#", 1),)))
    reader.connection.lost(0)
    let(rest)
    session = broker.sessions["p"]
    assert len(session.inflight) + len(session.queued) == 250


def test_the_same_filter_again_begins_anew_and_ends_what_was_begun() -> None:
    broker, rest = waiting()
    reader = connected(broker, "r")
    reader.connection.received(
        b"".join(
            encode(one)
            for one in (Subscribe(1, (("t/#", 0),)), Unsubscribe(2, ("t/#",)), Subscribe(3, (("t/#", 0),)))
        ),
        0,
    )
    let(rest)
    told = [packet.topic for packet in reader.came if isinstance(packet, Publish)]
    assert told[100:] == [f"t/{number}" for number in range(250)], (
        "a turn of the first, and all of the second"
    )


def test_many_subscriptions_that_nothing_matches_keep_nothing() -> None:
    """One list of topics is walked at a time; who is gone isn't waited for."""
    broker, rest = waiting(1000)
    reader = connected(broker, "r")
    for number in range(40):
        reader.say(Subscribe(1, ((f"no/+/{number % 2}", 0),)))
    assert len(broker.kept._owed) == 2
    assert len(rest) == 1
    reader.connection.lost(0)
    assert not broker.kept._owed
    assert let(rest) == 1


def test_who_subscribes_beside_a_long_telling_has_his_turn_behind_it() -> None:
    broker, rest = waiting()
    first, second = connected(broker, "a"), connected(broker, "b")
    first.say(Subscribe(1, (("t/#", 0),)))
    second.say(Subscribe(1, (("t/7", 0),)))
    broker.publish(Publish("t/7", b"2", 0, retain=True), None)
    let(rest)
    assert [packet.payload for packet in second.came if isinstance(packet, Publish)] == [b"2"], (
        "what came meanwhile came as itself"
    )
    assert len({packet.topic for packet in first.came if isinstance(packet, Publish)}) > 150
