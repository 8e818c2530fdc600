"""The engine's process: commands in, views out.

Belongs here: its start and its end, who hears what. Never: what a command does (engine.py), what is in a view
(viewing.py).
"""

from __future__ import annotations

import signal
import sys
import traceback
from collections.abc import Sequence
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from twinloop.components.contract.errors import HostLimitError
from twinloop.components.host.host import Host
from twinloop.scenarios.collector import COLLECTOR
from twinloop.scenarios.text.errors import ScenarioError
from twinloop.tui.engine.engine import Engine
from twinloop.tui.engine.final_report import final_report
from twinloop.tui.engine.marks import Marks, possible, root
from twinloop.tui.engine.messages import Command, Died, FinalReport, Look, Quit, Refused, Reply
from twinloop.tui.engine.viewing import view


def main(connection: Connection, file: str, seed: int | None, settings: Sequence[str] = ()) -> None:
    """The process: until Quit, or until nobody is at the other end any more. ``settings``: what is set in the
    scenario, each as PATH=VALUE."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the screen's business
    if possible():
        sys.exit(
            root(lambda folder, lifeline: play(connection, file, seed, Marks(folder, lifeline), settings))
        )
    sys.exit(play(connection, file, seed, None, settings))


def host_of_engine(forks: bool) -> Host:
    """Without fibers as that of `twinloop run`: an engine that meets a long call begins anew, too."""
    return Host(threads=not forks, fibers=False)


def play(
    connection: Connection, file: str, seed: int | None, marks: Marks | None, settings: Sequence[str]
) -> int:
    """Load, say what there is, serve; the exit code."""
    host = host_of_engine(forks=marks is not None)
    try:
        engine = Engine(host, Path(file), seed, marks, settings)
        connection.send(engine.plan)
        with COLLECTOR.calm():
            serve(engine, connection)
    except (ScenarioError, HostLimitError) as error:
        connection.send(Refused(str(error)))
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return 0
    except BaseException:
        connection.send(Died(traceback.format_exc(limit=-6)))
        raise
    finally:
        if marks is None:  # else others use the same files
            host.close()
    return 0


def serve(engine: Engine, connection: Connection) -> None:
    """Until Quit, or until this process's root is gone. Who makes a mark may be somebody else's successor
    when that returns."""
    try:
        _serve(engine, connection)
    finally:
        if engine.marks is None:
            engine.explorer.forget()
            engine.world.close()


def _serve(engine: Engine, connection: Connection) -> None:
    heard: list[Any] = [connection] if engine.marks is None else [connection, engine.marks.lifeline]
    while True:
        woken = engine.mark()
        if woken is not None:
            connection.send(woken)
        while found := wait(heard, engine.wait_s()):
            if engine.marks is not None and engine.marks.lifeline in found:
                engine.marks.orphaned()
                return
            command: Command = connection.recv()
            if isinstance(command, Quit):
                if command.width:
                    connection.send(FinalReport(final_report(engine, command.width)))
                return
            reply = answer(engine, command)
            if reply is not None:
                connection.send(reply)
        said = engine.slice()
        if said is not None:
            connection.send(said)


def answer(engine: Engine, command: Command) -> Reply | None:
    """What an engine has to say to one command: a view, or what came of it."""
    return view(engine, command) if isinstance(command, Look) else engine.handle(command)
