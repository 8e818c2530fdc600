"""A trace of ``--perfetto`` in Perfetto's own trace processor: it reads the file without a complaint, and its SQL
finds the busy time of the books.

The package ``perfetto`` would fetch that program from the network at first use; here it is used only where it
is on PATH as ``trace_processor`` or ``trace_processor_shell``.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.scenarios.export.traces import shipped
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.runner import Options, run
from twinloop.sim.world import World

processor = pytest.importorskip("perfetto.trace_processor", reason="needs twinloop[perfetto]")
BINARY = shutil.which("trace_processor") or shutil.which("trace_processor_shell")


@pytest.mark.skipif(BINARY is None, reason="needs Perfetto's trace_processor on PATH")
@pytest.mark.parametrize("name", ["quickstart", "failover-hot", "hundred-sensors-slow"])
def test_queries_find_what_the_books_say(host: Host, tmp_path: Path, name: str) -> None:
    from twinloop.scenarios.export.perfetto import PerfettoTrace

    worlds: list[World] = []
    options = Options(watches=(PerfettoTrace(tmp_path / "t"),), started=worlds.append)
    run(load_text(shipped(name), Path("x.yaml")), options, host)
    config = processor.TraceProcessorConfig(bin_path=BINARY)
    with processor.TraceProcessor(trace=str(tmp_path / "t"), config=config) as traced:
        wrong = traced.query(
            "select name, value from stats where severity in ('error', 'data_loss') and value > 0"
        )
        assert [(row.name, row.value) for row in wrong] == []
        (open_,) = traced.query("select count(*) as slices from slice where dur < 0")
        assert open_.slices == 0
        busy = {
            row.pid: row.busy
            for row in traced.query(
                "select process.pid as pid, sum(slice.dur) as busy from slice "
                "join process_track on slice.track_id = process_track.id join process using (upid) "
                "where process_track.name glob 'core *' group by process.pid"
            )
        }
    assert busy == {one.index + 1: one.machine.busy_total_ns() for one in worlds[-1].gateways}
