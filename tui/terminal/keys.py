"""Which key does what, and the help that says so.

Belongs here: the table. Never: what an action does (app.py).
"""

from __future__ import annotations

from textual.binding import Binding

PANES = ("overview", "fleet", "device", "gateway", "latency", "trouble", "help")
HELP = """\
1 Overview   2 Fleet   3 Device   4 Gateway   5 Latency   6 Trouble

space  play and pause          .  step one event       s  step 1 s
+ -    faster, slower          f  flat out             n  run to the next ...
b      back 10 s               0  to the beginning     g  go to an instant

i      do something, by a form :  the same, typed      w  save as a scenario
r      read the file again     /  filter devices       o  sort them
d      dark and light          ctrl+p  commands        q  quit with a report

arrows and enter, or the mouse: choose a device, a point

What you do becomes an entry of the timeline; saved with w, the scenario runs
the same without you. Going back wakes the last mark (| on Trouble's line) and
plays the rest again; what you did after that instant is undone.
"""

BINDINGS = [
    *(
        Binding(str(i), f"show('{name}')", name.capitalize(), show=False)
        for i, name in enumerate(PANES[:6], 1)
    ),
    Binding("question_mark", "show('help')", "Help"),
    Binding("space", "play", "Play"),
    Binding("full_stop", "step_event", "Step one event", show=False),
    Binding("s", "step", "Step 1 s", show=False),
    Binding("plus,equals_sign", "faster(1)", "Faster", show=False),
    Binding("minus", "faster(-1)", "Slower", show=False),
    Binding("f", "flat_out", "Flat out", show=False),
    Binding("n", "run_until", "Run to the next ...", show=False),
    Binding("b", "rewind(10)", "Back 10 s", show=False),
    Binding("0", "beginning", "To the beginning", show=False),
    Binding("g", "go_to", "Go to an instant", show=False),
    Binding("i", "do", "Do"),
    Binding("colon", "type", "Type an entry", show=False),
    Binding("w", "save", "Save"),
    Binding("r", "reload", "Read the scenario again", show=False),
    Binding("slash", "filter", "Filter devices", show=False),
    Binding("o", "sort", "Sort devices", show=False),
    Binding("up", "move(-1)", show=False),
    Binding("down", "move(1)", show=False),
    Binding("left", "point(-1)", show=False),
    Binding("right", "point(1)", show=False),
    Binding("d", "toggle_dark", "Dark and light", show=False),
    Binding("escape", "leave", show=False),
    Binding("enter", "open", show=False),
    Binding("q", "quit", "Quit"),
]
