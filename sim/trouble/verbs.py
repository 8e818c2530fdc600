"""All verbs of the timeline, by name, and an action made of one in Python.

Belongs here: gathering. Never: a verb: a class in links.py, gateways.py, components.py or devices.py is one
as soon as it has a name.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twinloop.sim.model.spec import Action
from twinloop.sim.trouble import components, devices, gateways, links
from twinloop.sim.trouble.verb import Key, Verb


def _found() -> Iterator[type[Verb]]:
    for module in (links, gateways, components, devices):
        for one in vars(module).values():
            if (
                isinstance(one, type)
                and issubclass(one, Verb)
                and one.name
                and one.__module__ == module.__name__
            ):
                yield one


VERBS: dict[str, type[Verb]] = {verb.name: verb for verb in _found()}
"""name -> class, in the order in which they stand in their files"""


def all_keys() -> tuple[Key, ...]:
    """Every key that goes with some verb, once; raises ValueError when two verbs write one key in two
    ways."""
    found: dict[str, Key] = {}
    for verb in VERBS.values():
        for key in verb.own_keys():
            if found.setdefault(key.name, key).type != key.type:
                raise ValueError(
                    f"{verb.name}: key {key.name} is a {key.type}, and elsewhere a {found[key.name].type}"
                )
    return tuple(found.values())


def act(at_ns: int, verb: str, target: str, until_ns: int | None = None, **fields: Any) -> Action:
    """An action, by the name of its verb and the fields of its class: ``act(5 * S, "cut", "cloud", 9 * S,
    leg="gw")``. Nothing is checked."""
    return Action(at_ns, VERBS[verb](target=target, **fields), until_ns)
