"""What is seen of a served field: the plant with your gateway at its end, what it asks, and plain words where
nothing can be seen from here.

Belongs here: those lines. Never: facts (facts.py), the table of devices (table.py). A figure that nobody has
measured is a dash or a sentence, not a zero.
"""

from __future__ import annotations

import textwrap
from dataclasses import dataclass, field

from rich.text import Text

from twinloop.scenarios.text.words import number_of
from twinloop.tui.drawing import plot
from twinloop.tui.drawing.look import BAD, GOOD, LATE, OFF, Token
from twinloop.tui.drawing.text import DIM, HEAD, clock_text, count_text, fit, rate_text, time_text
from twinloop.tui.engine.messages import Ready, View
from twinloop.tui.live.facts import YOURS, Plan, Row, Seen
from twinloop.tui.screens import overview
from twinloop.tui.screens.plant import active

COUNT, EXCEPTIONS, WRONG, RATE = 5, 10, 6, 10
"""cells of a fleet's figures; points that were missed or lost are there if somebody judges"""
FLEET_LEAST, LINK_LEAST = 8, 10
JOINTS = {(True, True): "├", (True, False): "╯", (False, True): "╮", (False, False): "─"}
"""(something joins from above, from below) -> the sign where a fleet's line ends"""
UNSEEN = {
    "expect": "Expectations aren't seen from here: only serve --judge judges.",
    "components": "Components aren't seen from here: your gateway doesn't tell what goes on in it.",
    "stages": "Where the time goes isn't seen from here: your gateway doesn't tell what goes on in it.",
    "slowest": "Single samples aren't seen from here: latencies are counted, not kept one by one.",
    "cloud": "Latency isn't seen from here: only serve --judge hears what arrives in the cloud.",
}
"""pane -> what it says in the place of figures that nobody has"""


@dataclass(slots=True)
class Fleet:
    """One fleet as it is served; ``exceptions`` None: its protocol has none that are counted."""

    name: str
    link: str
    rows: list[Row] = field(default_factory=list)
    per_s: float = 0.0
    wrong: int | None = None
    """points that were missed or lost; None: nobody judges"""

    @property
    def exceptions(self) -> int | None:
        """Of all its devices."""
        known = [row.exceptions for row in self.rows if row.exceptions is not None]
        return sum(known) if known else None


def unseen(what: str, width: int) -> list[Text]:
    """That this can't be seen, and why."""
    return [Text(part, style=DIM) for part in textwrap.wrap(UNSEEN[what], max(10, width))]


def _both(plan: Ready, view: View) -> tuple[Plan, Seen]:
    assert isinstance(plan, Plan)
    assert isinstance(view, Seen)
    return plan, view


# ---- the plant -----------------------------------------------------------------------------------
def fleets(plan: Plan, view: Seen) -> list[Fleet]:
    """In the order of the plan."""
    found: dict[str, Fleet] = {}
    columns = view.snapshot.devices
    for i, (info, row) in enumerate(zip(plan.devices, view.served, strict=True)):
        one = found.setdefault(info.fleet, Fleet(info.fleet, info.link))
        one.rows.append(row)
        if view.samples is not None:
            one.wrong = (one.wrong or 0) + int(columns.missed[i] + columns.lost[i])
    for one, per_s in zip(found.values(), view.carried_per_s, strict=False):
        one.per_s = per_s
    return list(found.values())


def plant(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Fleets, their links, your gateway; figures of all of it at the bottom."""
    known, now = _both(plan, view)
    figures = _figures(known, now, width)[: max(0, height - 2)]
    drawn = _drawn(known, now, width, max(2, height - len(figures)))
    gap = [Text("")] * max(0, height - len(figures) - len(drawn))
    return [*drawn, *gap, *figures][:height]


def _drawn(plan: Plan, view: Seen, width: int, height: int) -> list[Text]:
    fixed = 2 + 1 + COUNT + 1 + EXCEPTIONS + 1 + RATE + 1 + 4 + (WRONG + 1 if plan.judged else 0)
    card = min(16, max(8, width // 5))
    spare = max(0, width - fixed - card - FLEET_LEAST - LINK_LEAST)
    name, link = FLEET_LEAST + spare // 3, LINK_LEAST + spare - spare // 3
    by_link: dict[str, list[Fleet]] = {}
    for one in fleets(plan, view):
        by_link.setdefault(one.link, []).append(one)
    wrong = f"{'wrong':>{WRONG}} " if plan.judged else ""
    figures = f"{'count':>{COUNT}} {'exceptions':>{EXCEPTIONS}} {wrong}{'requests/s':>{RATE}}"
    heads = f"  {fit('fleet', name)} {figures}   "
    out = [Text(fit(f"{heads} {fit('link', link)}", width), style=f"{HEAD} {DIM}")]
    left = [(one, i, len(some), some) for some in by_link.values() for i, one in enumerate(some)]
    middles = [y for y, (_, i, count, _) in enumerate(left) if i == (count - 1) // 2]
    at = (middles[0] + middles[-1]) // 2
    cards = _card(plan, view, card)
    for y, (one, i, count, some) in enumerate(left):
        middle = i == (count - 1) // 2
        sign = JOINTS[i > 0, i < count - 1] if count > 1 else "─"
        sign = "┬" if middle and count > 1 and i == 0 else "┼" if middle and count > 1 else sign
        way = _way(one.link, link, view, some, active(plan, view)) if middle else Text(" " * link)
        joint = _end(y, at, middles)
        line = Text.assemble(
            _fleet(one, plan, view, name), ("─" + sign, DIM), ("─" if middle else " ", DIM), way
        )
        line.append(joint, DIM)
        if 0 <= y - at < len(cards):
            line.append(cards[y - at])
        out.append(line)
    for extra in cards[len(left) - at :]:
        out.append(Text(" " * (width - card)) + extra)
    if len(out) > height:
        more = len(left) - (height - 2)
        out = [*out[: height - 1], Text(f"  and {number_of(more, 'more fleet')}: 2 shows all", style=DIM)]
    return out[:height]


def _end(y: int, at: int, middles: list[int]) -> str:
    """What stands between a link and your gateway on a line."""
    top, bottom = min([*middles, at]), max([*middles, at])
    here, up, down = y in middles, top < y <= bottom, top <= y < bottom
    signs = {
        (True, True, True): "┤", (True, True, False): "╯", (True, False, True): "╮",
        (False, True, True): "│", (True, False, False): "─",
    }  # fmt: skip
    sign = signs.get((here, up, down), " ")
    if y == at:
        sign = {"┤": "┼", "│": "├", "╮": "┬", "╯": "┴"}.get(sign, sign)
    return sign


def _fleet(one: Fleet, plan: Plan, view: Seen, name: int) -> Text:
    token = _token(one, plan, view)
    exceptions = "-" if one.exceptions is None else count_text(one.exceptions)
    return Text.assemble(
        (f"{token.sign} ", token.style),
        (fit(one.name, name), token.style if token is not GOOD else ""),
        f" {count_text(len(one.rows)):>{COUNT}} ",
        (f"{exceptions:>{EXCEPTIONS}}", LATE.style if one.exceptions else DIM),
        "" if one.wrong is None else " ",
        (
            "" if one.wrong is None else f"{count_text(one.wrong):>{WRONG}}",
            BAD.style if one.wrong else DIM,
        ),
        f" {rate_text(one.per_s):>{RATE}} ",
    )


def _token(one: Fleet, plan: Plan, view: Seen) -> Token:
    """Bad where its way is cut, late where a device of it has a fault, off where nobody has asked yet."""
    if dict(view.snapshot.links).get(one.link):
        return BAD
    if any(row.faults for row in one.rows):
        return LATE
    return GOOD if any(row.answers for row in one.rows) else OFF


def _way(name: str, width: int, view: Seen, some: list[Fleet], troubles: dict[str, str]) -> Text:
    if dict(view.snapshot.links).get(name):
        return Text(fit(f" {name} {BAD.sign} {troubles.get(name, '')}".rstrip(), width), style=BAD.style)
    flows = any(one.per_s > 0 for one in some) and not view.lost
    named = fit(name, min(len(name), max(1, width - 3)))
    room = max(0, width - len(named) - 2)
    dashes = ["─" if flows else "╌"] * room
    if flows and room:
        dashes[view.snapshot.now_ns // 250_000_000 % room] = "▸"
    return Text.assemble((f" {named} ", ""), ("".join(dashes), GOOD.style if flows else DIM))


def _card(plan: Plan, view: Seen, width: int) -> list[Text]:
    """Your gateway, and what is known of it: that it asks."""
    rate = sum(view.carried_per_s)
    token = GOOD if rate > 0 and not view.lost else OFF if not view.requests else LATE
    words = f"{rate_text(rate)}/s" if rate > 0 else "silent now" if view.requests else "silent so far"
    return [
        Text(f"[{fit(YOURS, min(len(YOURS), width - 2))}]", style=HEAD),
        Text.assemble((f" {token.sign} ", token.style), (fit(words, width - 3), "")),
    ]


def _figures(plan: Plan, view: Seen, width: int) -> list[Text]:
    counts = [f"{count_text(view.requests)} requests", number_of(view.clients, "connection")]
    known = [row.exceptions for row in view.served if row.exceptions is not None]
    if known:
        counts.append(number_of(sum(known), "exception"))
    if view.late_ns[1] >= 0:
        counts.append(f"late {time_text(view.late_ns[1])} p99")
    out = [Text.assemble(("served  ", HEAD), fit("  ".join(counts), width - 8))]
    if view.samples is None:
        return [
            *out,
            Text.assemble(
                ("samples ", HEAD),
                (fit("not seen from here: only serve --judge counts what arrives", width - 8), DIM),
            ),
        ]
    some = view.samples
    parts = [f"{some.due} due", f"{some.open} open", f"{some.delivered} delivered", f"{some.missed} missed"]
    parts += [f"{some.lost} lost"]
    parts += [
        f"{count} {word}" for count, word in ((some.duplicates, "twice"), (some.strange, "strange")) if count
    ]
    parts.append(f"cloud {time_text(some.cloud_ns[0])} p50 {time_text(some.cloud_ns[2])} p99")
    return [*out, Text.assemble(("samples ", HEAD), fit("  ".join(parts), width - 8))]


# ---- the rest ------------------------------------------------------------------------------------
def expectations(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """As they stand, if somebody judges."""
    known, now = _both(plan, view)
    return overview.expectations(plan, now, width, height) if known.judged else unseen("expect", width)


def requests(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Requests a second over the time that this terminal has looked on."""
    _, now = _both(plan, view)
    if len(now.per_s) < 2:
        return [Text("nothing yet", style=DIM)]
    axes = plot.Axes(now.per_s[0][0], now.per_s[-1][0], rate_text, _short, from_zero=True)
    return plot.lines(now.per_s, axes, width, height)


def _short(at_ns: int) -> str:
    return clock_text(at_ns).partition(".")[0]


def trouble(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """Devices that have a fault, answer with exceptions, or that nobody has asked."""
    known, now = _both(plan, view)
    out = []
    silent = 0
    for i, (info, row) in enumerate(zip(known.devices, now.served, strict=True)):
        what = [*row.faults]
        if row.exceptions:
            what.append(number_of(row.exceptions, "exception"))
        if now.samples is not None:
            columns = now.snapshot.devices
            counts = ((int(columns.missed[i]), "missed"), (int(columns.lost[i]), "lost"))
            what += [f"{count_text(count)} {word}" for count, word in counts if count]
        if row.requests == 0:
            silent += 1
        if what:
            token = LATE
            out.append(
                Text.assemble((f"{token.sign} ", token.style), fit(info.name, 16), " ", ", ".join(what))
            )
    if silent:
        words = f"{number_of(silent, 'device')} that nobody has asked yet"
        out.insert(0, Text.assemble((f"{OFF.sign} ", OFF.style), words))
    if len(out) > height:
        out = [*out[: height - 1], Text(f"and {len(out) - height + 1} more", style=DIM)]
    return out or [Text.assemble((f"{GOOD.sign} ", GOOD.style), "all devices are asked, none has a fault")]


def gateway(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """What a served field knows of who asks it."""
    _, now = _both(plan, view)
    asked = [row.asked_ns for row in now.served if row.asked_ns is not None]
    last = time_text(max(0, now.snapshot.now_ns - max(asked))) + " ago" if asked else "nobody has asked yet"
    rows = [
        ("connections", str(now.clients)),
        ("requests", f"{now.requests}, {rate_text(sum(now.carried_per_s))} a second"),
        ("the last one", last),
        ("devices asked", f"{len(asked)} of {len(now.served)}"),
        ("limits met", ", ".join(f"{name} {count}" for name, count in now.limits) or "none"),
    ]
    if now.samples is not None:
        rows.append(
            ("messages", f"{now.samples.messages}, of which {now.samples.strange} belong to no sample")
        )
        rows.append(("arrived twice", str(now.samples.duplicates)))
        rows.append(("out of order", str(now.samples.misordered)))
    out = [Text.assemble((fit(name, 16), DIM), fit(said, max(0, width - 16))) for name, said in rows]
    out += unseen("components", width)
    return out[:height]


def cloud(plan: Ready, view: View, width: int, height: int) -> list[Text]:
    """From the instant at which a sample was due to its arrival in the cloud, if somebody judges."""
    _, now = _both(plan, view)
    if now.samples is None:
        return unseen("cloud", width)[:height]
    names = ("p50", "p95", "p99")
    out = [Text("from due to the cloud", style=DIM)]
    out += [
        Text.assemble((fit(name, 8), HEAD), time_text(value))
        for name, value in zip(names, now.samples.cloud_ns, strict=True)
    ]
    return [*out, Text(""), *unseen("stages", width)][:height]
