"""``twinloop tui [SCENARIO] [--seed N] [--beside PATH=VALUE]...``, with ``--screenshot FILE [--at T]
[--screen NAME] [--size WxH]`` a picture, and ``twinloop tui SCENARIO --web [--port N] [--bind ADDRESS]
[--sessions N]``; found by its entry point.

Belongs here: the command line. Never: the application.
"""

from __future__ import annotations

import argparse
import importlib.util
import ipaddress
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from twinloop.scenarios.cli.evidence.files import writable
from twinloop.scenarios.judging.verdict import INTERNAL_ERROR
from twinloop.scenarios.text.errors import MachineError, ScenarioError

if TYPE_CHECKING:
    from textual.app import App

SIZE_MIN, SIZE_MAX = (40, 12), (500, 200)
SEED_MAX = (1 << 63) - 1
PORT, PORT_MAX = 8000, 65_535
SESSIONS, SESSIONS_MAX = 4, 64
LOOPBACK = "127.0.0.1"


class _Parser(argparse.ArgumentParser):
    """Says what is wrong as every command does."""

    def error(self, message: str) -> None:  # type: ignore[override]  # it doesn't return
        """Raises ScenarioError."""
        raise ScenarioError("tui", None, "", message)


def _parser() -> _Parser:
    parser = _Parser(
        "twinloop tui",
        description="See the plant, hold the clock, cause the trouble. ? shows the keys.",
        allow_abbrev=False,
    )
    parser.add_argument("scenario", nargs="?", help="a scenario file or a shipped one's name; none: choose")
    parser.add_argument("--seed", type=_number(0, SEED_MAX), help="instead of the scenario's")
    parser.add_argument(
        "--beside",
        action="append",
        metavar="PATH=VALUE",
        help="a second run beside it with this in place of the file's value; may be repeated",
    )
    parser.add_argument(
        "--screenshot", type=Path, metavar="FILE", help="write a picture (SVG), without a terminal"
    )
    parser.add_argument("--at", metavar="DURATION", help="with --screenshot: when")
    parser.add_argument(
        "--screen", help="with --screenshot: overview, fleet, device, gateway, latency, trouble, help"
    )
    parser.add_argument(
        "--size", metavar="WxH", help="with --screenshot, or --play without a terminal: cells, e.g. 120x40"
    )
    parser.add_argument(
        "--play", type=Path, metavar="SESSION.yaml", help="carry out the keys, waits and pictures of a file"
    )
    parser.add_argument(
        "--attach",
        metavar="URL",
        help="look on at what serve --watch-port serves, by the URL that it prints",
    )
    parser.add_argument(
        "--web", action="store_true", help="in a browser: print a URL, serve it until Ctrl-C (extra web)"
    )
    parser.add_argument(
        "--port", type=_number(0, PORT_MAX), help=f"with --web: {PORT} unless given, 0 takes a free one"
    )
    parser.add_argument(
        "--bind",
        type=_address,
        metavar="ADDRESS",
        help=f"with --web: {LOOPBACK} unless given; with another one other machines reach it, unencrypted",
    )
    parser.add_argument(
        "--sessions",
        type=_number(1, SESSIONS_MAX),
        help=f"with --web: at most so many at a time, {SESSIONS} unless given; each has a run of its own",
    )
    return parser


def _number(least: int, most: int) -> Callable[[str], int]:
    def number(text: str) -> int:
        if not text.isascii() or not text.isdigit() or not least <= int(text) <= most:
            raise argparse.ArgumentTypeError(f'expected a number from {least} to {most}, got "{text}"')
        return int(text)

    return number


def _address(text: str) -> str:
    if text == "localhost":
        return text
    try:
        return str(ipaddress.ip_address(text))
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f'expected an IP address of this machine or localhost, got "{text}"'
        ) from error


def command(arguments: list[str]) -> int:
    """See the plant, hold the clock, cause the trouble.

    Takes the arguments after the command's name; returns the exit code.
    """
    try:
        return _run(_parser().parse_args(arguments))
    except ScenarioError as error:
        print(f"error: {error}", file=sys.stderr)
        return 3
    except SystemExit:  # --help
        return 0


def _run(given: argparse.Namespace) -> int:
    if given.attach is not None:
        return _attach(given)
    if given.web:
        return _web(given)
    for flag in ("port", "bind", "sessions"):
        if getattr(given, flag) is not None:
            raise ScenarioError(f"--{flag}", None, "", "goes with --web")
    if given.screenshot is None:
        for flag in ("at", "screen", *([] if given.play else ["size"])):
            if getattr(given, flag) is not None:
                raise ScenarioError(f"--{flag}", None, "", "goes with --screenshot")
    elif given.play is not None:
        raise ScenarioError("--play", None, "", "takes its pictures itself, by its step picture")
    if given.beside is not None and (given.screenshot is not None or given.scenario is None):
        why = "doesn't go with --screenshot; --play takes pictures of both runs"
        raise ScenarioError("--beside", None, "", "needs a scenario" if given.screenshot is None else why)
    if given.scenario is None and (given.screenshot or given.play):
        raise ScenarioError("--screenshot" if given.screenshot else "--play", None, "", "needs a scenario")
    if given.scenario is None:
        _require_terminal()
    file = _file(given.scenario)
    if file is None:
        return 0
    if given.screenshot is not None:
        return _picture(
            file,
            given.seed,
            given.screenshot,
            given.at or "30 s",
            given.screen or "overview",
            given.size or "120x40",
        )
    if given.play is not None:
        return _session(file, given.seed, given.play, given.size, _beside(file, given.beside))
    _require_terminal()
    from twinloop.tui.screens.choices import opened
    from twinloop.tui.terminal.app import Twinloop

    beside = _beside(file, given.beside)
    opened(file)
    return _ended(Twinloop(file, given.seed, beside=beside))


def _attach(given: argparse.Namespace) -> int:
    """Look on at a process that serves."""
    from twinloop.tui.live.feed import address

    for flag in ("seed", "screenshot", "at", "screen", "size", "play", "port", "bind", "sessions"):
        if getattr(given, flag) is not None:
            raise ScenarioError(f"--{flag}", None, "", "doesn't go with --attach: it only looks on")
    if given.web:
        raise ScenarioError("--web", None, "", "doesn't go with --attach: it only looks on")
    if given.scenario is not None:
        raise ScenarioError("--attach", None, "", "goes without a scenario: what is served says which it is")
    at = address(given.attach)
    _require_terminal()
    from twinloop.tui.live.app import Attached

    return _ended(Attached(at))


def _ended(app: App[int]) -> int:
    """Run it to its end; the exit code."""
    code = app.run()
    if code is None and app.return_code:  # it broke: what broke it stands above
        print("error: a mistake in twinloop itself, please report it with the lines above", file=sys.stderr)
        return INTERNAL_ERROR
    return code or 0


def _web(given: argparse.Namespace) -> int:
    if given.beside is not None:
        raise ScenarioError("--beside", None, "", "doesn't go with --web; there the key c does it")
    for flag in ("screenshot", "at", "screen", "size", "play"):
        if getattr(given, flag) is not None:
            raise ScenarioError(
                f"--{flag}", None, "", "doesn't go with --web: pictures are drawn by a command of their own"
            )
    if given.scenario is None:
        raise ScenarioError(
            "--web", None, "", "needs a scenario: a file or a shipped one's name (twinloop list scenarios)"
        )
    file = _file(given.scenario)
    if file is None:
        return 0
    if importlib.util.find_spec("textual_serve") is None:
        raise MachineError(
            "--web needs textual-serve, which isn't installed: python -m pip install 'twinloop[web]'"
        )
    from twinloop.tui.web.server import serve

    port = PORT if given.port is None else given.port
    serve(file, given.seed, given.bind or LOOPBACK, port, given.sessions or SESSIONS)
    return 0


def _require_terminal() -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise ScenarioError(
            "tui", None, "", "needs a terminal; --screenshot draws without one, and run has no screen"
        )
    # whoever started us may ignore it (nohup): with its terminal a screen has nothing to stay for
    signal.signal(signal.SIGHUP, signal.SIG_DFL)


def _file(scenario: str | None) -> Path | None:
    from twinloop.scenarios.file.load import find

    if scenario is None:
        from twinloop.tui.terminal.chooser import Chooser

        scenario = Chooser().run()
        if scenario is None:
            return None
    file = find(scenario)
    if not os.path.isfile(file):
        raise ScenarioError(scenario, None, "", "no such scenario file")
    return file


def _picture(file: Path, seed: int | None, target: Path, at: str, screen: str, size: str) -> int:
    from twinloop.scenarios.text.errors import unknown
    from twinloop.scenarios.text.units import duration
    from twinloop.tui.terminal.keys import PANES
    from twinloop.tui.terminal.picture import picture

    try:
        at_ns = duration(at if " " in at else re.sub(r"([0-9.])([a-z])", r"\1 \2", at))
    except ValueError as error:
        raise ScenarioError("--at", None, "", str(error)) from error
    if screen not in PANES:
        raise ScenarioError("--screen", None, "", unknown("screen", screen, PANES))
    cells = _cells(size)
    writable("--screenshot", target)
    picture(file, seed, target, at_ns, screen, cells)
    print(target)
    return 0


def _cells(size: str) -> tuple[int, int]:
    cells = re.fullmatch(r"([0-9]{1,3})x([0-9]{1,3})", size)
    wide, high = (int(cells[1]), int(cells[2])) if cells else (0, 0)
    if not (SIZE_MIN[0] <= wide <= SIZE_MAX[0] and SIZE_MIN[1] <= high <= SIZE_MAX[1]):
        raise ScenarioError("--size", None, "", f'expected 40x12 to 500x200, got "{size}"')
    return wide, high


def _beside(file: Path, settings: list[str] | None) -> tuple[str, ...] | None:
    """What is changed in the second run, checked as ``run --set`` does."""
    if settings is None:
        return None
    from twinloop.scenarios.cli.finding import settings_of
    from twinloop.scenarios.file.load import load

    try:
        load(file, settings_of(settings))
    except ScenarioError as error:
        name, with_ = error.file.replace("--set", "--beside"), error.beside.replace("--set", "--beside")
        raise ScenarioError(name, error.line, error.path, error.text, with_) from error
    return tuple(settings)


def _session(
    file: Path, seed: int | None, session: Path, size: str | None, beside: tuple[str, ...] | None
) -> int:
    """In the terminal, if there is one and no size is asked for."""
    from twinloop.tui.terminal.session import play, read_session

    steps = read_session(session)
    seen = sys.stdin.isatty() and sys.stdout.isatty() and size is None
    return play(file, seed, steps, None if seen else _cells(size or "120x40"), beside)
