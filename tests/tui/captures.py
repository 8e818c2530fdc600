"""What a terminal shows: captured in tmux, committed as text, drawn again without a terminal by
test_captures.py.

``python -m tests.tui.captures`` makes them anew (needs tmux). Belongs here: the way through the screens, on
both arms.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.tui.scene import SCENARIO
from twinloop.tui.terminal.keys import PANES

FOLDER = Path(__file__).parent / "captures"
SIZES = ((80, 24), (120, 40), (200, 60))
WAIT_S = 60.0
SETTLED_S = 1.0
"""several redraws"""

WAY: tuple[tuple[str, str], ...] = (
    ("wait", "paused"),
    ("key", "g"),
    ("key", "ctrl+u"),
    ("type", "7 s"),
    ("key", "enter"),
    ("wait", "0:00:07.000"),
    ("show", "outage"),
    ("key", "i"),
    ("show", "form"),
    ("key", "escape"),
    ("key", "n"),
    ("show", "kinds"),
    ("key", "escape"),
    ("key", "f"),
    ("wait", "PASS"),
    *(
        step
        for i, name in enumerate(PANES, 1)
        for step in (("key", str(i) if name != "help" else "question_mark"), ("show", name))
    ),
)
"""key, type: press; wait: until the head says so; show: what is on the screen, under that name"""


def path(name: str, size: tuple[int, int]) -> Path:
    return FOLDER / f"{name}-{size[0]}x{size[1]}.txt"


_KEYS = {"ctrl+u": "C-u", "enter": "Enter", "escape": "Escape", "question_mark": "?"}


def _tmux(*arguments: str) -> str:
    return subprocess.run(
        ["tmux", "-L", "twinloop-captures", *arguments], check=True, capture_output=True, text=True
    ).stdout


def in_tmux(size: tuple[int, int]) -> Iterator[tuple[str, str]]:
    """(name, text) of each picture on the way."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "seen.yaml"
        file.write_text(SCENARIO, encoding="utf-8")
        command = f"exec {sys.executable} -m scenarios.cli.main tui {file}"
        _tmux(
            "new-session",
            "-d",
            "-x",
            str(size[0]),
            "-y",
            str(size[1]),
            "-c",
            str(Path(__file__).parents[2]),
            command,
        )
        try:
            for what, text in WAY:
                if what == "show":
                    time.sleep(SETTLED_S)
                    shown = _tmux("capture-pane", "-p")
                    yield text, "\n".join(line.rstrip() for line in shown.splitlines()) + "\n"
                elif what == "wait":
                    ends = time.monotonic() + WAIT_S
                    while text not in _tmux("capture-pane", "-p").partition("\n")[0]:
                        if time.monotonic() > ends:
                            raise TimeoutError(text)
                        time.sleep(0.1)
                else:
                    _tmux("send-keys", *(["-l", text] if what == "type" else [_KEYS.get(text, text)]))
                    time.sleep(0.2)
        finally:
            _tmux("kill-server")
            time.sleep(0.5)


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for size in SIZES:
        for name, text in in_tmux(size):
            path(name, size).write_text(text, encoding="utf-8")
            print(path(name, size).name)


if __name__ == "__main__":
    main()
