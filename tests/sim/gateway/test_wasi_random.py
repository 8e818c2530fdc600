"""Whatever a guest does to WASI, and whatever happens to its gateway meanwhile: the run goes on, and its bounds hold."""

from __future__ import annotations

from collections import Counter
from typing import Any

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.plants import plant
from tests.wasi_guest import ETC, SLOT, guest, run
from twinloop.components.host.host import Host
from twinloop.sim.kernel.clock import S
from twinloop.sim.model.spec import Action
from twinloop.sim.model.wasi import ENTRY_BYTES, Folder
from twinloop.sim.trouble.verbs import act

DEEDS = [
    "sleep",
    "poll2",
    "poll-wall",
    "clock",
    "random",
    "env",
    "args",
    "stdout",
    "stderr",
    "stdin",
    "flood-stderr",
    "isatty",
    "preopens",
    "open",
    "create",
    "write",
    "append",
    "append-sync",
    "write-at",
    "fill",
    "read",
    "read-at",
    "fsync",
    "fdatasync",
    "sync-dir",
    "truncate",
    "rename",
    "link",
    "symlink",
    "readlink",
    "stat",
    "readdir",
    "unlink",
    "mkdir",
    "rmdir",
    "touch",
    "many-open",
    "close-many",
    "hold",
    "hold-sync",
    "hold-read",
    "spin",
    "grow",
    "exit",
    "abort",
    "recurse",
    "grow-forever",
]
PATHS = [
    "/data/file",
    "/data/d",
    "/data/d/x",
    "/data",
    "/etc/motd",
    "/etc",
    "/data/",
    "/data/../x",
    "/x",
    "file",
    "/data/other",
]
CAUSES = {"exit", "unreachable", "stack", "memory-limit", "deadline", "denied", "dead", "out-of-bounds"}
"""that what is done here may have; not ours (host), nor stuck"""


def trouble(kind: str, at_ns: int) -> Action:
    """At that time, for a second."""
    if kind == "fault-component":
        return act(at_ns, kind, "gw/transform")
    if kind == "restart":
        return act(at_ns, kind, "gw")
    fields = {"clock-step": {"shift_ns": -3 * S}, "clock-skew": {"ppb": 90_000_000}}.get(kind, {})
    return act(at_ns, kind, "gw", at_ns + S, **fields)


TROUBLES = st.builds(
    trouble,
    st.sampled_from(
        ["power-cut", "crash", "shutdown", "fault-component", "restart", "clock-step", "clock-skew"]
    ),
    st.integers(0, 4 * S),
)


@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.generate])
@given(
    do=st.lists(st.sampled_from(DEEDS), min_size=1, max_size=8),
    timeline=st.lists(TROUBLES, max_size=2),
    quota_bytes=st.sampled_from([0, 64, 200, 1000, 100_000]),
    packages=st.sampled_from(
        [("wasi:clocks", "wasi:filesystem"), ("wasi:filesystem",), ("wasi:clocks",), ()]
    ),
    path=st.sampled_from(PATHS),
    to=st.sampled_from(PATHS),
    time=st.sampled_from(["0 ms", "1 ms", "700 ms", "3 s"]),
    when=st.sampled_from(["call", "call", "configure"]),
    text=st.sampled_from(["hello\n", "é", "x" * 5000]),
    offset=st.sampled_from([0, 3, 1000, 1 << 40]),
    number=st.sampled_from([0, 1, 12, 300]),
    seed=st.integers(0, 1 << 32),
)
def test_a_run_goes_on(host: Host, do: list[str], timeline: list[Action], quota_bytes: int, packages: tuple[str, ...], number: int, seed: int, **options: Any) -> None:  # fmt: skip
    folders = (
        (Folder("/data", read_only=False, quota_bytes=quota_bytes), ETC)
        if "wasi:filesystem" in packages
        else ()
    )
    transform = guest(host, " ".join(do), packages=packages, folders=folders, count=number, **options)
    plan = tuple(sorted(timeline, key=lambda one: one.at_ns))
    found = run(host, plant(host, count=2, duration_ns=5 * S, timeline=plan, seed=seed, transform=transform))
    assert {*found.faults} <= CAUSES
    assert found.world.ledger.open == 0
    assert host.live == 0
    wasi = found.slot.imports.wasi
    assert wasi is not None
    for tree in wasi.files.trees:
        entries = list(tree.root.below())[1:]
        used = sum(ENTRY_BYTES + node.size_bytes for node in entries)
        assert tree.used_bytes == used
        if not any(one.deed.name == "power-cut" for one in plan):  # it may bring back what had made room
            assert used <= tree.folder.quota_bytes
        assert not any(node.opened for node in entries)
    kept = {path: data for path, data in wasi.files.content().items() if not path.startswith("/data/")}
    assert kept == ({"/etc/motd": b"be kind\n"} if folders else {})
    for level in ("stdout", "stderr"):
        assert all(len(line.encode()) <= 4096 for line in found.lines(level))
    seconds = Counter(record[3] // S for record in found.records if record[1] == "log" and record[2] == SLOT)
    assert all(lines <= 20 for lines in seconds.values())
