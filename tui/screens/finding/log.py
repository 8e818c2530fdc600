"""The log: every line that is kept, by kinds and words, and the one that is chosen.

Belongs here: which lines are found, where somebody stands among them, their drawing. Never: what becomes a
line (engine/watch.py), keys (terminal/).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from twinloop.scenarios.text.words import number_of
from twinloop.tui.drawing.look import BAD, GOOD, LATE, Token
from twinloop.tui.drawing.text import DIM, HEAD, clock_text, fit
from twinloop.tui.engine.messages import LogLine
from twinloop.tui.engine.watch import LOG_MAX

CLOCK, KIND = 13, 10
"""cells of an instant and of a kind"""
BEFORE = 2 + 2 + CLOCK + KIND
"""cells before the words: the mark of the chosen line, a sign, when, which kind"""
WRAPPED_MAX = 6
"""lines that the chosen one may take to be read in full"""
TO_COME = "seen before the clock went back; it comes again unless you do something"
Row = tuple[LogLine | None, Text]
"""a line of the pane, and of which line of the log it is"""


def token_of(kind: str, text: str) -> Token | None:
    """How it is what a line says; None: neither well nor ill."""
    if text.endswith((" heal", "up")):
        return GOOD
    if "crash" in text or "fault" in kind:
        return BAD
    return LATE if kind in ("link", "trouble", "limit", "breach") else None


def counts(lines: Sequence[LogLine]) -> dict[str, int]:
    """Kind -> how many lines, the kinds by name."""
    found: dict[str, int] = {}
    for line in lines:
        found[line.kind] = found.get(line.kind, 0) + 1
    return dict(sorted(found.items()))


def figure(count: int) -> str:
    """1 204."""
    return f"{count:,}".replace(",", " ")


@dataclass(frozen=True, slots=True)
class Looked:
    """What there is to draw: the ``found`` lines, of which the first ``happened`` have (the others are to
    come again); ``chosen``: which of them (-1: there is none); ``of``: lines that are kept, ``gone``: that
    aren't any more."""

    found: tuple[LogLine, ...]
    happened: int
    chosen: int
    follows: bool
    of: int
    gone: int
    filtered: str = ""


class LogReader:
    """Somebody who reads the log: which kinds and words are wanted, and where he stands."""

    def __init__(self) -> None:
        self.hidden: frozenset[str] = frozenset()
        """kinds that aren't shown"""
        self.wanted = ""
        """words that a line must have"""
        self._at = -1
        """number of the chosen line; -1: the newest"""
        self._lines: tuple[LogLine, ...] = ()
        self._ahead: tuple[LogLine, ...] = ()
        self._given: object = ()
        """what had been done by hand when the lines ahead were seen: with anything else they needn't come"""
        self._looked: Looked | None = None

    # ---- what there is ---------------------------------------------------------------------------
    def see(self, lines: tuple[LogLine, ...], given: object) -> None:
        """The log as it is now, and what has been done by hand."""
        if self._ahead and given != self._given:
            self._ahead = ()
        self._lines, self._looked, self._given = lines, None, given

    def went_back(self) -> None:
        """The clock did: what is known of later lines stays until something else is done."""
        newest = self._lines[-1].number if self._lines else 0
        later = (line for line in self._ahead if line.number > newest)
        self._ahead, self._lines, self._looked = (*self._lines, *later)[-LOG_MAX:], (), None

    @property
    def kept(self) -> tuple[LogLine, ...]:
        """All lines that have happened."""
        return self._lines

    def look(self) -> Looked:
        """What is found, and where he stands."""
        if self._looked is None:
            newest = self._lines[-1].number if self._lines else 0
            past = self._find(self._lines)
            ahead = self._find(tuple(line for line in self._ahead if line.number > newest))
            found, first = (*past, *ahead), self._lines[0].number if self._lines else 1
            at = len(past) - 1
            if self._at >= 0:
                at = max((i for i, line in enumerate(found) if line.number <= self._at), default=0)
            chosen = min(at, len(found) - 1)
            of = len(self._lines)
            self._looked = Looked(found, len(past), chosen, self._at < 0, of, first - 1, self._said())
        return self._looked

    def _find(self, lines: tuple[LogLine, ...]) -> tuple[LogLine, ...]:
        words = self.wanted.lower().split()
        if not words and not self.hidden:
            return lines
        return tuple(
            line
            for line in lines
            if line.kind not in self.hidden
            and all(word in f"{line.kind} {line.text}".lower() for word in words)
        )

    def _said(self) -> str:
        parts = [f"without {', '.join(sorted(self.hidden))}"] if self.hidden else []
        return "; ".join([*parts, *([f'with "{self.wanted}"'] if self.wanted else [])])

    # ---- what is wanted --------------------------------------------------------------------------
    def filter(self, wanted: str) -> None:
        """Only lines with these words."""
        self.wanted, self._looked = wanted.strip(), None

    def hide(self, kinds: frozenset[str]) -> None:
        """Without these kinds."""
        self.hidden, self._looked = kinds, None

    @property
    def chosen(self) -> LogLine | None:
        """The line that he stands at."""
        looked = self.look()
        return looked.found[looked.chosen] if 0 <= looked.chosen < len(looked.found) else None

    def move(self, by: int) -> None:
        """So many lines on; from the newest one on he follows again."""
        looked = self.look()
        if looked.found:
            self.choose(looked.found[max(0, min(len(looked.found) - 1, looked.chosen + by))])

    def choose(self, line: LogLine) -> None:
        """This one."""
        last = self.look().found[-1]
        self._at = (
            -1
            if line.number == last.number and self.look().happened == len(self.look().found)
            else (line.number)
        )
        self._looked = None

    def to_end(self, last: bool) -> None:
        """To the oldest line, or to the newest, which is followed from now on."""
        looked = self.look()
        self._at = -1 if last or not looked.found else looked.found[0].number
        self._looked = None


# ---- drawing -------------------------------------------------------------------------------------
def lines(looked: Looked, width: int, height: int) -> list[Text]:
    """How many there are and which, then the lines around the chosen one."""
    return [text for _, text in rows(looked, width, height)]


def rows(looked: Looked, width: int, height: int) -> list[Row]:
    """The same, with the line of the log that each is of."""
    head: list[Row] = [(None, text) for text in _head(looked, width)]
    room = height - len(head)
    if not looked.found:
        said = "no line is like that" if looked.filtered else "nothing yet"
        return [*head, (None, Text(said, style=DIM))][:height]
    if room < 1:
        return head[:height]
    return [*head, *_around(looked, width, room)]


def _around(looked: Looked, width: int, room: int) -> list[Row]:
    """``room`` rows with the chosen line among them, in the middle where there are enough on both sides."""
    out = _row(looked, looked.chosen, width)[:room]
    above, below = looked.chosen - 1, looked.chosen + 1
    before: list[Row] = []
    want = max(0, (room - len(out)) // 2)
    while above >= 0 and len(before) < want:
        before = [*_row(looked, above, width), *before]
        above -= 1
    out = [*before, *out]
    while below < len(looked.found) and len(out) < room:
        out += _row(looked, below, width)
        below += 1
    while above >= 0 and len(out) < room:
        out = [*_row(looked, above, width), *out]
        above -= 1
    return out[:room]


def _head(looked: Looked, width: int) -> list[Text]:
    whole = number_of(looked.of, "line").replace(str(looked.of), figure(looked.of), 1)
    many = whole if not looked.filtered else f"{figure(looked.happened)} of {whole}, {looked.filtered}"
    where = "▼ follows the newest"
    if not looked.follows:
        newer = max(0, looked.happened - looked.chosen - 1)
        where = f"❚❚ stands still, {figure(newer)} newer: end follows again"
    first = Text.assemble((many, HEAD), "  ", (where, DIM))
    if first.cell_len > width:  # where one stands is said in any case
        room = width - 2 - len(where)
        first = Text.assemble(
            (fit(many, room), HEAD), "  " * (room > 0), (fit(where, min(width, len(where))), DIM)
        )
    out = [first]
    if looked.gone:
        older = "older line is" if looked.gone == 1 else "older lines are"
        said = f"{figure(looked.gone)} {older} gone: the log keeps {figure(LOG_MAX)}"
        out.append(Text(fit(said, width).rstrip(), style=LATE.style))
    return out


def _row(looked: Looked, index: int, width: int) -> list[Row]:
    """One line of the log; the chosen one in full. Before the first that is to come stands that it is."""
    line, chosen, coming = looked.found[index], index == looked.chosen, index >= looked.happened
    token = token_of(line.kind, line.text)
    style = DIM if coming else "" if token is None else token.style
    room = max(4, width - BEFORE)
    parts = textwrap.wrap(line.text, room)[:WRAPPED_MAX] if chosen else [fit(line.text, room)]
    rest = "bold" if chosen else DIM
    out: list[Row] = []
    if coming and index == looked.happened:
        out.append((None, Text(fit(f"┄┄ {TO_COME} ", width), style=LATE.style)))
    for i, part in enumerate(parts or [""]):
        first = (
            ("▸ " if chosen else "  ", HEAD),
            (f"{' ' if token is None else token.sign} ", style),
            (fit(clock_text(line.at_ns), CLOCK) + fit(line.kind, KIND), rest),
        )
        lead = first if not i else ((" " * BEFORE, ""),)
        out.append((line, Text.assemble(*lead, (part, f"bold {style}" if chosen else style))))
    return out
