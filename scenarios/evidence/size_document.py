"""What ``twinloop size`` found, as plain data, and its words.

Belongs here: the document of ``--json``, and what the command says of it. Never: the search (size.py), its
runs (sizing.py), flags (cli/evidence/size.py).
"""

from __future__ import annotations

from typing import Any

from twinloop.scenarios.evidence.limits import Limit
from twinloop.scenarios.evidence.seeds_report import figure_text
from twinloop.scenarios.evidence.size import Sized
from twinloop.scenarios.evidence.sizing import Sizing

_UNITS = {"whole number": "count", "duration": "ns", "size": "bytes"}
_OF_A_POINT = ("seeds", "held", "interval", "expectations")
"""of the summary of its runs"""


def document(
    found: Sized, sizing: Sizing, ends: tuple[int, int], step: int, scarce: list[Limit]
) -> dict[str, Any]:
    """All of it. ``ends``: --from and --to. Values are counts, ns or bytes (``unit``); ``text`` beside one is
    how it is written."""
    return {
        "format": 1,
        "kind": "size",
        "scenario": sizing.name,
        "path": sizing.path,
        "unit": _UNITS[sizing.kind.name],
        "expectations": sizing.expectations,
        "from": ends[0],
        "to": ends[1],
        "step": step,
        "found": found.knee,
        "nominal": found.nominal,
        "problem": found.problem or None,
        "first_bad": found.next_bad,
        "holds_again": found.beyond,
        "limits": {one.name: round(one.used, 6) for one in scarce},
        "band": "" if found.next_bad is None else sizing.band(found.next_bad),
        "tried": [_tried(value, verdict, sizing) for value, verdict in sorted(found.tried.items())],
    }


def _tried(value: int, verdict: str | None, sizing: Sizing) -> dict[str, Any]:
    summary = sizing.summary(value)
    return {
        "value": value,
        "text": sizing.kind.shown(value),
        "verdict": verdict,
        **{key: summary[key] for key in _OF_A_POINT},
        "beside": sizing.beside(value),
        "band": sizing.band(value),
        "reproduce": sizing.reproduce(value),
    }


def in_order(data: dict[str, Any]) -> list[dict[str, Any]]:
    """What was tried, from ``from`` to ``to``."""
    return sorted(data["tried"], key=lambda one: int(one["value"]), reverse=data["to"] < data["from"])


def head(data: dict[str, Any]) -> str:
    """What is looked for, between which ends."""
    return f"{data['scenario']}  {data['path']}  from {_text(data, 'from')} to {_text(data, 'to')}"


def measured(one: dict[str, Any]) -> list[str]:
    """What was measured with a value: the worst of each expectation."""
    return [figure_text(row, "worst") for row in one["expectations"]]


def answer(data: dict[str, Any]) -> list[str]:
    """What was found, in lines of words; the last one says how to repeat what doesn't hold."""
    if data["problem"] == "start":
        first = _text(data, "from")
        return [
            f"no answer: it doesn't hold with {first} (--from); give a value that does",
            f"reproduce: {_at(data, data['from'])['reproduce']}",
        ]
    if data["problem"] == "end":
        last = _text(data, "to")
        return [f"no answer: it holds with {last} (--to), too; give a value with which it doesn't"]
    out = [f"{'largest' if data['to'] > data['from'] else 'smallest'} that holds: {_text(data, 'found')}"]
    beside = _at(data, data["found"])["beside"]
    if beside:
        out.append(f"beside it {beside}")
    if data["nominal"] != data["found"]:
        band = _at(data, data["nominal"])["band"]
        out.append(f"at the nominal prices alone, which are modelled {band}: {_text(data, 'nominal')}")
    scarce = [str(Limit(name, used)) for name, used in data["limits"].items()]
    if scarce:
        out.append(f"beyond it is scarce: {', '.join(scarce)}")
    if data["holds_again"]:
        again = ", ".join(_at(data, value)["text"] for value in data["holds_again"])
        out.append(f"not to be relied on: it holds again with {again}; more isn't always worse here")
    bad = _at(data, data["first_bad"])
    word = "isn't certain to hold" if bad["verdict"] == "UNSURE" else "doesn't hold"
    return [*out, f"reproduce what {word}: {bad['reproduce']}"]


def _at(data: dict[str, Any], value: int) -> dict[str, Any]:
    return next(one for one in data["tried"] if one["value"] == value)


def _text(data: dict[str, Any], key: str) -> str:
    return str(_at(data, data[key])["text"])
