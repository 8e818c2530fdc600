"""The pattern that reads an expectation without a mistake takes what the grammar takes, to the same words, and
nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from twinloop.scenarios.file.load import LIBRARY
from twinloop.scenarios.judging import expressions
from twinloop.scenarios.judging.expressions import ExpressionError

WORDS = (
    "never", "over", "within", "after", "(", ")", "{", "}", ",", "=", "==", "<=", ">=", "<", ">", "!=", "=<", "p99", "max",
    "backlog", "latency.gateway", "fleet=x", "a", "5 ms", "60 s", "heal cloud", "-", ".", "!", "é", "k = v w", "overx", "never(",
)  # fmt: skip


def shipped() -> list[str]:
    files = sorted(Path(LIBRARY).rglob("*.yaml"))
    return [
        line for file in files for line in yaml.safe_load(file.read_text(encoding="utf-8")).get("expect", ())
    ]


def compare(text: str) -> bool:
    """Are both of one mind? Returns whether they have read it."""
    line = " ".join(text.split())
    matched = expressions._matched(line)
    try:
        parsed = expressions._parsed(line)
    except ExpressionError:
        parsed = None
    assert matched == parsed, line
    return parsed is not None


def test_all_that_ship_need_no_parser() -> None:
    lines = shipped()
    assert len(lines) > 100
    assert all(compare(line) for line in lines)


@pytest.mark.parametrize(
    "text",
    [
        "p99(latency.gateway{fleet=left-over, gateway = a b,}) <= 50 ms over 10 s within 60 s after heal cloud",
        "never backlog > 1000",
        "never(backlog) > 1",
        "backlog{link=within} == 0 within 1 s after cut  after",
        "backlog{} == 0",
    ],
)
def test_what_is_hard_to_tell_apart(text: str) -> None:
    compare(text)


@given(st.lists(st.tuples(st.sampled_from(WORDS), st.sampled_from(["", " "])), max_size=12))
@example([("backlog", " "), ("== 0 within 5 s after x after y", "")])
@settings(max_examples=400, deadline=None)
def test_words_in_any_order(words: list[tuple[str, str]]) -> None:
    compare("".join(word + blank for word, blank in words))


@given(st.sampled_from(shipped()), st.integers(0, 80), st.integers(0, 3), st.sampled_from(("", *WORDS)))
@settings(max_examples=400, deadline=None)
def test_lines_that_ship_with_a_change(line: str, at: int, gone: int, put: str) -> None:
    compare(line[:at] + put + line[at + gone :])
