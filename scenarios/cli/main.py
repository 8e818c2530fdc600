"""The command ``twinloop``: its commands, and the one place where errors become exit codes.

Belongs here: assembly and mapping: where each verb lives, and what the help of the whole says of it, so that
nothing of a verb is imported until it is asked for (a test holds it against what each verb says of itself).
Never: a command's work. Commands that live above this room are found by entry point.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import import_module
from typing import Annotated, Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.exceptions import TyperException
from typer.main import get_group

import twinloop
from twinloop.components.contract.errors import HostLimitError
from twinloop.devices.catalogue.packages import PackageError
from twinloop.records import dataclass
from twinloop.scenarios.cli import elsewhere
from twinloop.scenarios.collector import modules_are_there
from twinloop.scenarios.judging.verdict import ABORTED, INTERNAL_ERROR, MACHINE, SCENARIO_ERROR
from twinloop.scenarios.text.errors import ScenarioError, machine_error, nearest, printable
from twinloop.sim.kernel.invariants import DeviceRefused

STYLE: dict[str, Any] = {
    "add_completion": False,
    "pretty_exceptions_enable": False,
    "rich_markup_mode": None,
}
"""of the whole, and so of every verb"""


@dataclass(frozen=True)
class Verb:
    """``home``: its module, and the name in it: of a function, or of an ``app`` with verbs of its own.
    ``about``: the first paragraph of what it says of itself."""

    home: str
    about: str


VERBS = {
    "run": Verb("twinloop.scenarios.cli.run:run", "Run scenarios and judge them."),
    "check": Verb(
        "twinloop.scenarios.cli.check:check",
        "Check scenarios without running them: keys, names, components and their options, expectations, "
        "lines that can't hold their polls.",
    ),
    "list": Verb(
        "twinloop.scenarios.cli.list_:list_",
        "List shipped scenarios, device models, link and store presets, components, metrics of "
        "expectations, or what can go wrong.",
    ),
    "schema": Verb(
        "twinloop.scenarios.cli.schema:schema",
        "Print the JSON Schema of a scenario file, of a model file, or of a board file.",
    ),
    "serve": Verb(
        "twinloop.scenarios.cli.serve:serve",
        "Serve a scenario's devices to real clients: Modbus TCP and RTU over TCP, RTU and ASCII on "
        "pseudo-terminals, OPC UA; MQTT devices publish to a broker.",
    ),
    "attach": Verb(
        "twinloop.scenarios.cli.attach:attach",
        "Run a scenario with real devices in the place of simulated ones: tcp://HOST[:PORT][/UNIT], "
        "rtu:///dev/ttyX[?unit=N], ascii:///dev/ttyX[?unit=N], rtu+tcp://HOST:PORT[/UNIT], "
        "opc.tcp://HOST[:PORT]/.",
    ),
    "record": Verb(
        "twinloop.scenarios.cli.record:record",
        "Poll real devices (or, with none named, the scenario's own, as fast as possible) through their "
        "drivers into recordings.",
    ),
    "fit": Verb(
        "twinloop.scenarios.cli.fit:fit",
        "Estimate what moves a recorded device (level, period, noise, drift, step times) and its link "
        "(delay, jitter, bursts of loss).",
    ),
    "compare": Verb(
        "twinloop.scenarios.cli.compare:compare",
        "Run a model beside recordings: bias, spread and drift a day of each point, and when the device "
        "first left the model's band.",
    ),
    "merge": Verb(
        "twinloop.scenarios.cli.evidence.merge:merge",
        "Put the results of shards together, report them, exit as the whole command would have.",
    ),
    "sweep": Verb(
        "twinloop.scenarios.cli.evidence.sweep:sweep",
        "Run a scenario with every combination of some values, and put what was measured side by side.",
    ),
    "size": Verb(
        "twinloop.scenarios.cli.evidence.size:size",
        "Find the last value that holds on the way from A to B: the largest where A is the smaller one, "
        "else the smallest.",
    ),
    "diff": Verb(
        "twinloop.scenarios.cli.evidence.diff:diff",
        "Compare results: what got worse from A to B, and could it be noise?",
    ),
    "migrate": Verb(
        "twinloop.scenarios.cli.migrate:migrate",
        "Rewrite scenario files of format 1 as format 2. A file that would mean something else "
        "afterwards is left as it is, which is an error.",
    ),
    "calibrate": Verb(
        "twinloop.scenarios.calibration.command:calibrate",
        "Measure the board that this runs on, and write a board file for scenarios.",
    ),
    "claims": Verb(
        "twinloop.scenarios.cli.evidence.claims:claims",
        "Measure on this machine, and model on each board, what is often said of WebAssembly on "
        "gateways: starts, memory, density, latency, limits, speed, crossings, containers. Says of each "
        "claim whether it is true.",
    ),
    "boards": Verb(
        "twinloop.scenarios.cli.boards:app",
        "Print what a unit of fuel, an instruction and work outside WASM cost on each board, with "
        "source, date and band.",
    ),
    "device": Verb(
        "twinloop.scenarios.cli.device.command:app", "Describe a device of your own: write, show, learn."
    ),
    "components": Verb(
        "twinloop.scenarios.components.command:app", "Begin a component, look into one, try it."
    ),
    "registry": Verb(
        "twinloop.scenarios.cli.registry:app", "Keys, and a folder of signed component releases."
    ),
}
"""in the order of the help"""


@contextmanager
def _interrupt_told(before: str) -> Iterator[None]:
    """Ctrl-C leaves a word, where typer leaves a code alone."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted before it {before}", file=sys.stderr)
        raise


def command(name: str) -> Any:
    """The command of a verb, its module imported."""
    found = _home(name)
    modules_are_there()
    whole = typer.Typer(**STYLE)
    if isinstance(found, typer.Typer):
        whole.add_typer(found, name=name)
    else:
        whole.command(name)(found)
    return get_group(whole).commands[name]


@cache
def _home(name: str) -> Any:
    home, _, attribute = VERBS[name].home.partition(":")
    found = getattr(import_module(home), attribute)
    if name == "components":  # two of its verbs are about recordings, and have their flags from there
        from twinloop.scenarios.cli.recordings import exchanges, replay

        found.command("replay")(replay.replay)
        found.command("exchanges")(exchanges.exchanges)
    return found


class _Whole(TyperGroup):
    """Its help tells of all commands, those found by entry point too; a verb's module is imported when it is
    asked for."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        """What was typed, understood."""
        with _interrupt_told("began"):
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:
        """A command."""
        with _interrupt_told("was done"):
            return super().invoke(ctx)

    def list_commands(self, ctx: Any) -> list[str]:
        """In the order of the help."""
        return list(VERBS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """One of ours, None for another."""
        return command(cmd_name) if cmd_name in VERBS else None

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Our own, then the others."""
        limit = formatter.width - 6 - max(map(len, VERBS))  # as typer has it
        told = {name: TyperCommand(name, help=verb.about) for name, verb in VERBS.items()}
        with formatter.section("Commands"):
            formatter.write_dl([(name, one.get_short_help_str(limit)) for name, one in told.items()])
        found = elsewhere.help_rows(VERBS)
        if found:
            with formatter.section("More commands"):
                formatter.write_dl(found)


app = typer.Typer(
    name="twinloop",
    cls=_Whole,
    no_args_is_help=True,
    **STYLE,
    help="Hardware-in-the-loop simulator and digital twin for WebAssembly IoT gateways.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from twinloop.components.native.choice import CHOICE

        print(f"twinloop {twinloop.__version__} ({CHOICE.word})")
        raise typer.Exit()


@app.callback()
def _whole(
    version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and exit.", callback=_print_version, is_eager=True),
    ] = False,
) -> None:
    """Hardware-in-the-loop simulator and digital twin for WebAssembly IoT gateways."""


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit code. Never a traceback for a user's mistake."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and not arguments[0].startswith("-"):
            elsewhere.warn_of_ignored(arguments[0], VERBS)
            if arguments[0] not in VERBS:
                return _elsewhere(arguments)
        return app(arguments, standalone_mode=False) or 0
    except (ScenarioError, PackageError) as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
    except DeviceRefused as error:
        print(f"error: {printable(': '.join(map(str, error.args)))}", file=sys.stderr)
    except HostLimitError as error:
        print(f"error: this machine: {error}", file=sys.stderr)
        return MACHINE
    except TyperException as error:
        show = getattr(error, "show", None)
        show(file=sys.stderr) if show is not None else print(f"error: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("interrupted before it began", file=sys.stderr)
        return ABORTED
    except Exception as error:  # noqa: BLE001  # the last line of defence: a code of its own, never one of a verdict
        found = machine_error(error)
        if found is not None:
            print(f"error: this machine: {found}", file=sys.stderr)
            return MACHINE
        traceback.print_exc()
        print("error: a mistake in twinloop itself, please report it with the lines above", file=sys.stderr)
        return INTERNAL_ERROR
    return SCENARIO_ERROR


def _elsewhere(arguments: list[str]) -> int:
    found = elsewhere.commands(VERBS)
    name = arguments[0]
    if name in found:
        return elsewhere.call(found[name], arguments[1:])
    known = [*VERBS, *found]
    close = nearest(name, known)
    hint = f'; did you mean "{close}"?' if close else ";"
    print(f'error: unknown command "{name}"{hint} known: {", ".join(known)}', file=sys.stderr)
    return SCENARIO_ERROR


if __name__ == "__main__":
    raise SystemExit(main())
