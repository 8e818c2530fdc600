"""``twinloop components``: begin a component, look into one, try it, see what those of a scenario use."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from twinloop.scenarios.text.errors import ScenarioError, printable
from twinloop.scenarios.text.units import show_duration, show_size
from twinloop.scenarios.text.words import number_of

app = typer.Typer(
    no_args_is_help=True, help="Begin a component, look into one, try it.", rich_markup_mode=None
)

_Wasm = Annotated[Path, typer.Argument(help="the component's .wasm", metavar="WASM")]


@app.command("new")
def new(
    name: Annotated[str, typer.Argument(help="of the component and its folder", metavar="NAME")],
    lang: Annotated[str, typer.Option("--lang", help="c, go, js, python, rego or rust")],
    role: Annotated[str, typer.Option("--role", help="driver, transform or policy")],
    into: Annotated[Path, typer.Option("--into", help="the folder in which its folder is made")] = Path(),
) -> int:
    """Write a starter: a small component that builds with make, passes its test and runs in a scenario."""
    from twinloop.scenarios.components.starters import begin

    files = begin(lang, role, name, into / name)
    print(f"{into / name}: {number_of(len(files), 'file')}; README.md says what is needed. Then:")
    print(f"  make -C {into / name}")
    print(f"  twinloop components test {into / name / f'{name}.wasm'}")
    return 0


@app.command("inspect")
def inspect(wasm: _Wasm) -> int:
    """What a component's file says of itself: role, imports, what it may need, size, who made it."""
    from twinloop.components.host.component import ComponentRefused
    from twinloop.scenarios.components.inspecting import inspected

    try:
        rows = inspected(wasm)
    except ComponentRefused as error:
        raise ScenarioError("components inspect", None, "", f"{wasm}: {error}") from error
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        print(f"{name:<{width}}  {printable(value)}")
    return 0


@app.command("compose")
def compose(
    wasm: Annotated[
        list[Path], typer.Argument(help="components, the one with the role first", metavar="WASM...")
    ],
    out: Annotated[Path, typer.Option("--out", "-o", help="the file that is written")],
) -> int:
    """Make one component of several, or of one that needs an adapter to be a driver: what a scenario does by
    itself, as a file that can be released."""
    from twinloop.components.host.component import ComponentRefused
    from twinloop.scenarios.components.composing import written

    try:
        whole = written(wasm, out)
    except (ComponentRefused, OSError) as error:
        files = " + ".join(map(str, wasm))
        raise ScenarioError("components compose", None, "", f"{files}: {error}") from error
    if whole.note:
        print(printable(whole.note))
    print(f"{out}: a {whole.component.role}, {show_size(len(whole.data))}, sha256 {whole.component.sha256}")
    return 0


@app.command("test")
def try_(
    wasm: _Wasm,
    cases: Annotated[
        Path | None,
        typer.Option("--cases", help="recorded calls; left out: NAME.cases.yaml beside it"),
    ] = None,
) -> int:
    """Make the recorded calls, compare what comes back, and tell what they cost on each board. Exit code 1
    when something differs."""
    from twinloop.scenarios.components.recorded import component_in, read_calls, tried
    from twinloop.scenarios.file.boards.reading import names

    wasm = component_in(wasm)
    file = wasm.with_suffix(".cases.yaml") if cases is None else cases
    role, calls = read_calls(file)
    outcome = tried(wasm, role, calls)
    assert outcome.start is not None
    print(
        f"{wasm.name}  {role}  {show_size(outcome.size_bytes)}  memory {show_size(outcome.memory_bytes)}  "
        f"start {outcome.start.fuel} fuel"
    )
    rows = {"start": [outcome.start], **outcome.calls}
    width = max(len(name) for name in rows)
    for name, spent in rows.items():
        fuels = [one.fuel for one in spent]
        print(
            f"  {name:<{width}}  {number_of(len(spent), 'time')}, {min(fuels)} to {max(fuels)} fuel, "
            f"{max(one.imports for one in spent)} imports at most"
        )
    print("cpu time, the longest of each, modelled (twinloop boards says from what):")
    for board in names():
        times = "  ".join(
            f"{name} {show_duration(max(one.on(board) for one in spent))}" for name, spent in rows.items()
        )
        print(f"  {board}  {times}")
    for text in outcome.problems:
        print(f"differs  {printable(text)}")
    for line in outcome.stderr.rstrip().splitlines() if outcome.problems else []:
        print(f"  stderr  {printable(line)}")
    print(f"{'FAIL' if outcome.problems else 'PASS'}  {number_of(len(calls), 'call')}")
    return 1 if outcome.problems else 0


@app.command("audit")
def audit(
    scenario: Annotated[str, typer.Argument(help="file or name of a shipped scenario", metavar="SCENARIO")],
) -> int:
    """Run a scenario and tell of each component what it imports, is granted, has used and was denied, and the
    least that would have done."""
    from twinloop.scenarios.components.audit import audited
    from twinloop.scenarios.file.load import find, load
    from twinloop.scenarios.runner import Options

    result, found = audited(load(find(scenario)), Options())
    for one in found:
        print(f"{one.name}")
        print(f"  imports  {', '.join(one.imported) or 'nothing'}")
        print(f"  granted  {', '.join(one.granted) or 'nothing'}")
        print(f"  used     {_counts(one.used)}")
        print(f"  denied   {_counts(one.denied)}")
        if one.wanted():
            print(f"  wanted   {', '.join(one.wanted())}, which it isn't granted")
        print(f"  least    grants: [{', '.join(one.least())}]")
        if one.spare():
            print(f"  spare    {', '.join(one.spare())}")
    print(f"{result.verdict.value}  in this run; another may use more")
    return 0


def _counts(calls: dict[str, int]) -> str:
    return ", ".join(f"{name} {count}" for name, count in calls.items()) or "nothing"
