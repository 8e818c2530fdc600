"""twinloop: a hardware-in-the-loop simulator and digital twin for WebAssembly IoT gateways.

    import twinloop

    result = twinloop.run("quickstart")
    print(result.verdict, result.samples.delivered, result.latency.gateway.p99_ns)

What this module offers is what ``__all__`` names; everything below it may change from version to version.
Names are loaded when they are used, so that ``import twinloop`` costs nothing. docs/python.md shows each of
them at work.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    __version__: str
    from twinloop.components.contract.errors import HostLimitError
    from twinloop.scenarios.front import Scenario, load, load_text, run
    from twinloop.scenarios.judging.judged import Judged
    from twinloop.scenarios.judging.verdict import Verdict
    from twinloop.scenarios.report.result import Result
    from twinloop.scenarios.runner import Options
    from twinloop.scenarios.serving import Served, serve
    from twinloop.scenarios.text.errors import MachineError, ScenarioError
    from twinloop.sim.kernel.invariants import InvariantError

_HOMES = {
    "HostLimitError": "components.contract.errors",
    "InvariantError": "sim.kernel.invariants",
    "Judged": "scenarios.judging.judged",
    "MachineError": "scenarios.text.errors",
    "Options": "scenarios.runner",
    "Result": "scenarios.report.result",
    "Scenario": "scenarios.front",
    "ScenarioError": "scenarios.text.errors",
    "Served": "scenarios.serving",
    "Verdict": "scenarios.judging.verdict",
    "load": "scenarios.front",
    "load_text": "scenarios.front",
    "run": "scenarios.front",
    "serve": "scenarios.serving",
}
__all__ = [
    "HostLimitError",
    "InvariantError",
    "Judged",
    "MachineError",
    "Options",
    "Result",
    "Scenario",
    "ScenarioError",
    "Served",
    "Verdict",
    "__version__",
    "load",
    "load_text",
    "run",
    "serve",
]


def __getattr__(name: str) -> Any:
    """The thing of that name, from the room where it lives; raises AttributeError with what there is."""
    if name == "__version__":
        globals()[name] = _version()
        return globals()[name]
    if name not in _HOMES:
        raise AttributeError(f"module twinloop has no attribute {name!r}; it has: {', '.join(__all__)}")
    return getattr(import_module(f"twinloop.{_HOMES[name]}"), name)


def _version() -> str:
    from importlib.metadata import PackageNotFoundError, version  # takes longer than all the rest here

    try:
        return version("twinloop")
    except PackageNotFoundError:  # a tree that isn't installed
        return "0+unknown"


def __dir__() -> list[str]:
    return sorted(__all__)
