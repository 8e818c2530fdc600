"""What a replay has found, in words and as JSON.

Belongs here: the report. Never: what is equal (comparing.py).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from twinloop.scenarios.exchanges.comparing import DIFFERS, EQUAL, GAVE, MENDED, SKIPPED
from twinloop.scenarios.exchanges.replaying import Replay, Replayed
from twinloop.scenarios.text.units import show_duration
from twinloop.scenarios.text.words import number_of

SHOWN_MAX = 20
"""calls that the terminal shows one by one; the rest is counted"""
KEPT_MAX = 10_000
"""calls that are in the JSON document one by one; the rest is counted"""
TEXTS_MAX = 12
"""differences of one call that the terminal shows"""
VERSION = 1
"""of the document"""
_WORDS = {
    EQUAL: "equal",
    DIFFERS: "different",
    MENDED: "failed in the field and no longer",
    GAVE: "with nothing recorded to compare",
    SKIPPED: "cut off in the recording, not made",
}


class Findings:
    """Those calls that are told of one by one, gathered while a replay goes on."""

    def __init__(self) -> None:
        self.shown: list[dict[str, Any]] = []
        self.left_out = 0

    def add(self, one: Replayed) -> None:
        """A call that isn't simply equal, or was answered from elsewhere, or failed here."""
        counts = one.heard.counts
        odd = counts.never or one.compared.aside
        if one.compared.verdict == EQUAL and not odd and one.came.fault is None and one.came.then is None:
            return
        if len(self.shown) >= KEPT_MAX:
            self.left_out += 1
            return
        fault = one.came.fault or one.came.then
        found: dict[str, Any] = {
            "line": one.call.line,
            "device": one.place.device,
            "gateway": one.place.gateway,
            "call": one.call.export,
            "at_ns": one.call.at_ns,
            "verdict": one.compared.verdict,
            "differences": one.compared.texts,
            "aside": one.compared.aside,
            "exchanges": dict(counts.__dict__),
            "never_asked": one.heard.never,
            "from_registers": one.heard.composed,
        }
        if fault is not None:
            found["fault"] = fault
        if one.compared.verdict == GAVE:
            found["gives"] = one.came.gives
        self.shown.append(found)


def passed(replay: Replay) -> bool:
    """Has every call given what was recorded, or been mended?"""
    return not replay.count(DIFFERS)


def document(replay: Replay, findings: Findings) -> dict[str, Any]:
    """For ``--json``."""
    header, component = replay.recorded.header, replay.component
    assert component is not None
    return {
        "replay": VERSION,
        "passed": passed(replay),
        "recording": {
            **header.__dict__,
            "file": str(replay.recorded.path),
            "end": replay.recorded.end or None,
        },
        "driver": {"file": str(replay.wasm), "sha256": component.sha256},
        "recorded_drivers": sorted({one.sha256 for one in replay.places.values()}),
        "calls": replay.verdicts,
        "exchanges": dict(replay.counts.__dict__),
        "found": findings.shown,
        "found_left_out": findings.left_out,
        "notes": notes(replay),
    }


def notes(replay: Replay) -> list[str]:
    """What a reader must know of the recording."""
    told = list(replay.notes)
    if not replay.recorded.end:
        told.append(
            "the recording breaks off (its process was killed, or had no room); what is whole was replayed"
        )
    elif replay.recorded.end != "finished":
        told.append("the recording ends early: its run was aborted")
    return told


def lines(replay: Replay, findings: Findings) -> Iterator[str]:
    """For the terminal."""
    header, component = replay.recorded.header, replay.component
    assert component is not None
    shas = sorted({one.sha256 for one in replay.places.values()})
    own = "the recorded driver" if shas == [component.sha256] else "another driver than the recorded one"
    seed = "" if header.seed is None else f"  seed {header.seed}"
    yield f"{header.scenario}{seed}  clock {header.clock}  recorded by {header.by}"
    yield f"recorded  sha256 {', '.join(sha[:12] for sha in shas)}"
    yield f"replayed  sha256 {component.sha256[:12]}  {replay.wasm.name}: {own}"
    for device, of in replay.verdicts.items():
        yield device
        width = max(len(export) for export in of)
        for export, verdicts in of.items():
            told = ", ".join(f"{count} {_WORDS[verdict]}" for verdict, count in verdicts.items())
            yield f"  {export:<{width}}  {told}"
    yield from _exchanges(replay)
    odd = [one for one in findings.shown if one["verdict"] != GAVE or one["never_asked"]]
    for found in odd[:SHOWN_MAX]:
        yield from _one(found)
    more = len(odd) - SHOWN_MAX + findings.left_out
    if more > 0:
        yield f"... and {number_of(more, 'call')} more that --json lists (at most {KEPT_MAX})"
    for text in notes(replay):
        yield f"note  {text}"
    equal, mended, nothing = replay.count(EQUAL), replay.count(MENDED), replay.count(GAVE)
    said = [f"{equal} equal"] if equal or not nothing else []
    said += [f"{mended} {_WORDS[MENDED]}"] if mended else []
    said += [f"{replay.count(DIFFERS)} different"] if replay.count(DIFFERS) else []
    said += [f"{nothing} {_WORDS[GAVE]}"] if nothing else []
    said += [f"{replay.count(SKIPPED)} {_WORDS[SKIPPED]}"] if replay.count(SKIPPED) else []
    yield f"{'PASS' if passed(replay) else 'FAIL'}  {number_of(replay.calls, 'call')}: {', '.join(said)}"


def _exchanges(replay: Replay) -> Iterator[str]:
    counts = replay.counts
    said = f"exchanges  {counts.reused} answered as recorded"
    if counts.elsewhere:
        said += f" ({counts.elsewhere} of them out of their turn)"
    if counts.composed:
        said += f", {counts.composed} answered from recorded registers"
    if counts.never:
        said += f", {counts.never} never asked in the field (a timeout each)"
    if counts.unused:
        said += f"; {counts.unused} recorded ones weren't asked for"
    yield said


_HEADS = {DIFFERS: "differs", MENDED: "mended", SKIPPED: "skipped", EQUAL: "equal", GAVE: "gave"}


def _one(found: dict[str, Any]) -> Iterator[str]:
    at = show_duration(found["at_ns"]) if found["at_ns"] >= 0 else "before 0"
    head = f"{_HEADS[found['verdict']]}  line {found['line']}: {found['device']} {found['call']} at {at}"
    texts = found["differences"]
    yield f"{head}: {texts[0]}" if texts else head
    for text in texts[1:TEXTS_MAX]:
        yield f"  {text}"
    if len(texts) > TEXTS_MAX:
        yield f"  ... and {len(texts) - TEXTS_MAX} more"
    fault = found.get("fault")
    if fault is not None:
        if found["verdict"] == EQUAL:
            yield f"  failed as in the field: {fault['cause']}: {fault['message']}"
        if fault["functions"]:
            yield f"  in {', called by '.join(fault['functions'])}"
    for text in found["aside"]:
        yield f"  aside: {text}"
    if found["from_registers"]:
        yield f"  answered from recorded registers: {', '.join(found['from_registers'][:3])}"
    if found["never_asked"]:
        yield f"  never asked in the field: {', '.join(found['never_asked'][:3])}"
