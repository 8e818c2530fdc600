"""Classes of ``twinloop.records`` are those of ``dataclasses``, as far as anybody can see who uses one."""

from __future__ import annotations

import dataclasses
import inspect
import pickle
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from typing import Any

import pytest

from twinloop import records

WAYS: list[dict[str, bool]] = [
    {},
    {"frozen": True},
    {"slots": True},
    {"frozen": True, "slots": True},
    {"frozen": True, "slots": True, "kw_only": True},
    {"frozen": True, "slots": True, "eq": False},
    {"slots": True, "eq": False},
]
"""all that the project uses"""
Decorator = Callable[..., Any]
BOTH: tuple[Decorator, Decorator] = (dataclasses.dataclass, records.dataclass)


def made(decorator: Decorator, way: dict[str, bool]) -> Any:
    @decorator(**way)
    class Thing:
        name: str
        number: int = 3
        parts: list[int] = field(default_factory=list, hash=False)
        hidden: int = field(default=0, repr=False, compare=False)

    return Thing


def pair(way: dict[str, bool]) -> tuple[Any, Any]:
    theirs, ours = (made(decorator, way) for decorator in BOTH)
    return theirs, ours


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_values_and_words_are_the_same(way: dict[str, bool]) -> None:
    theirs, ours = pair(way)
    for named in ({"name": "a"}, {"name": "b", "number": 4, "parts": [1], "hidden": 9}):
        one, other = theirs(**named), ours(**named)
        for _ in range(2):  # by the placeholder, and by what it has put there
            assert repr(other) == repr(one)
            assert dataclasses.asdict(ours(**named)) == dataclasses.asdict(one)
        assert dataclasses.astuple(dataclasses.replace(other, number=7)) == dataclasses.astuple(
            dataclasses.replace(one, number=7)
        )
    assert ours(name="a").parts is not ours(name="a").parts
    assert ours.__match_args__ == theirs.__match_args__
    assert hasattr(ours(name="a"), "__dict__") == hasattr(theirs(name="a"), "__dict__")


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_equality_and_hashes_are_the_same(way: dict[str, bool]) -> None:
    theirs, ours = pair(way)
    values: list[dict[str, Any]] = [
        {"name": "a"}, {"name": "a", "hidden": 5}, {"name": "a", "number": 4}, {"name": "a", "parts": [1]},
    ]  # fmt: skip
    for one in values:
        for other in values:
            for _ in range(2):
                assert (ours(**one) == ours(**other)) == (theirs(**one) == theirs(**other))
    assert ours(name="a") != theirs(name="a")
    if theirs.__hash__ is None:
        assert ours.__hash__ is None
    elif way.get("eq", True):
        assert [hash(ours(**one)) for one in values] == [hash(theirs(**one)) for one in values]
    else:
        thing = ours(name="a")
        assert hash(thing) == object.__hash__(thing)


@pytest.mark.parametrize("way", [way for way in WAYS if way.get("frozen")], ids=str)
def test_what_is_frozen_stays_as_it_is(way: dict[str, bool]) -> None:
    said = []
    for thing in (one(name="a") for one in pair(way)):
        with pytest.raises(FrozenInstanceError) as setting:
            thing.name = "b"
        with pytest.raises(FrozenInstanceError) as deleting:
            del thing.name
        said.append((str(setting.value), str(deleting.value)))
    assert said[0] == said[1]


@pytest.mark.parametrize("way", WAYS, ids=str)
def test_wrong_arguments_are_told_in_the_same_words(way: dict[str, bool]) -> None:
    calls: list[Callable[[Any], Any]] = [
        lambda cls: cls(), lambda cls: cls("a", 1, [], 2, 3), lambda cls: cls(name="a", nmae="b"),
    ]  # fmt: skip
    theirs, ours = pair(way)
    for call in calls:
        said = []
        for cls in (theirs, ours):
            with pytest.raises(TypeError) as error:
                call(cls)
            said.append(str(error.value))
        assert said[0] == said[1]


def test_the_real_methods_have_taken_the_placeholders_places() -> None:
    thing = made(records.dataclass, {"frozen": True})
    before = thing.__init__
    thing("a")
    assert thing.__init__ is not before
    assert list(inspect.signature(thing.__init__).parameters) == ["self", "name", "number", "parts", "hidden"]


@records.dataclass(frozen=True, slots=True)
class Sent:
    """May go to another process."""

    name: str
    number: int = 1


@records.dataclass(frozen=True)
class Base:
    """Has a child."""

    name: str
    seen: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.seen.append(self.name)


@records.dataclass(frozen=True)
class Child(Base):
    """And a word of its own."""

    number: int = 0

    def __repr__(self) -> str:
        return "a child"


def test_one_can_be_pickled() -> None:
    assert pickle.loads(pickle.dumps(Sent("a", 2))) == Sent("a", 2)


def test_a_child_has_its_parents_fields_and_its_own_methods() -> None:
    child = Child("a", number=2)
    assert (child.name, child.number, child.seen, repr(child)) == ("a", 2, ["a"], "a child")
    assert child != Base("a")
    assert repr(Base("b")) == "Base(name='b', seen=['b'])"
    with pytest.raises(FrozenInstanceError):
        child.name = "b"  # type: ignore[misc]


def test_what_a_class_says_itself_stays() -> None:
    @records.dataclass(slots=True)
    class Own:
        number: int

        def __eq__(self, other: object) -> bool:
            return True

        def __hash__(self) -> int:
            return 7

    assert Own(1) == Own(2)
    assert hash(Own(1)) == 7
