"""How long this machine's loopback takes: there and back, median of many.

Belongs here: that measurement. Never: what is made of it.
"""

from __future__ import annotations

import socket
import time
from statistics import median

ROUNDS = 300
TIMEOUT_S = 2.0
_REQUEST = b"\0\1\0\0\0\6\xff\3\0\0\0\1"
"""to unit 255, which is none: a served port refuses it at once, without its device"""
_ANSWER_BYTES = 9


def round_trip_ns(host: str, port: int) -> int:
    """To a Modbus TCP port that ``serve`` has open; raises OSError."""
    with socket.create_connection((host, port), TIMEOUT_S) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return _median(client)


def plain_round_trip_ns() -> int:
    """Between two sockets of this process: less than between two processes."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname(), TIMEOUT_S) as near,
    ):
        far, _ = listener.accept()
        with far:
            took = []
            for _ in range(ROUNDS):
                began = time.perf_counter_ns()
                near.sendall(_REQUEST)
                far.recv(64)
                far.sendall(_REQUEST)
                near.recv(64)
                took.append(time.perf_counter_ns() - began)
            return int(median(took))


def _median(client: socket.socket) -> int:
    took = []
    for _ in range(ROUNDS):
        began = time.perf_counter_ns()
        client.sendall(_REQUEST)
        got = b""
        while len(got) < _ANSWER_BYTES:
            some = client.recv(64)
            if not some:
                raise ConnectionResetError("it hung up")
            got += some
        took.append(time.perf_counter_ns() - began)
    return int(median(took))
