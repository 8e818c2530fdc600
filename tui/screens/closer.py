"""What somebody looks at closer: the page of an expectation, of a window's samples, of one sample, of a
component.

Belongs here: which of them it is, and the lines of the window's and the component's page. Never: the larger
pages (expectation.py, sample.py).
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.text import Text

from twinloop.sim.accounts.latency import STAGES
from twinloop.tui.drawing.look import BAD, LATE
from twinloop.tui.drawing.spots import Spot
from twinloop.tui.drawing.text import DIM, HEAD, clock_text, count_text, row, time_text
from twinloop.tui.engine.explored import Gone, Known, SamplesView, Slow, Wanted
from twinloop.tui.engine.messages import Ready, View
from twinloop.tui.screens.targets import ToSample

PAGES = ("expectation", "window", "sample", "component")
"""screens that no key leads to: one comes to them from a figure"""
SAMPLE_HEADS = (("sample", 18), ("k", -6), ("due", -12), ("took", -10), ("became", 26), ("most of it", 20))
COMPONENT_HEADS = (
    ("gateway", 16),
    ("calls", -9),
    ("fuel", -10),
    ("fuel/call", -10),
    ("cpu time", -10),
    ("cpu/call", -10),
    ("faults", -7),
)
NARROW = 98
"""cells below which a sample's row has fewer columns"""
_ABOUT = re.compile(r"samples\.(?P<end>[a-z]+)")
_CAUSE = re.compile(r"cause=(?P<cause>[a-z-]+)")
"""in the text of an expectation"""


@dataclass(frozen=True, slots=True)
class Closer:
    """Which expectation, window, sample and component are looked at, as far as one has come."""

    expectation: int = -1
    from_ns: int = -1
    to_ns: int = -1
    sample: Known | None = None
    component: str = ""

    def wanted(self, shown: str) -> Wanted | None:
        """What the engine is asked for, for the page that is shown; None: nothing."""
        if shown == "expectation":
            return Wanted(self.expectation)
        if shown == "window":
            return Wanted(self.expectation, self.from_ns, self.to_ns)
        return Wanted(sample=self.sample) if shown == "sample" else None

    def trail(self, plan: Ready | None, shown: str) -> str:
        """Which page that is, in a few words."""
        if shown == "expectation":
            return "Expectation"
        if shown == "window":
            return f"Samples {clock_text(self.from_ns)} to {clock_text(self.to_ns)}"
        if shown == "sample" and self.sample is not None and plan is not None:
            return f"Sample of {plan.devices[self.sample.device].name}"
        return f"Component {self.component}" if shown == "component" else ""


# ---- the samples of a window ---------------------------------------------------------------------
def _samples(view: View, closer: Closer) -> SamplesView | None:
    found = view.closer.samples
    here = found is not None and (found.from_ns, found.to_ns) == (closer.from_ns, closer.to_ns)
    return found if here else None


def troubles(plan: Ready, view: View, from_ns: int, to_ns: int) -> list[str]:
    """Entries of the timeline that were active then; those without an end where they began."""
    spans = {**dict.fromkeys(plan.spans), **dict.fromkeys(view.entries.spans)}
    return [
        f"{one.verb} {one.target}"
        for one in spans
        if one.at_ns < to_ns and (one.until_ns > from_ns or (one.until_ns < 0 and one.at_ns >= from_ns))
    ]


def window(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Text]:
    """What was wrong then, and the samples that stand out."""
    found = _samples(view, closer)
    if found is None:
        return [Text("...")]
    out = [*_about_window(plan, view, found, closer), row(_sample_heads(width), f"{HEAD} {DIM}")]
    for one in _in_order(view, found, closer):
        if isinstance(one, Slow):
            out.append(row(_slow_cells(plan, one, width)))
        else:
            out.append(row(_gone_cells(plan, one, width), BAD.style))
    if not found.slow and not found.gone:
        out.append(Text("no sample is known of this window", style=DIM))
    return out[:height]


def _in_order(view: View, found: SamplesView, closer: Closer) -> list[Known]:
    """The slowest first; of an expectation about the ends of samples those first that came to a bad one, and
    before all to the one of which it speaks."""
    text = next((one.text for one in view.verdicts if one.number == closer.expectation), "")
    about = _ABOUT.search(text)
    if closer.expectation < 0 or about is None:
        return [*found.slow, *found.gone]
    end, cause = about["end"], _CAUSE.search(text)

    def other(one: Gone) -> bool:
        return one.end != end or (cause is not None and one.cause != cause["cause"])

    return [*sorted(found.gone, key=other), *found.slow]


def window_spots(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Spot]:
    """Each of the samples."""
    found = _samples(view, closer)
    if found is None:
        return []
    first = len(_about_window(plan, view, found, closer)) + 1
    some = _in_order(view, found, closer)
    return [
        Spot(ToSample(one), f"enter: {plan.devices[one.device].name}, this sample", y, 0, width)
        for y, one in enumerate(some[: max(0, height - first)], first)
    ]


def _about_window(plan: Ready, view: View, found: SamplesView, closer: Closer) -> list[Text]:
    said = troubles(plan, view, closer.from_ns, closer.to_ns)
    out = [
        Text.assemble(("trouble ", HEAD), (", ".join(said) or "none", LATE.style if said else DIM)),
    ]
    for end, cause, fleet, points in found.counts[:3]:
        out.append(Text.assemble((f"{BAD.sign} {end} ", BAD.style), f"{cause}  {fleet}  {points} points"))
    return out


def _sample_heads(width: int) -> list[tuple[str, int]]:
    return [*SAMPLE_HEADS] if width >= NARROW else [*SAMPLE_HEADS[:2], *SAMPLE_HEADS[3:5]]


def _cells(cells: list[str], width: int) -> list[tuple[str, int]]:
    some = cells if width >= NARROW else [*cells[:2], *cells[3:5]]
    return [(text, size) for text, (_, size) in zip(some, _sample_heads(width), strict=True)]


def most_of(slow: Slow) -> str:
    """The stage that took most of a sample's time, and how much."""
    if not any(slow.spent_ns):
        return "-"
    stage = max(range(len(STAGES)), key=lambda i: slow.spent_ns[i])
    return f"{STAGES[stage]} {100 * slow.spent_ns[stage] // max(1, sum(slow.spent_ns))} %"


def _slow_cells(plan: Ready, one: Slow, width: int) -> list[tuple[str, int]]:
    k = str(one.k) if one.k >= 0 else "-"
    name = plan.devices[one.device].name
    took = time_text(one.total_ns)
    return _cells([name, k, clock_text(one.due_ns), took, "got its verdict", most_of(one)], width)


def _gone_cells(plan: Ready, one: Gone, width: int) -> list[tuple[str, int]]:
    name = plan.devices[one.device].name
    became = f"{BAD.sign} {one.end}, {one.cause}"
    points = f"{one.points} point{'' if one.points == 1 else 's'}"
    took = time_text(one.at_ns - one.due_ns)
    return _cells([name, str(one.k), clock_text(one.due_ns), took, became, points], width)


# ---- a component on all gateways -----------------------------------------------------------------
def component(plan: Ready, view: View, width: int, height: int, closer: Closer) -> list[Text]:
    """Calls with fuel by gateway, and its faults."""
    mine = [one for one in view.instances if one.component == closer.component]
    out = [row(COMPONENT_HEADS, f"{HEAD} {DIM}")]
    for one in mine:
        calls = max(1, one.calls)
        cells = (
            one.gateway,
            str(one.calls),
            count_text(one.fuel),
            count_text(one.fuel // calls),
            time_text(one.cpu_ns),
            time_text(one.cpu_ns // calls),
            str(one.faults),
        )
        sizes = [size for _, size in COMPONENT_HEADS]
        out.append(row(list(zip(cells, sizes, strict=True)), BAD.style if one.faults else ""))
    faults = [
        Text(f"  {BAD.sign} {gateway.name}: {cause} x {count}", style=BAD.style)
        for gateway in view.snapshot.gateways
        for name, cause, count in gateway.faults
        if name == closer.component
    ]
    out += [Text(""), Text("faults", style=HEAD), *(faults or [Text("  none", style=DIM)])]
    lines = [
        Text(f"  {clock_text(line.at_ns)}  {line.text}")
        for line in view.log
        if line.kind == "fault" and line.component == closer.component
    ]
    return [*out, *lines[-max(0, height - len(out)) :]][:height] if lines else out[:height]
