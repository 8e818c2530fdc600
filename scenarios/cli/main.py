"""The command ``twinloop``: its commands, and the one place where errors become exit codes.

Belongs here: assembly and mapping. Never: a command's work. Commands that live above this room are found by
entry point.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup
from typer.exceptions import TyperException

import twinloop
from twinloop.components.contract.errors import HostLimitError
from twinloop.devices.catalogue.packages import PackageError
from twinloop.scenarios.calibration import command as calibration_command
from twinloop.scenarios.cli import (
    attach,
    boards,
    check,
    compare,
    elsewhere,
    fit,
    list_,
    migrate,
    record,
    registry,
    run,
    schema,
    serve,
)
from twinloop.scenarios.cli.device import command as device_commands
from twinloop.scenarios.cli.evidence import claims, diff, merge, size, sweep
from twinloop.scenarios.cli.recordings import exchanges, replay
from twinloop.scenarios.components import command as component_commands
from twinloop.scenarios.judging.verdict import ABORTED, INTERNAL_ERROR, MACHINE, SCENARIO_ERROR
from twinloop.scenarios.text.errors import ScenarioError, machine_error, nearest, printable
from twinloop.sim.kernel.invariants import DeviceRefused


@contextmanager
def _interrupt_told(before: str) -> Iterator[None]:
    """Ctrl-C leaves a word, where typer leaves a code alone."""
    try:
        yield
    except KeyboardInterrupt:
        print(f"interrupted before it {before}", file=sys.stderr)
        raise


class _Whole(TyperGroup):
    """Its help tells of all commands, those found by entry point too."""

    def make_context(self, *arguments: Any, **more: Any) -> Any:
        """What was typed, understood."""
        with _interrupt_told("began"):
            return super().make_context(*arguments, **more)

    def invoke(self, ctx: Any) -> Any:
        """A command."""
        with _interrupt_told("was done"):
            return super().invoke(ctx)

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Our own, then the others."""
        super().format_commands(ctx, formatter)
        found = elsewhere.help_rows(_COMMANDS)
        if found:
            with formatter.section("More commands"):
                formatter.write_dl(found)


app = typer.Typer(
    name="twinloop",
    cls=_Whole,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
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


app.command("run")(run.run)
app.command("check")(check.check)
app.command("list")(list_.list_)
app.command("schema")(schema.schema)
app.command("serve")(serve.serve)
app.command("attach")(attach.attach)
app.command("record")(record.record)
app.command("fit")(fit.fit)
app.command("compare")(compare.compare)
app.command("merge")(merge.merge)
app.command("sweep")(sweep.sweep)
app.command("size")(size.size)
app.command("diff")(diff.diff)
app.command("migrate")(migrate.migrate)
app.command("calibrate")(calibration_command.calibrate)
app.command("claims")(claims.claims)
component_commands.app.command("replay")(replay.replay)
component_commands.app.command("exchanges")(exchanges.exchanges)
app.add_typer(boards.app, name="boards")
app.add_typer(device_commands.app, name="device")
app.add_typer(component_commands.app, name="components")
app.add_typer(registry.app, name="registry")
_COMMANDS = (
    "run",
    "check",
    "list",
    "schema",
    "boards",
    "calibrate",
    "claims",
    "serve",
    "attach",
    "record",
    "fit",
    "compare",
    "merge",
    "sweep",
    "size",
    "diff",
    "migrate",
    "device",
    "components",
    "registry",
)


def main(arguments: list[str] | None = None) -> int:
    """Run a command line; returns the exit code. Never a traceback for a user's mistake."""
    arguments = sys.argv[1:] if arguments is None else arguments
    try:
        if arguments and not arguments[0].startswith("-"):
            elsewhere.warn_of_ignored(arguments[0], _COMMANDS)
            if arguments[0] not in _COMMANDS:
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
    found = elsewhere.commands(_COMMANDS)
    name = arguments[0]
    if name in found:
        return elsewhere.call(found[name], arguments[1:])
    known = [*_COMMANDS, *found]
    close = nearest(name, known)
    hint = f'; did you mean "{close}"?' if close else ";"
    print(f'error: unknown command "{name}"{hint} known: {", ".join(known)}', file=sys.stderr)
    return SCENARIO_ERROR


if __name__ == "__main__":
    raise SystemExit(main())
