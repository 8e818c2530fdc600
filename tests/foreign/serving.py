"""``twinloop serve`` in a process of its own, for clients that nobody here wrote.

Belongs here: beginning and end of that process. Never: clients.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def serving(scenario: Path) -> Iterator[dict[str, str]]:
    """Device -> URL, while it is served; the process must end well."""
    found = scenario.with_suffix(".json")
    found.unlink(missing_ok=True)
    ports = ["--port", "0", "--opcua-port", "0", "--map", str(found)]
    command = [sys.executable, "-m", "twinloop", "serve", str(scenario), *ports]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not found.exists() or not found.read_text(encoding="utf-8").endswith("}\n"):
            assert server.poll() is None, "serve has ended"
            time.sleep(0.05)
        yield {name: entry["url"] for name, entry in json.loads(found.read_text(encoding="utf-8")).items()}
    finally:
        server.send_signal(signal.SIGTERM)
        server.communicate(timeout=30)
    assert server.returncode == 0, f"serve ended with {server.returncode}"
