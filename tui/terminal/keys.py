"""Which key does what, and the help that says so.

Belongs here: the table. Never: what an action does (app.py).
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.text import Text
from textual.binding import Binding

from twinloop.tui.drawing.look import TOKENS
from twinloop.tui.drawing.text import fit

PANES = ("overview", "fleet", "device", "gateway", "latency", "trouble", "log", "help")
BESIDE = "beside"
"""the screen of two runs, which is there while there are two"""
KEY = 8
"""cells of a key's name"""
MEANINGS = {
    "good": "good: as it should be; an expectation that holds",
    "late": "late: it works, and not as it should: degraded, waiting, tried again",
    "bad": "bad: broken, cut, lost; an expectation that doesn't hold",
    "uncertain": "uncertain: an error band could turn it",
    "off": "off: nothing can be said yet, or it isn't meant to work now",
}
"""a state's word -> what it means"""
KEYS = (
    ("Screens", (
        ("1 to 7", "overview, fleet, device, gateway, latency, trouble, log"), ("?", "this page"),
        ("tab", "a cursor into the next pane"), ("enter", "what is behind the thing there"),
        ("ctrl+f", "search in all that has a name"), ("esc", "back; leave what asks"),
    )),
    ("The clock", (
        ("space", "run and pause"), ("+ -", "faster, slower"), ("f", "run as fast as possible"),
        (".", "one event on"), ("s", "one second on"), ("n", "run to the next event of a kind"),
        ("b", "10 s back"), ("u", "back before what you did last"), ("0", "to the beginning"),
        ("g", "go to an instant"),
        ("[ ]", "to the last, next entry of the timeline"),
    )),
    ("The plant", (
        ("i", "do something, by a form"), (":", "the same, typed"),
        ("v", "favourites: trouble that was kept"), ("w", "save as a scenario"),
        ("e", "edit the file"), ("r", "read the file again"), ("arrows", "choose a device, a point"),
        ("/", "filter devices, or the log"), ("o", "sort devices"),
        ("h", "all devices by something else"), ("p", "latency of gateway or cloud"),
    )),
    ("The log", (("k", "which kinds of lines"), ("enter", "the clock goes to that line"),
                 ("end", "follow the newest line"))),
    ("Two runs", (("c", "put a run with a change beside this one, or close it"), ("8", "show both"))),
    ("The rest", (("d", "dark and light"), ("ctrl+p", "all commands by name"), ("q", "quit, with a report"))),
)  # fmt: skip
"""part of the help -> key and what it does"""
ABOUT = (
    ("Signs", tuple((token.sign, MEANINGS[token.word]) for token in TOKENS)),
    ("Time", (
        ("┃ ▲", "now"), ("▆", "trouble that was"), ("░", "trouble to come"),
        ("* !", "done by hand; at an instant"), ("◆", "leads its pair"),
        ("|", "a mark to rewind to"),
    )),
    ("", (
        ("", "What you do becomes an entry of the timeline; saved with w, the scenario runs the same "
             "without you."),
        ("", "Going back wakes the last mark and plays the rest again; what you did after that instant "
             "is undone."),
    )),
)  # fmt: skip


def help_lines(parts: Sequence[tuple[str, Sequence[tuple[str, str]]]], width: int) -> list[Text]:
    """A head a part, a line a key, in as many columns as there is room for."""
    wide = max(KEY + 24, width // max(1, width // (KEY + 30)) - 1)
    blocks = []
    for name, rows in parts:
        block = [Text(fit(name, wide), style="bold cyan")] if name else []
        for key, what in rows:
            room = wide - (KEY if key else 0)
            for i, part in enumerate(textwrap.wrap(what, room) or [""]):
                head = fit(key if not i else "", KEY) if key else ""
                block.append(Text.assemble((head, "bold"), fit(part, room)))
        blocks.append([*block, Text(" " * wide)])
    columns: list[list[Text]] = [[] for _ in range(max(1, (width + 1) // (wide + 1)))]
    for block in blocks:
        min(columns, key=len).extend(block)
    high = max(map(len, columns))
    return [
        Text(" ").join([column[y] if y < len(column) else Text(" " * wide) for column in columns if column])
        for y in range(high)
    ]


BINDINGS = [
    *(
        Binding(str(i), f"show('{name}')", name.capitalize(), show=False)
        for i, name in enumerate(PANES[:7], 1)
    ),
    Binding("question_mark", "show('help')", "Help"),
    Binding("space", "play", "Run"),
    Binding("full_stop", "step_event", "Step one event", show=False),
    Binding("s", "step", "Step 1 s", show=False),
    Binding("plus,equals_sign", "faster(1)", "Faster", show=False),
    Binding("minus", "faster(-1)", "Slower", show=False),
    Binding("f", "flat_out", "Flat out"),
    Binding("n", "run_until", "Run to the next ...", show=False),
    Binding("b", "rewind(10)", "Back 10 s"),
    Binding("u", "undo", "Undo what was done last", show=False),
    Binding("0", "beginning", "To the beginning", show=False),
    Binding("left_square_bracket", "entry(-1)", "To the last entry", show=False),
    Binding("right_square_bracket", "entry(1)", "To the next entry", show=False),
    Binding("g", "go_to", "Go to"),
    Binding("i", "do", "Trouble"),
    Binding("colon", "type", "Type an entry", show=False),
    Binding("w", "save", "Save"),
    Binding("e", "edit", "Edit the scenario", show=False),
    Binding("r", "reload", "Read the scenario again", show=False),
    Binding("slash", "filter", "Filter devices, or the log", show=False),
    Binding("o", "sort", "Sort devices", show=False),
    Binding("h", "levels", "What cells of all devices say", show=False),
    Binding("p", "percentiles", "Latency at the gateway or to the cloud", show=False),
    Binding("ctrl+f", "search", "Search", show=False),
    Binding("v", "favourites", "Favourites of trouble", show=False),
    Binding("k", "kinds", "Kinds of lines in the log", show=False),
    Binding("c", "beside", "A second run beside this one, or none", show=False),
    Binding("8", "show_beside", "Both runs", show=False),
    Binding("pageup", "page(-1)", show=False),
    Binding("pagedown", "page(1)", show=False),
    Binding("home", "end(False)", show=False),
    Binding("end", "end(True)", show=False),
    Binding("up", "move(-1)", show=False),
    Binding("down", "move(1)", show=False),
    Binding("left", "point(-1)", show=False),
    Binding("right", "point(1)", show=False),
    Binding("d", "toggle_dark", "Dark and light", show=False),
    Binding("tab", "focus_next", "Into the next pane", show=False),
    Binding("shift+tab", "focus_previous", "Into the last pane", show=False),
    Binding("escape", "leave", show=False),
    Binding("enter", "open", show=False),
    Binding("q", "quit", "Quit"),
]
