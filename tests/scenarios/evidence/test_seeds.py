"""What --seeds and --shard say."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twinloop.scenarios.evidence.many import Many
from twinloop.scenarios.evidence.seeds import Shard, read_seeds, read_shard
from twinloop.scenarios.text.errors import ScenarioError


@pytest.mark.parametrize(
    ("text", "seeds"),
    [
        ("1..5", [1, 2, 3, 4, 5]),
        ("7", [7]),
        ("0..0", [0]),
        ("9..12,1, 4", [1, 4, 9, 10, 11, 12]),
        ("9223372036854775807", [2**63 - 1]),
    ],
)
def test_seeds(text: str, seeds: list[int]) -> None:
    assert read_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", 'expected seeds such as 1..200 or 1,4,9..12, got ""'),
        ("1-5", 'got "1-5"'),
        ("1..", 'got "1.."'),
        ("1,,2", 'got "1,,2"'),
        ("-1..3", 'got "-1..3"'),
        ("1.5", 'got "1.5"'),
        ("5..1", '"5..1" counts down: write 1..5'),
        ("1..3,2", "seed 2 is named twice"),
        ("9223372036854775808", "a seed is 0 to 9223372036854775807"),
        ("1..100001", "names more than 100000 seeds"),
        ("1..90000,100000..200000", "names more than 100000 seeds"),
    ],
)
def test_what_is_no_list_of_seeds(text: str, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        read_seeds(text)
    assert words in str(caught.value)
    assert str(caught.value).startswith("--seeds: ")


@given(st.text(alphabet="0123456789.,- x", max_size=12))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        seeds = read_seeds(text)
    except ScenarioError:
        return
    assert seeds == sorted(dict.fromkeys(seeds))


@given(st.integers(1, 60), st.integers(1, 12))
def test_shards_share_out_each_seed_once(seeds: int, count: int) -> None:
    whole = list(range(seeds))
    parts = [seed for number in range(1, count + 1) for seed in Shard(number, count).of(whole)]
    assert sorted(parts) == whole


@pytest.mark.parametrize("text", ["0/3", "4/3", "3", "a/b", "1/0", "1/2/3", ""])
def test_what_is_no_shard(text: str) -> None:
    with pytest.raises(ScenarioError, match="expected a part of so many, such as 3/8"):
        read_shard(text)
    assert str(read_shard("3/8")) == "3/8"


@pytest.mark.parametrize(
    ("many", "words"),
    [
        (
            Many("1..200", require="99 %"),
            "200 seeds can't show 99 %: if all of them hold, no more than 98.1 %",
        ),
        (Many("1..200", require="99 %"), "it takes at least 381: --seeds 1..381"),
        (Many("1..3", require="0.5"), "it takes at least 4"),
        (Many("1..9", require="100 %"), "expected more than 0 % and less than 100 %"),
        (Many("1..9", require="0 %"), "expected more than 0 % and less than 100 %"),
        (Many("1..9", require="many"), 'expected a share such as 99 % or 0.99, got "many"'),
        (Many("1..9", require="99"), 'expected a share such as 99 % or 0.99, got "99"'),
        (Many("1..9", require="1.0"), 'expected a share such as 99 % or 0.99, got "1.0"'),
        (Many("1..3", shard=Shard(4, 8)), "4/8 of 3 seeds: there is nothing for it to run"),
    ],
)
def test_what_can_not_be_asked(many: Many, words: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        many.check()
    assert words in str(caught.value)


@pytest.mark.parametrize("require", ["99 %", "99%", "0.99", ".99", "99.0 %"])
def test_how_a_share_may_be_written(require: str) -> None:
    Many("1..381", require=require).check()
