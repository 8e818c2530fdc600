"""Many filters, many retained messages: each topic finds its filters, and nobody waits for another's subscription."""

from __future__ import annotations

from collections.abc import Callable

from hypothesis import given, settings
from hypothesis import strategies as st

from devices.mqtt_broker import Broker
from devices.mqtt_fields import matches
from devices.mqtt_packet import Publish, Subscribe, Unsubscribe
from devices.mqtt_topics import FilterTree
from tests.devices.test_mqtt_broker import connected

LEVELS = st.lists(st.sampled_from(["a", "b", "", "$s"]), min_size=1, max_size=4)
PATTERNS = st.lists(st.sampled_from(["a", "b", "", "+", "$s"]), min_size=1, max_size=4)


@settings(max_examples=300)
@given(st.lists(st.tuples(PATTERNS, st.booleans(), st.booleans()), max_size=12), st.lists(LEVELS, min_size=1, max_size=6))
def test_a_tree_finds_what_filter_by_filter_is_found(made: list[tuple[list[str], bool, bool]], topics: list[list[str]]) -> None:
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
            assert sorted(tree.found(topic)) == sorted(one for one in held if matches(one, topic)), (held, topic)


def test_a_message_doesnt_look_at_each_filter_of_a_client() -> None:
    """D10: a client with 990 filters of three levels costs a message some looks, not 990."""
    tree = FilterTree()
    for number in range(990):
        tree.add(f"plant/+/{number}/#")
    assert list(tree.found("plant/press/7/value")) == ["plant/+/7/#"]
    assert tree.looks < 10


def test_what_is_replaced_while_retained_messages_are_told_isnt_told_twice() -> None:
    """A subscription's retained messages go out in turns; what is published meanwhile comes as itself, and what a client unsubscribes ends."""
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
