"""``make test-foreign``: npm's modbus-serial and node-opcua, installed by that target, against ``twinloop
serve``. Exit code 1 when one is not content."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.scenarios.wire.test_serve import SCENARIO

HERE = Path(__file__).resolve().parent


def main() -> int:
    """Serve, let both clients speak, say how it went."""
    with tempfile.TemporaryDirectory() as folder:
        scenario, found = Path(folder) / "s.yaml", Path(folder) / "map.json"
        scenario.write_text(SCENARIO, encoding="utf-8")
        command = [
            sys.executable,
            "-m",
            "twinloop",
            "serve",
            str(scenario),
            "--port",
            "0",
            "--opcua-port",
            "0",
            "--map",
            str(found),
        ]
        server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        try:
            assert server.stdout is not None
            for _ in range(7):
                server.stdout.readline()
            while not found.exists() or not found.read_text(encoding="utf-8").endswith("}\n"):
                assert server.poll() is None, "serve has ended"
            at = {
                device: entry["url"]
                for device, entry in json.loads(found.read_text(encoding="utf-8")).items()
            }
            clients = {"modbus.mjs": [at["presses/3"], at["meters/2"]], "opcua.mjs": [at["tanks/1"]]}
            codes = [
                subprocess.run(["node", str(HERE / name), *urls], timeout=60, check=False).returncode
                for name, urls in clients.items()
            ]
        finally:
            server.send_signal(signal.SIGTERM)
            server.communicate(timeout=30)
    return int(any([*codes, server.returncode]))


if __name__ == "__main__":
    raise SystemExit(main())
