"""A device that answers, learned: what is there, several looks at it, and how long its answers take.

Belongs here: the order of work, and that what was learned stays when it ends early. Never: single requests
(mapping.py), guesses (guessing.py), the file (learned.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from twinloop.devices.live.asking import Client
from twinloop.devices.model.points import BITS
from twinloop.scenarios.learning.mapping import REQUESTS_MAX, Asker, Mapped, Mapper, NoUnit, Stopped
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.text.words import number_of
from twinloop.scenarios.wire.places import Where

LOOKS_MAX = 1000


@dataclass(slots=True)
class Probed:
    """What was learned. ``looks``: one after the other, (table, address) -> register or bit; ``every_ns``:
    from one to the next; ``ended``: why earlier than asked, in words; ``interrupted``: by the user."""

    url: str
    mapped: Mapped
    every_ns: int
    looks: list[dict[tuple[str, int], int]] = field(default_factory=list)
    missed: int = 0
    ended: str = ""
    interrupted: bool = False


def client_of(where: Where, timeout_ns: int, pause_ns: int, rate_bd: int, characters: str) -> Client:
    """Who asks the device at that place."""
    return Client(
        framing=where.speaks.framing,
        unit=1 if where.unit is None else where.unit,
        host=where.place.host,
        port=where.place.port,
        path=where.place.path,
        rate_bd=rate_bd,
        characters=characters,
        timeout_s=timeout_ns / 1e9,
        pause_s=pause_ns / 1e9,
    )


def probe(
    asker: Asker,
    url: str,
    ranges: Mapping[str, list[tuple[int, int]]],
    *,
    looks: int,
    every_ns: int,
    wait: Callable[[int], None],
    requests_max: int = REQUESTS_MAX,
    told: Callable[[str], None] = lambda text: None,
) -> Probed:
    """Learn what is in ``ranges``. ``wait``: until so many ns after the look before. Ends early, with what
    was learned, when the user interrupts, the bound of requests is reached or the device falls silent.

    Raises:
        ScenarioError: when nothing answers.
    """
    mapper = Mapper(asker, requests_max)
    found = Probed(url, mapper.found, every_ns)
    try:
        _contact(mapper, url, ranges)
        mapper.explore(ranges)
    except Stopped as stopped:
        found.ended = str(stopped)
    except NoUnit as refused:
        raise _no_unit(url, refused) from refused
    except KeyboardInterrupt:
        found.ended, found.interrupted = "interrupted while it was mapped", True
    there = sum(len(words) for words in mapper.found.there.values())
    told(f"{number_of(mapper.found.requests, 'request')}: {number_of(there, 'address', 'addresses')} there")
    found.looks.append(_first(mapper.found))
    if not found.interrupted and there:
        _look(asker, found, looks, wait, told)
    return found


def _contact(mapper: Mapper, url: str, ranges: Mapping[str, list[tuple[int, int]]]) -> None:
    if not mapper.contact({table: asked[0][0] for table, asked in ranges.items()}):
        raise ScenarioError(
            url,
            None,
            "",
            f"no answer to {number_of(mapper.found.requests, 'request')}: is this its unit id, its protocol; "
            f"on a line its rate and parity? A slow device needs more time: --timeout",
        )


def _no_unit(url: str, refused: NoUnit) -> ScenarioError:
    text = f"exception {refused.args[0]:02X}: a gateway answers, and nobody behind it has this unit id"
    return ScenarioError(url, None, "", f"{text}: say another one, as in tcp://host:port/7")


def _first(mapped: Mapped) -> dict[tuple[str, int], int]:
    """What registers held when they were found."""
    return {(table, at): word for table, words in mapped.there.items() for at, word in words.items()}


def _look(
    asker: Asker, found: Probed, looks: int, wait: Callable[[int], None], told: Callable[[str], None]
) -> None:
    """Looks at all that is there; one that isn't whole doesn't count."""
    blocks = found.mapped.blocks()
    whole: list[dict[tuple[str, int], int]] = []
    try:
        for number in range(looks):
            if number:
                wait(found.every_ns)
            seen: dict[tuple[str, int], int] = {}
            for table, first, count in blocks:
                answer = asker.read(table, first, count)
                if answer.words is None:
                    break
                found.mapped.took_ns.append(answer.took_ns)
                seen |= {(table, first + i): word for i, word in enumerate(answer.words)}
            else:
                whole.append(seen)
                told(f"look {number + 1} of {looks}")
                continue
            found.missed += 1
    except KeyboardInterrupt:
        found.ended, found.interrupted = f"interrupted after {number_of(len(whole), 'look')}", True
    if whole:
        found.looks = whole
    if found.missed:
        found.ended = found.ended or f"{found.missed} of {looks} looks weren't answered"


def tables_of(found: Probed) -> list[str]:
    """Those in which something is there, registers first."""
    there = [table for table, words in found.mapped.there.items() if words]
    return sorted(there, key=lambda table: table in BITS)
