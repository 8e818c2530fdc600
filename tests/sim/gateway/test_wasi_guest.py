"""A component made by somebody's C compiler, in whole worlds: what WASI is to it on a simulated gateway."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from tests.components import guests
from tests.plants import component, marked, offer, plant, upgradable
from tests.wasi_guest import DATA, ETC, guest, guest_bytes, run, told
from twinloop.components.host.host import Host
from twinloop.components.releases.registry import Version
from twinloop.sim.accounts.rows import End
from twinloop.sim.kernel.clock import MS, US, S
from twinloop.sim.kernel.wallclock import EPOCH_NS
from twinloop.sim.model.spec import Action
from twinloop.sim.model.wasi import Folder
from twinloop.sim.trouble.verbs import act

TRANSFORM = 3
"""its stage in latencies"""


# ---- clocks --------------------------------------------------------------------------------------
def test_sleep_takes_simulated_time_and_what_the_calls_around_it_cost(host: Host) -> None:
    over = []
    for time_ns in (MS, S, 2500 * MS):
        word = told(host, "sleep", time=f"{time_ns} ns").first[0]
        over.append(int(word.removesuffix(" ns")) - time_ns)
    assert max(over) - min(over) < US, "the same calls, and a division more"
    assert 0 < over[0] < 50 * US, "two looks at the clock, a poll and what it needs"


def test_a_poll_of_two_clocks_returns_when_the_first_is_due_and_says_which(host: Host) -> None:
    which, _, time_ns = told(host, "poll2", time="1 s").first[0].partition(" after ")
    assert which == "2"
    assert S < int(time_ns.removesuffix(" ns")) < S + 50 * US


@pytest.mark.parametrize(
    ("ppb", "simulated_ns"), [(250_000_000, 2 * S), (-500_000_000, 5 * S), (0, 2500 * MS)]
)
def test_sleep_goes_by_the_gateways_clock(host: Host, ppb: int, simulated_ns: int) -> None:
    """2.5 s of a clock that runs 25 % fast are 2 s."""
    found = told(host, "sleep", timeline=(act(0, "clock-skew", "gw", ppb=ppb),))
    assert 2500 * MS < int(found.first[0].removesuffix(" ns")) < 2500 * MS + 50 * US
    assert simulated_ns < found.world.latencies.of().stages[TRANSFORM].max < simulated_ns + 100 * US


def test_clocks_are_the_gateways(host: Host) -> None:
    """The wall's may be stepped, while the other one goes on; the first poll is at 0, boot is ten minutes before."""
    _, wall_ns, _, monotonic_ns = (
        told(host, "clock", timeline=(act(0, "clock-step", "gw", shift_ns=7 * S),)).all[0].split()[1:]
    )
    assert EPOCH_NS + 7 * S < int(wall_ns) < EPOCH_NS + 7 * S + 20 * MS
    assert 600 * S < int(monotonic_ns) < 600 * S + 20 * MS


# ---- random numbers ------------------------------------------------------------------------------
def test_random_numbers_are_the_runs_own(host: Host) -> None:
    def words(seed: int) -> list[str]:
        return told(host, "random", duration_ns=3 * S, seed=seed).all

    first = words(7)
    assert len(dict.fromkeys(first)) == 3
    assert words(7) == first
    assert not {*words(8)} & {*first}


def test_two_places_draw_other_numbers_and_a_restart_draws_new_ones(host: Host) -> None:
    spec = plant(
        host,
        count=2,
        duration_ns=4 * S,
        transform=guest(host, "random"),
        timeline=(act(2 * S, "fault-component", "gw/transform"),),
    )
    other = replace(spec.gateways[0], name="gw2")
    devices = (spec.devices[0], replace(spec.devices[1], gateway="gw2"))
    found = run(host, replace(spec, gateways=(spec.gateways[0], other), devices=devices))
    assert {name for name, _, _ in found.texts} == {"presses/1", "presses/2"}
    assert len(found.all) > 5
    assert len({*found.all}) == len(found.all)


# ---- standard streams, environment ---------------------------------------------------------------
def test_environment_and_arguments(host: Host) -> None:
    found = told(host, "env args", environment=(("A", "b"), ("B", "")), arguments=("-v", "ä"))
    assert found.first == ["A=b,B=", "c-wasi,-v,ä"]
    assert told(host, "env stdin").first == ["", ""]


def test_output_is_lines_and_the_last_one_comes_when_the_instance_goes(host: Host) -> None:
    found = told(host, "stdout stderr exit", text="one two")
    assert found.lines("stdout") == found.lines("stderr") == ["one two"]
    assert found.faults == ["exit"]
    whole = told(host, "stdout", duration_ns=2 * S)
    assert whole.lines("stdout") == ["hello", "hello"]


def test_output_is_rate_limited_and_what_is_too_much_is_counted(host: Host) -> None:
    found = told(host, "flood-stderr", duration_ns=2 * S)
    lines = found.lines("stderr")
    assert found.all == ["flood-stderr 10000 lines"] * 2
    assert len(lines) == 2 * 20
    assert sum(count for name, count in found.limits if name == "log-rate") == 2 * (10_000 - 20)
    assert lines[0].startswith("0 .")
    assert {len(line) for line in lines} == {99}


# ---- files ---------------------------------------------------------------------------------------
def test_a_c_program_keeps_files(host: Host) -> None:
    do = "open create create write append read stat truncate stat rename open mkdir touch unlink"
    found = told(host, do, offset=3, duration_ns=S).first
    assert found[:6] == ["errno 44", "ok", "errno 20", "6 bytes", "6 bytes", "hello\nhello\n"]
    assert found[6].startswith("file 12 bytes mtime 1767225600.")
    assert found[8].startswith("file 3 bytes")
    assert found[7:8] + found[9:] == ["ok", "ok", "errno 44", "ok", "ok", "errno 31"]


@pytest.mark.parametrize(
    ("path", "told_of_read"),
    [("/etc/motd", "be kind\n"), ("/data/../etc/motd", "errno 63"), ("/etc/../../etc/motd", "errno 63"), ("/root/x", "errno 44"), ("/etc/ssl", "errno 44")],
)  # fmt: skip
def test_a_path_leads_nowhere_but_to_granted_folders(host: Host, path: str, told_of_read: str) -> None:
    assert told(host, "preopens read", path=path, folders=(DATA, ETC)).first == ["/data,/etc", told_of_read]


def test_a_read_only_folder_can_be_read(host: Host) -> None:
    found = told(
        host, "read write append unlink rename touch", path="/etc/motd", to="/data/x", folders=(DATA, ETC)
    )
    assert found.first == ["be kind\n", *["errno 69"] * 5]
    assert found.slot.imports.wasi is not None
    assert found.slot.imports.wasi.files.content() == {"/etc/motd": b"be kind\n"}


def test_a_full_folder_is_a_limit(host: Host) -> None:
    small = Folder("/data", read_only=False, quota_bytes=10_000)
    found = told(host, "write fill stat", folders=(small,))
    assert found.first[0] == "6 bytes"
    assert found.first[1].startswith("errno 19")
    assert ("file-quota", 1) in found.limits


def test_open_files_are_bounded_and_given_back_whatever_becomes_of_the_instance(host: Host) -> None:
    found = told(host, "many-open close-many many-open exit", duration_ns=6 * S, last=2)
    assert len(found.ends) >= 2
    assert ("open-files", 2) in found.limits
    idle = told(host, "clock", duration_ns=6 * S)
    files = [one.world.gateways[0].machine.budget.files.open for one in (found, idle)]
    assert files[0] == files[1]
    again = told(host, "many-open close-many", duration_ns=2 * S).all
    assert again == ["many-open errno 48 after 10 open; close-many 10 closed"] * 2


# ---- what survives -------------------------------------------------------------------------------
DOWN = 8 * S


@pytest.mark.parametrize(
    ("do", "verb", "target", "least"),
    [
        ("append-sync read", "power-cut", "gw", 6), ("append read", "crash", "gw", 6), ("append read", "shutdown", "gw", 6),
        ("append read", "fault-component", "gw/transform", 6),
    ],
)  # fmt: skip
def test_what_survives(host: Host, do: str, verb: str, target: str, least: int) -> None:
    """Six polls are before it; the first one after it finds all that they have written."""
    until = None if verb == "fault-component" else DOWN
    found = told(host, do, duration_ns=12 * S, timeline=(act(5500 * MS, verb, target, until),))
    reads = [text.rpartition("read ")[2] for text in found.all]
    assert reads == ["hello\n" * number for number in range(1, len(reads) + 1)]
    assert len(reads) > least


def test_a_power_cut_tears_what_wasnt_synced(host: Host) -> None:
    """Of six lines some part is there, or the file isn't; what comes after goes on from there."""
    after = []
    for seed in range(8):
        found = told(
            host,
            "append read",
            duration_ns=12 * S,
            seed=seed,
            timeline=(act(5500 * MS, "power-cut", "gw", DOWN),),
        )
        reads = [text.rpartition("read ")[2] for text in found.all]
        assert ("hello\n" * 6).startswith(reads[6].removesuffix("hello\n"))
        after.append(len(reads[6]))
    assert min(after) < 6 * 7
    assert len({*after}) > 2


def test_an_upgrade_goes_on_with_the_files_of_the_version_before(host: Host) -> None:
    """Each call finds one line more than the one before, whichever version made that."""
    release = offer("c-wasi", "1.1.0", marked(guest_bytes(), "1.1.0"))
    ordered = act(2500 * MS, "upgrade", "gw/c-wasi", version="1.1.0")
    spec = plant(host, count=1, duration_ns=14 * S, timeline=(ordered,), transform=guest(host, "append read"))
    found = run(host, upgradable(spec, release))
    assert found.slot.spec.version == Version(1, 1, 0)
    assert [text.count("hello") for text in found.all] == list(range(1, 15))


def test_a_sync_waits_for_the_flash(host: Host) -> None:
    """The store commits every 100 ms: two syncs end with two commits."""
    found = told(host, "append-sync append-sync", duration_ns=2 * S)
    spent = found.world.latencies.of().stages[TRANSFORM].max
    assert 100 * MS < spent < 210 * MS
    assert told(host, "append append").world.latencies.of().stages[TRANSFORM].max < MS


# ---- ends ----------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("do", "cause", "words"),
    [
        ("exit", "exit", "it ended itself: exit"), ("abort", "unreachable", "unreachable"), ("recurse", "stack", "stack"),
        ("grow-forever", "memory-limit", "memory growth was refused"),
    ],
)  # fmt: skip
def test_each_end_has_its_cause(host: Host, do: str, cause: str, words: str) -> None:
    end = told(host, do).ends[0]
    assert end.cause.value == cause
    assert words in end.message


def test_what_isnt_granted_is_denied_by_a_fault_that_names_it_where_no_error_can(host: Host) -> None:
    found = told(host, "preopens sleep", packages=(), folders=())
    assert found.faults == ["denied"]
    assert found.limits == [("denied", 1)]
    assert found.ends[0].message == (
        "wasi:clocks/monotonic-clock#now is not granted; add wasi:clocks to the grants of c-wasi"
    )
    assert told(host, "preopens open write", packages=(), folders=()).first == [
        "none",
        "errno 44",
        "errno 44",
    ]


# ---- start code ----------------------------------------------------------------------------------
WAIT = """
  (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type $p (sub resource)))
    (type $b (borrow $p)) (export "[method]pollable.block" (func (param "self" $b)))))
  (alias export $poll "pollable" (type $pollable))
  (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clocks
    (alias outer 1 $pollable (type $q)) (export "pollable" (type $p (eq $q))) (type $o (own $p))
    (export "subscribe-duration" (func (param "when" u64) (result $o)))))
  (core func $make (canon lower (func $clocks "subscribe-duration")))
  (core func $block (canon lower (func $poll "[method]pollable.block")))
"""
WAIT_ARGUMENTS = '(import "env" "make" (func $make (param i64) (result i32))) (import "env" "block" (func $block (param i32)))'


def starting(body: str) -> bytes:
    """A driver whose start code does that."""
    code = f"{WAIT_ARGUMENTS} (func $begin {body}) (start $begin)"
    exports = '(export "make" (func $make)) (export "block" (func $block))'
    text = guests.driver_text("EMPTY", WAIT, code)
    return text.replace(b'(with "env" (instance))', f'(with "env" (instance {exports}))'.encode())


@pytest.mark.parametrize(
    ("body", "cause", "words"),
    [
        ("(call $block (call $make (i64.const 2000000000)))", "deadline", "20 ms"),
        ("(loop $for-ever (br $for-ever))", "out-of-fuel", "in its start code: more than 20 ms of CPU time (limit start)"),
        # 15 of its 20 ms it sleeps: what it may compute after that ends with them, and isn't 20 ms more
        ("(call $block (call $make (i64.const 15000000))) (loop $for-ever (br $for-ever))", "deadline", "computed until its deadline of 20 ms"),
        ("unreachable", "unreachable", "unreachable"),
    ],
)  # fmt: skip
def test_start_code_is_guest_code(host: Host, body: str, cause: str, words: str) -> None:
    given = guest(host, "").wasi
    starts = component(
        host, "starts", "driver", ("wasi:clocks",), starting(body), wasi=given, start_ns=20 * MS
    )
    found = run(host, plant(host, count=1, duration_ns=2 * S, drivers={1: starts}))
    assert {*found.faults} == {cause}
    assert words in found.ends[0].message
    assert found.world.ledger.count(End.DELIVERED) == 0


def test_start_code_may_sleep(host: Host) -> None:
    """Half a second of its second: the first poll finds it ready, because the gateway has booted before."""
    sleeps = starting("(call $block (call $make (i64.const 500000000)))")
    starts = component(host, "starts", "driver", ("wasi:clocks",), sleeps, wasi=guest(host, "").wasi)
    found = run(host, plant(host, count=1, duration_ns=2 * S, drivers={1: starts}))
    assert found.faults == []
    meter = found.world.gateways[0].pollers[0].slot.meter
    assert meter.cpu_ns < MS, "waiting is no work"


# ---- the same again ------------------------------------------------------------------------------
EVERYTHING = (
    "clock random stdout stderr append-sync append read stat readdir sleep poll2 mkdir rename env args spin"
)
AGAIN = """
from tests.wasi_guest import told
from tests.sim.gateway.test_wasi_guest import EVERYTHING, cut
from twinloop.components.host.host import Host
host = Host(threads=False)
print(told(host, EVERYTHING, timeline=cut(), time="100 ms", duration_ns=8 * 10**9).world.trace.digest())
"""


def cut() -> tuple[Action, ...]:
    return (act(3500 * MS, "power-cut", "gw", 5 * S), act(6 * S, "fault-component", "gw/transform"))


def test_two_runs_are_one_in_fuel_and_digest_whatever_the_hash_seed(host: Host) -> None:
    def once(seed: int = 7) -> tuple[str, int, list[str]]:
        found = told(host, EVERYTHING, timeline=cut(), time="100 ms", duration_ns=8 * S, seed=seed)
        return found.world.trace.digest(), found.slot.meter.fuel, found.all

    first = once()
    assert once() == first
    assert once(8)[0] != first[0]
    root = Path(__file__).parents[3]
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": str(root)}
        done = subprocess.run(
            [sys.executable, "-c", AGAIN], capture_output=True, text=True, check=True, env=environment
        )
        assert done.stdout.strip() == first[0]
