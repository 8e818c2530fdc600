"""``run --clock wire``: the same scenario over real sockets of this machine and in simulated time, and how
far they are apart.

Belongs here: the field in a process of its own, the loopback's delay, the comparison. Never: sockets
(devices/live/), places (places.py).
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from twinloop.scenarios.text.errors import ScenarioError
from twinloop.scenarios.wire.places import places, shown_at
from twinloop.sim.model.spec import LinkSpec, WorldSpec

PATIENCE = (1, 4, 16)
"""times the usual start: a busy machine gets another try"""
START_NS, START_OF_EACH_NS = 5_000_000_000, 40_000_000
"""for the field's process to come up, and ours to be ready: the one, and the other for each device"""
LOOK_S = 0.02
RANKS = ("p50_ns", "p99_ns")


@dataclass(frozen=True)
class OtherProcess:
    """A field that another process serves. ``begins_ns``: of the monotonic clock at t = 0; ``loopback_ns``:
    there and back."""

    places: dict[str, str]
    shown: dict[str, str]
    """device -> where that process tells what it shows"""
    begins_ns: int
    loopback_ns: int
    ended: Callable[[], str]
    """why its process is there no more; empty: it is"""


@contextmanager
def served_elsewhere(file: Path, spec: WorldSpec, settings: tuple[str, ...] = ()) -> Iterator[OtherProcess]:
    """Serve the devices of a scenario, with what was set in it, from a process of its own, for as long as
    this lasts; raises ScenarioError."""
    wanted = [device for device in spec.devices if device.speaks.scheme]
    if not wanted:
        raise ScenarioError(
            "--clock", None, "", "no device of it is reached over a wire: wire is for Modbus and OPC UA"
        )
    for patience in PATIENCE:
        with _process(
            file,
            spec,
            settings,
            time.monotonic_ns() + patience * (START_NS + START_OF_EACH_NS * len(spec.devices)),
        ) as found:
            if found is not None:
                yield found
                return
    raise ScenarioError(
        "--clock", None, "", "the field's process: it didn't come up in time, on a machine that is very busy"
    )


@contextmanager
def _process(
    file: Path, spec: WorldSpec, settings: tuple[str, ...], begins_ns: int
) -> Iterator[OtherProcess | None]:
    """It serves from that instant on; None: it didn't come up by then. Raises ScenarioError when it ended
    instead."""
    with tempfile.TemporaryDirectory(prefix="twinloop-") as folder:
        found, said = Path(folder) / "map.json", Path(folder) / "said"
        command = [
            sys.executable,
            "-m",
            "twinloop",
            "serve",
            str(file),
            "--port",
            "0",
            "--opcua-port",
            "0",
            "--map",
            str(found),
        ]
        command += ["--seed", str(spec.seed), "--begin", str(begins_ns)]
        command += [part for setting in settings for part in ("--set", setting)]
        # its stdin is a pipe that nobody writes to: when this process is gone, however it ended, so is that
        # one
        pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}

        def last() -> str:
            return "".join(said.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:])

        def ended() -> str:
            if process.poll() is None:
                return ""
            return (
                f"the field's process ended with code {process.returncode}{': ' + last() if last() else ''}: "
                f"its samples are no gateway's fault"
            )

        with said.open("wb") as errors, subprocess.Popen(command, stderr=errors, **pipes) as process:
            try:
                while not _whole(found):
                    if process.poll() is not None:
                        raise ScenarioError(
                            "--clock",
                            None,
                            "",
                            f"the field's process: {last() or f'it ended with code {process.returncode}'}",
                        )
                    if time.monotonic_ns() > begins_ns:
                        yield None
                        return
                    time.sleep(LOOK_S)
                where = places([], found)
                yield OtherProcess(where, shown_at([], found), begins_ns, _loopback(where), ended)
            finally:
                process.terminate()
                process.wait()


def _whole(found: Path) -> bool:
    return found.exists() and found.read_text(encoding="utf-8").endswith("}\n")


def _loopback(where: dict[str, str]) -> int:
    from twinloop.devices.live.loopback import plain_round_trip_ns, round_trip_ns

    for url in where.values():
        parts = urlsplit(url)
        if parts.scheme == "tcp":
            return round_trip_ns(parts.hostname or "", parts.port or 0)
    return plain_round_trip_ns()


def over_loopback(spec: WorldSpec, loopback_ns: int) -> WorldSpec:
    """The scenario with the loopback's delay on each network link that devices are on."""
    mine = {device.link for device in spec.devices if device.speaks.scheme}

    def slower(link: LinkSpec) -> LinkSpec:
        if link.name not in mine or link.serial_bd is not None:
            return link
        return replace(link, model=replace(link.model, delay_ns=link.model.delay_ns + loopback_ns // 2))

    return replace(spec, links=tuple(slower(link) for link in spec.links))


def compared(wire: dict[str, Any], virtual: dict[str, Any], loopback_ns: int) -> dict[str, Any]:
    """Latencies of the two results, and their differences, in ns; None where one has none."""
    rows = {
        "gateway": ("gateway", None),
        **{name: ("stages", name) for name in wire["latency"]["stages"]},
        "cloud": ("cloud", None),
    }
    out: dict[str, Any] = {}
    for name, (key, stage) in rows.items():
        on_wire, simulated = (
            data["latency"][key] if stage is None else data["latency"][key][stage] for data in (wire, virtual)
        )
        out[name] = {
            rank: {
                "wire": on_wire[rank],
                "virtual": simulated[rank],
                "difference": _difference(on_wire[rank], simulated[rank]),
            }
            for rank in RANKS
        }
    delivered = {
        "wire": wire["ledger"]["delivered"],
        "virtual": virtual["ledger"]["delivered"],
        "due": wire["ledger"]["due"],
    }
    return {"loopback_ns": loopback_ns, "delivered": delivered, "stages": out}


def _difference(wire: int | None, virtual: int | None) -> int | None:
    return None if wire is None or virtual is None else wire - virtual
