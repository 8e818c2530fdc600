"""Facts of this machine that a board file has: cores, memory, clock, instruction set, user addresses, flash.

Belongs here: what is looked up or tried. Never: what is measured of guests or hosts.
"""

from __future__ import annotations

import mmap
import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from twinloop.scenarios.text.errors import MachineError

ISAS = {"aarch64": "aarch64", "arm64": "aarch64", "x86_64": "x86-64", "AMD64": "x86-64"}
"""what Python calls a machine -> a board file's word"""
MAP_NORESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)
PROT_NONE = 0
BLOCK_BYTES, SYNCS = 1 << 20, 20
_SYNC_BYTES = 512


@dataclass(frozen=True, slots=True)
class Facts:
    """``clock_mhz``: the highest that the kernel tells, else what it says now."""

    isa: str
    cores: int
    memory_bytes: int
    clock_mhz: int
    address_bits: int


def facts(clock_mhz: int = 0) -> Facts:
    """``clock_mhz``: what it is known to be; 0: the kernel is asked. Raises MachineError on a machine that no
    board file knows."""
    isa = ISAS.get(platform.machine())
    if isa is None:
        raise MachineError(
            f"a machine of the kind {platform.machine()} can't be calibrated: wasmtime for Python is for "
            f"64-bit ARM and x86"
        )
    clock_mhz = clock_mhz or _clock_mhz()
    if not clock_mhz:
        raise MachineError('its kernel doesn\'t tell its clock: say it, for example --clock "1.1 GHz"')
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return Facts(isa, len(os.sched_getaffinity(0)), memory, clock_mhz, address_bits())


def _clock_mhz() -> int:
    highest = Path("/sys/devices/system/cpu/cpu0/cpufreq/cpuinfo_max_freq")
    if highest.is_file():
        return int(highest.read_text()) // 1000
    told = Path("/proc/cpuinfo")
    lines = told.read_text().splitlines() if told.is_file() else []
    return next((round(float(line.split(":")[1])) for line in lines if line.startswith("cpu MHz")), 0)


def address_bits() -> int:
    """Bits of user addresses: one more than those of the largest power of two that can be reserved at once,
    without memory."""
    for bits in range(56, 29, -1):
        try:
            mmap.mmap(-1, 1 << bits, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE, PROT_NONE).close()
        except (OSError, ValueError, OverflowError):
            continue
        return bits + 1
    return 30


@dataclass(frozen=True, slots=True)
class Flash:
    """``bytes_per_s``: written steadily, each block synced; of a small write and its sync, the medians:
    ``sync_ns`` until it is over, ``sync_cpu_ns`` of CPU time."""

    bytes_per_s: int
    sync_ns: int
    sync_cpu_ns: int


def flash(folder: Path, size_bytes: int, say: Callable[[str], None]) -> Flash:
    """Write ``size_bytes`` in a file of ``folder``, which goes again; raises MachineError."""
    file = folder / f".twinloop-calibrate-{os.getpid()}"
    say(f"flash: {size_bytes >> 20} MiB to {folder}")
    block = os.urandom(BLOCK_BYTES)
    try:
        with file.open("wb", buffering=0) as out:
            began = time.monotonic_ns()
            for _ in range(max(1, size_bytes // BLOCK_BYTES)):
                out.write(block)
                os.fsync(out.fileno())
            took = max(1, time.monotonic_ns() - began)
            syncs, cpu = [], []
            for _ in range(SYNCS):
                began, worked = time.monotonic_ns(), time.thread_time_ns()
                out.write(block[:_SYNC_BYTES])
                os.fsync(out.fileno())
                syncs.append(time.monotonic_ns() - began)
                cpu.append(time.thread_time_ns() - worked)
    except OSError as error:
        raise MachineError(f"{folder}: its flash can't be measured: {error.strerror or error}") from error
    finally:
        file.unlink(missing_ok=True)
    rate = max(1, size_bytes // BLOCK_BYTES) * BLOCK_BYTES * 10**9 // took
    return Flash(rate, sorted(syncs)[SYNCS // 2], max(1, sorted(cpu)[SYNCS // 2]))
