"""Several scenarios together: a line each, and one verdict line last.

Belongs here: the table for people. Never: exit codes (scenarios/judging/verdict.py).
"""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from twinloop.scenarios.judging.verdict import ABORTED, INTERNAL_ERROR, MACHINE, Verdict, worst
from twinloop.scenarios.report.console import STYLES, beside
from twinloop.scenarios.report.result import Result
from twinloop.scenarios.text.words import number_of

ERROR, NOT_STRICTLY = "ERROR", ", but not by --strict"
_ERROR_WORDS = {MACHINE: "this machine", INTERNAL_ERROR: "internal error"}


def total(console: Console, ran: list[tuple[str, Result | Exception, int]], not_run: int) -> None:
    """``ran``: (file, what came of it, its exit code); ``not_run``: scenarios that nobody got round to."""
    table = Table(box=None, padding=(0, 2, 0, 0), header_style="dim")
    for name in ("verdict", "scenario", "why"):
        table.add_column(name, overflow="fold")
    counts: dict[str, int] = {}
    words: list[tuple[int, str, str]] = (
        [(ABORTED, Verdict.ABORTED.value, STYLES[Verdict.ABORTED])] if not_run else []
    )
    for file, outcome, code in ran:
        word, told = words_of(outcome, code)
        style = (
            "bold red" if word == ERROR else STYLES[Verdict.FAIL if NOT_STRICTLY in word else Verdict(word)]
        )
        counts[word] = counts.get(word, 0) + 1
        words.append((code, word, style))
        table.add_row(f"[{style}]{word}[/]", escape(file), f"[dim]{escape(told)}[/]")
    console.print()
    console.print(table)
    code = worst(code for code, _, _ in words)
    # UNSURE before PASS
    _, word, style = min(
        (one for one in words if one[0] == code), key=lambda one: one[1] == Verdict.PASS.value
    )
    told = ", ".join(f"{count} {name}" for name, count in counts.items())
    left = f", {not_run} not run" if not_run else ""
    console.print(f"\n[{style}]{word}[/]  {len(ran) + not_run} scenarios: {told}{left}")


def words_of(outcome: Result | Exception, code: int) -> tuple[str, str]:
    """What came of a scenario whose exit code is ``code``: its verdict, or what stands for it, and why."""
    if isinstance(outcome, Exception):
        if code == ABORTED:
            return Verdict.ABORTED.value, str(outcome)
        return ERROR, _ERROR_WORDS.get(code, str(outcome))
    word = outcome.verdict.value
    strictly = code and outcome.verdict in (Verdict.PASS, Verdict.UNSURE)
    return f"{word}{NOT_STRICTLY}" if strictly else word, why(outcome)


def why(result: Result) -> str:
    """In one line, what is to be said of a verdict."""
    if result.error:
        return result.error
    for one in result.judged:
        if one.verdict is result.verdict and one.verdict is not Verdict.PASS:
            return one.expectation.text
    truth = result.data.get("truth")
    wrong = 0 if truth is None else truth["wrong"] + truth["commands_wrong"]
    if result.verdict is Verdict.FAIL and wrong:
        return f"{number_of(wrong, 'value is', 'values are')} not what devices showed"
    if result.verdict is Verdict.NO_DATA and not result.judged:
        return "nothing is expected"
    if result.verdict is Verdict.INVALID and result.notes:
        return result.notes[-1]
    return beside(result.data["unspoken"], result.verdict).removeprefix("; ")
