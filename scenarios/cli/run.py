"""``twinloop run``: run scenarios, print their reports, exit with the worst verdict."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from twinloop.scenarios.cli.finding import SET_HELP, settings_of
from twinloop.scenarios.cli.running import STRICT_HELP, Outputs, refused, run_all, scenarios_of
from twinloop.scenarios.export.asked import Asked, Otlp, exports_of
from twinloop.scenarios.judging.verdict import BANDS
from twinloop.scenarios.text.errors import ScenarioError

if TYPE_CHECKING:
    from twinloop.scenarios.evidence.many import Many
    from twinloop.scenarios.file.settings import Setting
    from twinloop.scenarios.runner import Options

CLOCKS = ("virtual", "paced", "wire")

_Json = Annotated[
    str | None, typer.Option("--json", help="write the result as JSON; - is stdout", metavar="FILE")
]
_Out = Annotated[
    Path | None, typer.Option(help="write result, trace and samples into a folder", metavar="DIR")
]
_Check = Annotated[bool, typer.Option("--check", help="run twice and show the first differing event")]
_Clock = Annotated[
    str,
    typer.Option(
        help="virtual: as fast as possible; paced: at the wall's pace; wire: over real sockets",
        metavar="virtual|paced|wire",
    ),
]
_Speed = Annotated[
    str | None, typer.Option(help="with --clock paced: so many times the wall's pace", metavar="X")
]
_Seeds = Annotated[
    str | None,
    typer.Option(help="run each scenario under many seeds, and say how often it holds", metavar="1..200"),
]
_Html = Annotated[
    Path | None, typer.Option(help="write a report page with pictures, of one scenario", metavar="FILE")
]
_Jobs = Annotated[
    int | None, typer.Option(help="with --seeds: in so many processes", min=1, max=1024, metavar="N")
]
_Require = Annotated[
    str | None,
    typer.Option(
        help="with --seeds: PASS when at least this share of seeds is certain to hold", metavar="99%"
    ),
]
_Shard = Annotated[
    str | None,
    typer.Option(help="with --seeds: run only this part of them, for twinloop merge", metavar="3/8"),
]
_Perfetto = Annotated[
    Path | None,
    typer.Option(help="write what happened as a trace for ui.perfetto.dev", metavar="FILE"),
]
_Parquet = Annotated[
    bool, typer.Option("--parquet", help="with --out: write the samples as samples.parquet, too")
]
_Github = Annotated[bool, typer.Option("--github", help="annotations and a job summary for GitHub Actions")]
_Pcap = Annotated[
    Path | None,
    typer.Option(help="write what is on the wires as a capture for Wireshark and tshark", metavar="FILE"),
]
_PcapOf = Annotated[
    list[str] | None,
    typer.Option(
        help="with --pcap: only this link, line, fleet, device, or gateway's uplink; may be given again",
        metavar="NAME",
    ),
]

_Exchanges = Annotated[
    Path | None,
    typer.Option(help="write what drivers asked and got, for twinloop components replay", metavar="FILE"),
]
_ExchangesOf = Annotated[
    list[str] | None,
    typer.Option(help="with --exchanges: only this device or fleet; may be given again", metavar="NAME"),
]
_Otlp = Annotated[
    str | None,
    typer.Option(
        help="write spans of samples and metrics as OTLP's JSON, or send them to a receiver",
        metavar="FILE|URL",
    ),
]
_OtlpSamples = Annotated[
    str | None, typer.Option(help="with --otlp: spans of this share of the samples only", metavar="1%")
]
_OtlpStart = Annotated[
    str | None,
    typer.Option(help="with --otlp: the date that t = 0 gets", metavar="2026-01-01T00:00:00Z"),
]
_Cluster = Annotated[
    str | None,
    typer.Option(
        help="with --seeds: run them on a Dask cluster (local: with --jobs N workers of its own)",
        metavar="tcp://HOST:PORT|local",
    ),
]

_Band = Annotated[
    str,
    typer.Option(
        help="run the scenario at both ends of the bands of modelled prices, too: where they could turn the "
        "verdict, always, or never (then what they could turn is UNSURE)",
        metavar="auto|always|never",
    ),
]
_Watch = Annotated[
    bool, typer.Option("--watch", help="run once more whenever a file of the scenarios has changed")
]


def run(
    files: Annotated[
        list[str],
        typer.Argument(
            help="scenario files, folders of them, or names of shipped scenarios", metavar="FILE|DIR..."
        ),
    ],
    seed: Annotated[int | None, typer.Option(help="instead of the scenario's", min=0, max=2**63 - 1)] = None,
    board: Annotated[
        list[str] | None,
        typer.Option(help="another board; files lie beside the scenario", metavar="GATEWAY=BOARD"),
    ] = None,
    set_: Annotated[list[str] | None, typer.Option("--set", help=SET_HELP, metavar="PATH=VALUE")] = None,
    json_file: _Json = None,
    junit: Annotated[Path | None, typer.Option(help="write a JUnit report", metavar="FILE")] = None,
    github: _Github = False,
    out: _Out = None,
    strict: Annotated[bool, typer.Option("--strict", help=STRICT_HELP)] = False,
    check: _Check = False,
    band: _Band = "auto",
    clock: _Clock = "virtual",
    speed: _Speed = None,
    seeds: _Seeds = None,
    jobs: _Jobs = None,
    require: _Require = None,
    shard: _Shard = None,
    cluster: _Cluster = None,
    html: _Html = None,
    perfetto: _Perfetto = None,
    parquet: _Parquet = False,
    otlp: _Otlp = None,
    otlp_samples: _OtlpSamples = None,
    otlp_start: _OtlpStart = None,
    pcap: _Pcap = None,
    pcap_of: _PcapOf = None,
    exchanges: _Exchanges = None,
    exchanges_of: _ExchangesOf = None,
    watch: _Watch = False,
) -> int:
    """Run scenarios and judge them.

    Exit codes: 0 PASS or UNSURE, 1 FAIL or UNSTABLE, 2 BROKEN, 3 scenario or usage error, 4 NO-DATA,
    5 INVALID, 70 a mistake in twinloop, 71 this machine, 130 ABORTED; of several scenarios the worst: 70, 2,
    71, 130, 3, 5, 1, 4, 0. With --watch that of the last time.
    """
    from twinloop.scenarios.runner import Options  # --help must not wait for it

    pace = _pace(clock, speed, check)
    _page_goes(html, {"--check": check, "--clock wire": clock == "wire"})
    spans = Otlp(otlp, otlp_samples, otlp_start)
    asked = Asked(perfetto, parquet, pcap, tuple(pcap_of or ()), spans, exchanges, tuple(exchanges_of or ()))
    outputs = Outputs(json_file, junit, out, github, html, perfetto, spans.file, pcap, exchanges)
    outputs.check(files)
    chosen, wire = _boards(board or []), clock == "wire"
    options = Options(seed, chosen, None, check, speed=pace, wire=wire, strict=strict, band=_band(band))
    beside = {"--seed": seed is not None, "--check": check, "--clock": clock != "virtual", "--github": github}
    beside |= asked.flags()
    many = _many(seeds, jobs, require, shard, cluster, beside)
    if many is not None and many.cluster and out is not None:
        raise ScenarioError("--out", None, "", f"--out and --cluster don't go together: {_WHY['--out']}")
    settings = settings_of(set_)

    def once() -> int:
        return _once(files, outputs, options, asked, many, settings)

    if not watch:
        return once()
    try:
        return _watched(files, settings, outputs, once)
    except ScenarioError as error:  # there is no such file to look at
        raise refused(error, outputs, strict) from error


def _once(
    files: list[str],
    outputs: Outputs,
    options: Options,
    asked: Asked,
    many: Many | None,
    settings: tuple[Setting, ...],
) -> int:
    """All of the command that is done again when a file has changed."""
    outputs.begin()
    found = scenarios_of(files, outputs, options.strict)
    if many is None:
        try:
            exports = exports_of(asked, outputs.out, options, found, settings)
        except ScenarioError as error:
            raise refused(error, outputs, options.strict) from error
        with exports.telling() as tell:
            return tell(run_all(found, replace(options, watches=exports.watches), outputs, settings))
    from twinloop.scenarios.cli.evidence.many import run_many

    asked_out = replace(options, out=outputs.out)
    return run_many(found, asked_out, many, settings, outputs.json_file, outputs.junit, outputs.html)


def _watched(
    files: list[str], settings: tuple[Setting, ...], outputs: Outputs, once: Callable[[], int]
) -> int:
    """``once``, and again after each change of a file that the scenarios are made of."""
    from twinloop.scenarios.file.load import find
    from twinloop.scenarios.watching import Watch, again_and_again

    return again_and_again(Watch([find(name) for name in files], settings, outputs.files()), once)


_NO_PAGE = {
    "--check": "two runs have one page: run it once more without",
    "--clock wire": "a page is of simulated time, and over real sockets there are two runs",
}


def _page_goes(html: Path | None, beside: dict[str, bool]) -> None:
    """Raises ScenarioError when a page is asked for beside a flag that doesn't go with it."""
    for flag, given in beside.items():
        if html is not None and given:
            raise ScenarioError("--html", None, "", f"--html and {flag} don't go together: {_NO_PAGE[flag]}")


_WHY = {
    "--seed": "--seeds 7 is one seed, too",
    "--check": "each run is repeated from its seed by the command that the report names, with --check",
    "--github": "a job of many seeds is reported by --junit",
    "--out": "traces stay where they are made; the command that the report names makes one here, with --out",
    "--clock": "many seeds run in simulated time, as fast as possible",
    "--perfetto": "a trace shows one run; run the seed of interest with --seed",
    "--otlp": "spans are of one run; run the seed of interest with --seed",
    "--parquet": "samples are kept of one run; run the seed of interest with --seed",
    "--pcap": "a capture shows one run; run the seed of interest with --seed",
    "--exchanges": "a recording is of one run; run the seed of interest with --seed",
}


def _many(
    seeds: str | None,
    jobs: int | None,
    require: str | None,
    shard: str | None,
    cluster: str | None,
    beside: dict[str, bool],
) -> Many | None:
    """What is asked of many seeds; ``beside``: which flags that don't go with them are given. Raises
    ScenarioError."""
    if seeds is None:
        given_alone = {"--jobs": jobs, "--require": require, "--shard": shard, "--cluster": cluster}
        for flag, given in given_alone.items():
            if given is not None:
                raise ScenarioError(flag, None, "", f"{flag} goes with --seeds, e.g. --seeds 1..200")
        return None
    from twinloop.scenarios.evidence.many import Many  # a single run needs no processes and no cluster
    from twinloop.scenarios.evidence.seeds import read_shard

    for flag, given in beside.items():
        if given:
            raise ScenarioError(flag, None, "", f"{flag} and --seeds don't go together: {_WHY[flag]}")
    if cluster is not None and not cluster.strip():
        raise ScenarioError("--cluster", None, "", "expected tcp://HOST:PORT or local, got nothing")
    part = None if shard is None else read_shard(shard)
    many = Many(seeds, jobs, (require or "").strip(), part, (cluster or "").strip())
    many.check()
    return many


def _band(text: str) -> str:
    if text not in BANDS:
        raise ScenarioError(
            "--band", None, "", f'expected {", ".join(BANDS[:-1])} or {BANDS[-1]}, got "{text}"'
        )
    return text


def _boards(pairs: list[str]) -> dict[str, str]:
    boards: dict[str, str] = {}
    for pair in pairs:
        gateway, equals, board = pair.partition("=")
        if not equals or not gateway or not board:
            raise ScenarioError("--board", None, "", f'expected GATEWAY=BOARD, got "{pair}"')
        if gateway in boards:
            raise ScenarioError("--board", None, "", f'gateway "{gateway}" is given twice')
        boards[gateway] = board
    return boards


def _pace(clock: str, speed: str | None, check: bool) -> Fraction | None:
    """How many times the wall's pace, None for as fast as possible; ``check``: the run is repeated. Raises
    ScenarioError."""
    from twinloop.scenarios.text.errors import unknown
    from twinloop.sim.kernel.pacer import SPEED_MAX

    if clock not in CLOCKS:
        raise ScenarioError("--clock", None, "", unknown("clock", clock, CLOCKS))
    if check and clock == "wire":
        why = "no two runs over real sockets are equal: it goes with virtual and paced"
        raise ScenarioError("--check", None, "", why)
    if clock != "paced":
        if speed is not None:
            why = (
                "clock virtual is as fast as possible"
                if clock == "virtual"
                else "real sockets have the wall's pace"
            )
            raise ScenarioError("--speed", None, "", f"goes with --clock paced: {why}")
        return None
    if not re.fullmatch(r"\d{1,9}(\.\d{1,9})?", speed or "1") or not 0 < Fraction(speed or "1") <= SPEED_MAX:
        raise ScenarioError(
            "--speed",
            None,
            "",
            f'expected a number over 0, at most {SPEED_MAX}, e.g. 10 or 0.5, got "{speed}"',
        )
    return Fraction(speed or "1")
