"""What an import or a command may load: a static graph can't see deferred imports, so subprocesses look at
sys.modules."""

from __future__ import annotations

import subprocess
import sys

SHORT = "field/faster-than-the-line-fixed"
"""a shipped scenario whose run takes half a second"""


def modules_after(code: str) -> list[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys; print(' '.join(sys.modules))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1].split()


def test_help_loads_neither_the_tui_nor_the_engine() -> None:
    loaded = modules_after("from twinloop.scenarios.cli.main import main; main(['--help'])")
    assert not {"textual", "asyncua", "wasmtime", "simpy", "pymodbus"} & set(loaded)


def test_the_terminal_loads_nothing_of_its_web_server() -> None:
    loaded = modules_after("import twinloop.tui.command, twinloop.tui.terminal.app")
    assert not {"aiohttp", "textual_serve", "jinja2", "twinloop.tui.web"} & set(loaded)


def test_a_run_that_asks_for_nothing_loads_nothing_for_it() -> None:
    loaded = modules_after(f"from twinloop.scenarios.cli.main import main; main(['run', '{SHORT}'])")
    assert "twinloop.scenarios.runner" in loaded
    others = {"textual", "asyncua", "perfetto", "pyarrow", "opentelemetry", "distributed", "dask", "dpkt"}
    assert not {*others, "google.protobuf", "urllib.request"} & set(loaded)
    assert [
        name
        for name in loaded
        if name.startswith(tuple(f"twinloop.scenarios.{room}" for room in ("exchanges", "export", "page")))
    ] == [
        "twinloop.scenarios.export",
        "twinloop.scenarios.export.asked",
    ]


def test_seeds_without_a_cluster_load_nothing_of_dask() -> None:
    loaded = modules_after(
        "from twinloop.scenarios.cli.main import main; main(['run', '"
        f"{SHORT}', '--seeds', '1..2', '--jobs', '1'])"
    )
    assert "twinloop.scenarios.evidence.cluster" in loaded
    assert not {"dask", "distributed", "tornado"} & set(loaded)


def test_importing_the_engine_creates_no_socket() -> None:
    code = """
import sys
seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith('socket.') and event != 'socket.gethostname' else None)
import twinloop.sim.world, scenarios.runner
assert not seen, seen
"""
    modules_after(code)
