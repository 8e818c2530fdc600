"""What an import or a command may load: a static graph can't see deferred imports, so subprocesses look at
sys.modules."""

from __future__ import annotations

import subprocess
import sys

from benchmarks.starting import UNTIL_A_GATEWAY

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
    heavy = {
        "textual",
        "asyncua",
        "wasmtime",
        "simpy",
        "pymodbus",
        "numpy",
        "pydantic",
        "yaml",
        "rich",
        "lark",
    }
    assert not {*heavy, "asyncio"} & set(loaded)
    verbs = "twinloop.scenarios.cli."
    assert not {f"{verbs}run", f"{verbs}serve", f"{verbs}judging", "twinloop.scenarios.components"} & set(
        loaded
    )


def test_until_a_gateway_begins_nothing_is_loaded_that_is_for_afterwards() -> None:
    code = UNTIL_A_GATEWAY.format(then="print(' '.join(sys.modules), flush=True)")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.splitlines()[-1].split()
    assert {"twinloop.sim.world", "twinloop.devices.modbus.server", "pydantic", "yaml"} <= set(loaded)
    heavy = {"rich", "lark", "pymodbus", "asyncio", "asyncua", "multiprocessing", "statistics", "jsonpath"}
    assert not heavy & set(loaded)
    ours = {
        "evidence",
        "page",
        "report",
        "twin",
        "learning",
        "onlookers",
        "calibration",
        "claims",
        "exchanges",
    }
    rooms = {name.split(".")[2] for name in loaded if name.startswith("twinloop.scenarios.")}
    assert not ours & rooms


def test_classes_of_a_run_are_made_cheaply() -> None:
    """Of ``twinloop.records``, whose methods are compiled when they are called first; but for two rooms."""
    then = (
        "print(*sorted({one.__module__ for name, module in [*sys.modules.items()] if name.startswith('twinloop.') "
        "for one in vars(module).values() if isinstance(one, type) and one.__module__.startswith('twinloop.') "
        "and '__dataclass_params__' in vars(one) "
        "and one.__dataclass_params__.init}), flush=True)"
    )
    done = subprocess.run(
        [sys.executable, "-c", UNTIL_A_GATEWAY.format(then=then)], capture_output=True, text=True, check=True
    )
    dear = done.stdout.splitlines()[-1].split()
    assert "twinloop.components.host.outcome" in dear
    assert [
        name for name in dear if not name.startswith(("twinloop.components.host", "twinloop.sim.gateway"))
    ] == []


def test_asked_for_a_version_it_is_found() -> None:
    assert modules_after("import twinloop; print(twinloop.__version__)")
    loaded = modules_after("import twinloop")
    assert "importlib.metadata" not in loaded


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
