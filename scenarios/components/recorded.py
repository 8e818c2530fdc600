"""``twinloop components test``: recorded calls of a component and what must come back, and their cost.

Belongs here: the file of recorded calls, the comparison. Never: running a call (trial.py).

The file has the calls in their order: ``call`` is the function's name, ``arguments`` its arguments by name,
``bus`` what a driver must send to its device and what it gets (hexadecimal, or ``timeout`` or
``disconnected``), ``gives`` what must come back: of a mapping only what is stated is compared.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from twinloop.components.compose.adapting import load_whole
from twinloop.components.contract.contract import EXPORTS
from twinloop.components.contract.values import ValueProblem, differs, from_file, to_file
from twinloop.components.host.component import ComponentRefused, read_component
from twinloop.components.host.host import Host
from twinloop.scenarios.components.trial import Exchange, Spent, Trial
from twinloop.scenarios.text.errors import ScenarioError, unknown
from twinloop.sim.model.wasi import WasiSpec

_KEYS = ("call", "arguments", "bus", "gives")
_CALLS_MAX = 10_000
_ALL_PACKAGES = WasiSpec(packages=("wasi:clocks",))


@dataclass(frozen=True, slots=True)
class RecordedCall:
    """One call of the file; ``at``: its place there."""

    at: str
    export: str
    arguments: dict[str, Any]
    bus: list[Exchange]
    gives: Any


@dataclass(slots=True)
class Outcome:
    """What a test of a component has found. ``problems``: empty when all is as recorded."""

    role: str
    size_bytes: int
    start: Spent | None = None
    memory_bytes: int = 0
    calls: dict[str, list[Spent]] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    given: list[Any] = field(default_factory=list)
    """what each call gave, as a file has it"""
    stderr: str = ""


def component_in(path: Path) -> Path:
    """The component's file: the path itself, or in a folder the only one that has recorded calls beside it.
    Raises ScenarioError."""
    if not path.is_dir():
        return path
    found = sorted(one for one in path.glob("*.wasm") if one.with_suffix(".cases.yaml").is_file())
    if len(found) == 1:
        return found[0]
    names = ", ".join(one.name for one in found) or "none: build it first, e.g. with make"
    raise ScenarioError(
        str(path),
        None,
        "",
        f"it is a folder; expected one NAME.wasm with NAME.cases.yaml beside it, found {names}",
    )


def read_calls(file: Path) -> tuple[str, list[RecordedCall]]:
    """(role, calls) of a file of recorded calls; raises ScenarioError."""

    def error(text: str) -> ScenarioError:
        return ScenarioError(str(file), None, "", text)

    if not file.is_file():
        raise error(
            "no such file of recorded calls; --cases names another, and twinloop components new writes one"
        )
    try:
        data = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as failure:
        raise error(" ".join(str(failure).split())) from failure
    if not isinstance(data, dict) or set(data) != {"role", "calls"} or not isinstance(data["calls"], list):
        raise error("expected a mapping with role and calls, a list")
    if data["role"] not in EXPORTS:
        raise error(unknown("role", str(data["role"]), list(EXPORTS)))
    if len(data["calls"]) > _CALLS_MAX:
        raise error(f"{len(data['calls'])} calls; at most {_CALLS_MAX} are run")
    calls = []
    for index, one in enumerate(data["calls"]):
        at = f"calls[{index}]"
        if not isinstance(one, dict) or [key for key in one if key not in _KEYS] or "call" not in one:
            raise error(f"{at}: expected a mapping of {', '.join(_KEYS)}")
        if one["call"] not in EXPORTS[data["role"]]:
            raise error(f"{at}: {unknown('function', str(one['call']), list(EXPORTS[data['role']]))}")
        try:
            bus = [_exchange(exchange) for exchange in one.get("bus") or []]
        except (TypeError, KeyError, ValueError) as failure:
            raise error(f"{at}.bus: expected a list of {{sends: HEX, gets: HEX or timeout}}") from failure
        calls.append(RecordedCall(at, one["call"], one.get("arguments") or {}, bus, one.get("gives")))
    return data["role"], calls


def _exchange(data: Any) -> Exchange:
    gets = data["gets"]
    return Exchange(
        bytes.fromhex(data["sends"]), gets if gets in ("timeout", "disconnected") else bytes.fromhex(gets)
    )


def tried(wasm: Path, role: str, calls: list[RecordedCall]) -> Outcome:
    """Run the calls on a fresh instance; raises ScenarioError for a file that isn't such a component, or
    arguments that aren't of their type."""
    host = Host()
    try:
        component = load_whole(host, [(wasm.name, read_component(wasm))], role).component
        outcome = Outcome(role, component.size_bytes)
        _run(
            Trial(host, wasm.stem, component, _ALL_PACKAGES),
            component.function_types(),
            calls,
            outcome,
        )
    except ComponentRefused as error:
        raise ScenarioError("components test", None, "", f"{wasm}: {error}") from error
    except ValueProblem as error:
        raise ScenarioError("components test", None, "", str(error)) from error
    finally:
        host.close()
    return outcome


def _run(trial: Trial, types: dict[str, Any], calls: list[RecordedCall], outcome: Outcome) -> None:
    fault, outcome.start = trial.start()
    if fault is not None:
        outcome.problems.append(f"start: {fault}")
    for one in calls if fault is None else []:
        kind = types[one.export]
        names = [name for name, _ in kind.params]
        strange = [name for name in one.arguments if name not in names]
        if strange:
            raise ValueProblem(f"{one.at}.arguments: {unknown('argument', strange[0], names)}")
        arguments = [
            from_file(wit, one.arguments.get(name), f"{one.at}.arguments.{name}") for name, wit in kind.params
        ]
        trial.bus.exchanges, trial.bus.problems = copy.copy(one.bus), []
        fault, result, spent = trial.call(one.export, arguments)
        outcome.calls.setdefault(one.export, []).append(spent)
        if fault is not None:
            outcome.problems.append(f"{one.at} ({one.export}): {fault}")
            break
        given = to_file(kind.result, result)
        outcome.given.append(given)
        wrong = list(trial.bus.problems)
        wrong += [f"it never sends {exchange.sends.hex()}" for exchange in trial.bus.exchanges]
        if one.gives is not None:
            found = differs(one.gives, given, "gives")
            wrong += [found] if found else []
        outcome.problems += [f"{one.at} ({one.export}): {text}" for text in wrong]
    instance = trial.slot.instance
    outcome.memory_bytes = 0 if instance is None else instance.memory_peak_bytes
    outcome.stderr = trial.stderr
    trial.slot.drop()
