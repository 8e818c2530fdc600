"""What a serving process tells, made up, and a small server of it."""

from __future__ import annotations

import copy
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

S = 1_000_000_000
TOKEN = "secret"  # of a test

PLAN: dict[str, Any] = {
    "format": 1, "twinloop": "0", "name": "hall", "seed": 7, "judged": True, "duration_ns": 60 * S, "ends_ns": 62 * S,
    "links": ["plant", "line"],
    "devices": [
        {"name": "presses/1", "fleet": "presses", "protocol": "modbus-tcp", "link": "plant", "poll_ns": S,
         "url": "tcp://127.0.0.1:5020/1", "points": [{"name": "force", "at": "holding:0", "unit": "kN"},
                                                    {"name": "label", "at": "holding:2", "unit": ""}]},
        {"name": "tanks/1", "fleet": "tanks", "protocol": "opcua", "link": "line", "poll_ns": S,
         "url": "opc.tcp://127.0.0.1:4840/", "points": [{"name": "level", "at": "ns=2;s=level", "unit": "m"}]},
    ],
    "timeline": [{"at_ns": 40 * S, "until_ns": 45 * S, "verb": "cut", "target": "plant"}],
    "reactions": [{"after": "heal plant", "delay_ns": 0, "verb": "cut", "target": "line"}],
    "phases": [],
}  # fmt: skip
STATE: dict[str, Any] = {
    "format": 1, "clock": {"now_ns": 10 * S, "late_p50_ns": 1000, "late_p99_ns": 2_000_000},
    "over": False, "verdict": None, "clients": 2, "requests": 31, "limits": {"connections": 4},
    "links": {"plant": False, "line": True}, "begun": [{"at_ns": S, "until_ns": None, "verb": "device-fault", "target": "presses/1"}],
    "due": [], "waiting": [1], "expectations": [{"text": "count(samples.lost) == 0", "verdict": "FAIL", "measured": "3"}],
    "samples": {"due": 40, "open": 2, "delivered": 30, "missed": 5, "lost": 3, "duplicates": 1, "misordered": 0,
                "messages": 9, "strange": 0, "cloud_ns": [5_000_000, None, None],
                "by_device": {"due": [20, 20], "delivered": [15, 15], "missed": [5, 0], "lost": [0, 3]}},
    "devices": [
        {"connections": 1, "requests": 31, "answers": 30, "exceptions": 4, "asked_ns": 9 * S, "faults": ["exception"], "value": 2.5},
        {"connections": None, "requests": 0, "answers": 0, "exceptions": None, "asked_ns": None, "faults": [], "value": None},
    ],
    "log": [{"number": 1, "at_ns": S, "kind": "trouble", "text": "device-fault presses/1 begin exception"}],
    "device": {"index": 0, "values": [[2.5, 0], ["press one", 0]], "faults": ["exception"],
               "frames": [[9 * S, ">", "000100000006010300000001"], [9 * S, "<", "000100000003018302"]]},
}  # fmt: skip


def state(**changes: Any) -> dict[str, Any]:
    return copy.deepcopy(STATE) | changes


class Told:
    """The server's: what is told now; ``status`` of all answers, ``asked``: paths that came."""

    def __init__(self) -> None:
        self.plan: Any = copy.deepcopy(PLAN)
        self.state: Any = state()
        self.status = 200
        self.asked: list[str] = []
        self.url = ""


@contextmanager
def telling() -> Iterator[Told]:
    told = Told()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            told.asked.append(self.path)
            right = f"token={TOKEN}&" in self.path
            body = json.dumps(told.plan if self.path.startswith("/plan") else told.state).encode()
            self.send_response(told.status if right else 403)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    told.url = f"http://127.0.0.1:{server.server_port}/?token={TOKEN}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield told
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
