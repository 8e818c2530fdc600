"""One session's process, which textual-serve starts: the terminal's screen, drawn for a browser.

Belongs here: its start and its end. Never: what the screen shows, the server.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path

LOOK_S = 1.0
"""between two looks at whether the server is still there"""


def _end_with(server: int) -> None:
    """A server that was killed told nobody: whoever is then our parent isn't it."""
    while os.getppid() == server:
        time.sleep(LOOK_S)
    os.kill(os.getpid(), signal.SIGTERM)  # Textual leaves its screen then, and the engine ends with it


def main() -> None:
    """Arguments: the scenario's file, and a seed if there is one. The report of a session that was left by
    its key goes to stderr, which is the server's terminal: the browser shows screens only."""
    threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
    from twinloop.tui.terminal.app import Twinloop

    app = Twinloop(Path(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else None)
    code = app.run() or 0
    if app.report:
        print(app.report, file=sys.stderr)
    raise SystemExit(code)
