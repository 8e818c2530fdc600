"""Figures as people read them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenarios.cli.test_cli import TINY
from twinloop.scenarios.cli.main import VERBS, command, main
from twinloop.scenarios.judging.unspoken import unspoken_text
from twinloop.scenarios.planning.entries import stamped
from twinloop.scenarios.text.units import duration, exact_duration, show_duration, show_number, show_size
from twinloop.scenarios.text.words import number_of


@pytest.mark.parametrize(
    ("value", "text"),
    [(0, "0"), (3, "3"), (2.5, "2.5"), (0.1234567, "0.123457"), (1_500_000, "1500000"), (1_234_567.8, "1234568"), (999_999.7, "1000000"), (-2e7, "-20000000")],
)  # fmt: skip
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert show_number(value) == text


def test_a_figure_that_rounds_up_to_a_thousand_has_no_exponent() -> None:
    assert show_duration(999_700_000) == "1000 ms"
    assert show_duration(999.6) == "1000 ns"
    assert show_duration(1_234_000_000) == "1.23 s"
    assert show_size(1023 * 1024) == "1023 KiB"
    assert show_size(1536) == "1.5 KiB"


@pytest.mark.parametrize("verb", VERBS)
def test_the_help_of_the_whole_says_of_a_verb_what_it_says_itself(verb: str) -> None:
    assert " ".join(str(command(verb).help).partition("\n\n")[0].split()) == VERBS[verb].about


def test_what_is_counted_is_one_or_many() -> None:
    assert [number_of(count, "warning") for count in (0, 1, 2)] == ["0 warnings", "1 warning", "2 warnings"]
    assert number_of(1, "timeline entry", "timeline entries") == "1 timeline entry"
    assert number_of(3, "message waits", "messages wait") == "3 messages wait"


def test_check_and_run_count_in_words(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "x.yaml"
    text = TINY.replace("count: 3", "count: 1").partition("expect:")[0]
    file.write_text(
        f"{text}timeline:\n  - {{at: 2 s, cut: cloud, for: 90 s}}\nexpect:\n  - backlog == 0 within 10 s after heal cloud\n"
    )
    assert main(["check", str(file)]) == 0
    assert capsys.readouterr().out.endswith(
        "x.yaml: ok, 1 warning, 1 device, 1 timeline entry, 1 expectation\n"
    )
    main(["run", str(file)])
    assert re.search(r"\b1 (sessions|polls|exchanges)\b", capsys.readouterr().out) is None


@pytest.mark.parametrize(
    ("value_ns", "text"),
    [(0, "0 s"), (1, "1 ns"), (1_500, "1.5 us"), (500_000_000, "500 ms"), (20_000_000_001, "20.000000001 s"), (7_200_000_000_000, "7200 s"), ((1 << 60) - 1, "1152921504.606846975 s")],
)  # fmt: skip
def test_a_duration_in_a_file_is_exact_and_readable(value_ns: int, text: str) -> None:
    assert exact_duration(value_ns) == text
    assert duration(text) == value_ns


def test_a_command_given_live_is_stamped_so() -> None:
    assert stamped({"cut": "cloud", "for": "15 s"}, 20_000_000_001) == {
        "at": "20.000000001 s",
        "cut": "cloud",
        "for": "15 s",
    }


def test_what_no_expectation_speaks_of_is_counted_in_words() -> None:
    assert unspoken_text({"missed": 1, "commands_failed": 1}) == "1 missed sample, 1 failed command"
    assert (
        unspoken_text({"missed": 1, "lost": 1, "upgrades_failed": 2})
        == "1 missed and 1 lost samples, 2 failed upgrades"
    )


def test_a_terminal_without_a_sign_for_it_gets_its_number(tmp_path: Path) -> None:
    """A report's tick and middle dot, where only ASCII can be written."""
    file = tmp_path / "x.yaml"
    file.write_text(TINY)
    done = subprocess.run(
        [sys.executable, "-c", "from twinloop.scenarios.cli.start import script; script()", "run", str(file)],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "\\u2713  count(samples.lost) == 0" in done.stdout
    assert " due \\xb7 150 delivered" in done.stdout
    assert done.stdout.isascii()
