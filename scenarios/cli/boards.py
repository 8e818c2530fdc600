"""``twinloop boards``: boards, host programs and runtimes with their figures, sources and bands; are board
files right?

Belongs here: printing and checking. Never: figures (scenarios/file/boards/).
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from twinloop.sim.model.boards import Board, Figure

app = typer.Typer(invoke_without_command=True)
_THOUSAND = 1000


@app.callback()
def boards(
    context: typer.Context,
    hosts: Annotated[bool, typer.Option("--hosts", help="the host programs instead")] = False,
    runtimes: Annotated[bool, typer.Option("--runtimes", help="the runtimes instead")] = False,
) -> int:
    """Print what a unit of fuel, an instruction and work outside WASM cost on each board, with source, date
    and band."""
    if context.invoked_subcommand is not None:
        return 0
    if hosts:
        _hosts()
    if runtimes:
        _runtimes()
    if not hosts and not runtimes:
        from twinloop.scenarios.file.boards.reading import names, shipped  # --help must stay quick

        print("modelled figures, none calibrated on a board; x/÷ is the band of 90 % of cases\n")
        for name in names():
            _show(shipped(name))
    return 0


@app.command("check")
def check(files: Annotated[list[Path], typer.Argument(help="board files")]) -> int:
    """Is each file a board? Prints its figures, or the first mistake and exits with 3."""
    from twinloop.scenarios.file.boards.reading import read_board
    from twinloop.scenarios.text.document import read_text

    for file in files:
        _show(read_board(read_text(file), file, file.stem))
    return 0


def _show(board: Board) -> None:
    from twinloop.sim.model.boards import WORK, memories_that_fit

    money = f"; {board.money}" if board.money else ""
    calibrated = "" if not board.calibrated else "; calibrated on the board"
    print(f"{board.name}: {board.title}; {board.isa}; {board.runtime.name}{money}{calibrated}")
    fits = memories_that_fit(board, board.runtime.reserves(board.isa))
    print(f"  {fits} default instances fit ({board.va_bits} bits of addresses: {board.va_source})")
    _figures(
        [
            ("instruction", board.instruction_ps, _THOUSAND, "ns"),
            *((f"  of {name}", time, _THOUSAND, "ns") for name, time in board.host_instruction_ps.items()),
            ("fuel, not metered", board.fuel_ps, _THOUSAND, "ns"),
            ("fuel, metered", board.metered_fuel_ps, _THOUSAND, "ns"),
            *(
                (f"  of {sha256[:8]}", one.metered_ps, _THOUSAND, "ns")
                for sha256, one in board.component_fuel_ps.items()
            ),
            ("instantiate", board.instantiate_ns, _THOUSAND, "us"),
            ("flash, steadily", board.flash_bytes_per_s, 10**6, "MB/s"),
            *((f"work: {name.replace('_', '-')}", board.work_ns[name], _THOUSAND, "us") for name in WORK),
        ]
    )


def _figures(rows: Iterable[tuple[str, Figure, int, str]]) -> None:
    from twinloop.scenarios.text.units import show_number

    for name, figure, scale, unit in rows:
        shown = show_number(figure.value / scale, 4)
        print(f"  {name:<18} {shown:>9} {unit}  x/÷ {figure.band:<4g} {figure.source} ({figure.date})")
    print()


def _hosts() -> None:
    from twinloop.scenarios.file.boards.programs import default_host, hosts

    print("aarch64 instructions that a host program takes; x/÷ is the band of the counted points\n")
    for name, host in hosts().items():
        usual = "; taken where a scenario says nothing" if host is default_host() else ""
        print(f"{name}: {host.title}{usual}")
        _figures(
            [
                ("call", host.call, _THOUSAND, ""),
                ("import", host.imported, _THOUSAND, ""),
                ("exchange", host.exchange, _THOUSAND, ""),
                ("value", host.value, _THOUSAND, ""),
                ("byte", host.byte, _THOUSAND, ""),
            ]
        )


def _runtimes() -> None:
    from twinloop.scenarios.file.boards.programs import runtimes
    from twinloop.scenarios.text.units import show_size

    print("time of guest code against wasmtime's Cranelift; x/÷ holds all measured kernels\n")
    for name, one in runtimes().items():
        print(f"{name}: {one.title}; runs on {', '.join(one.isas)}")
        knows = "components" if one.components else "core modules only"
        counts = "counts fuel" if one.metered else "counts no fuel"
        print(
            f"  {knows}; {counts}; reserves {show_size(one.reservation_bytes)} of addresses a memory; "
            f"{show_size(one.instance_bytes)} an instance"
        )
        if one.lacks:
            print(f"  {one.lacks}")
        _figures([("guest code", one.fuel, _THOUSAND, "times")])
