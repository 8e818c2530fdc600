"""What runs under many seeds say together, from entries made by hand."""

from __future__ import annotations

from typing import Any

import pytest

from twinloop.scenarios.evidence.seeds_report import held_words
from twinloop.scenarios.evidence.summary import Asked, badness, summary

LIMIT = "p99(latency.gateway) <= 50 ms"
SHARE = "ratio(samples.delivered) >= 99 %"
EXACT = "count(samples.lost) == 0"


def entry(
    seed: int, *judged: tuple[str, str, float | None], verdict: str = "", code: int = 0
) -> dict[str, Any]:
    """A seed's entry with these expectations (text, verdict, measured); its verdict is the first one's."""
    return {
        "kind": "result", "file": "plant.yaml", "seed": seed, "verdict": verdict or judged[0][1], "code": code,
        "scenario": "plant", "scenario_digest": "d", "unspoken": {}, "reproduce": f"twinloop run plant.yaml --seed {seed}",
        "expectations": [
            {"expression": text, "verdict": said, "measured": value, "unit": "ns"}
            | ({"never": True} if said == "FAIL" and value is None else {})
            for text, said, value in judged
        ],
    }  # fmt: skip


def error(seed: int, code: int) -> dict[str, Any]:
    """A seed that died."""
    return {"kind": "error", "file": "plant.yaml", "seed": seed, "verdict": None, "code": code, "error": "it"}


def verdicts(*found: str) -> list[dict[str, Any]]:
    """A seed for each verdict."""
    codes = {"PASS": 0, "UNSURE": 0, "FAIL": 1, "BROKEN": 2, "NO-DATA": 4, "INVALID": 5, "ABORTED": 130}
    return [entry(seed, (LIMIT, one, 1.0), code=codes[one]) for seed, one in enumerate(found, 1)]


@pytest.mark.parametrize(
    ("found", "verdict", "code"),
    [
        (("PASS", "PASS"), "PASS", 0),
        (("PASS", "UNSURE"), "UNSURE", 0),
        (("UNSURE", "NO-DATA", "PASS"), "NO-DATA", 4),
        (("FAIL", "FAIL"), "FAIL", 1),
        (("FAIL", "PASS"), "UNSTABLE", 1),
        (("FAIL", "NO-DATA"), "UNSTABLE", 1),
        (("FAIL", "UNSURE"), "UNSTABLE", 1),
        (("PASS", "FAIL", "BROKEN"), "BROKEN", 2),
        (("FAIL", "FAIL", "INVALID"), "INVALID", 5),
        (("FAIL", "INVALID", "ABORTED"), "ABORTED", 130),
        (("ABORTED", "BROKEN"), "BROKEN", 2),
    ],
)
def test_the_verdict_of_many_seeds(found: tuple[str, ...], verdict: str, code: int) -> None:
    told = summary(verdicts(*found), Asked("1..9"))
    assert (told["verdict"], told["code"]) == (verdict, code)


def test_a_seed_that_died_leaves_no_verdict_and_the_worst_code() -> None:
    told = summary([*verdicts("PASS", "FAIL"), error(3, 3)], Asked("1..3"))
    assert (told["verdict"], told["code"], told["errors"], told["held"], told["seeds"]) == (None, 3, 1, 1, 3)
    assert summary([*verdicts("PASS"), error(2, 70), error(3, 71)], Asked("1..3"))["code"] == 70
    aborted = summary([*verdicts("PASS"), error(2, 130)], Asked("1..2"))
    assert (aborted["verdict"], aborted["code"]) == ("ABORTED", 130)


def test_what_was_broken_off_is_in_no_share() -> None:
    """Eight of sixty seeds ran, and none held: 0 to 3.84 / 11.84 by Wilson, with z squared = 3.84."""
    eight = verdicts(*["FAIL"] * 8)
    told = summary([*eight, *(error(seed, 130) for seed in range(9, 61))], Asked("1..60"))
    assert (told["held"], told["seeds"], told["errors"], told["interrupted"]) == (0, 60, 0, 52)
    assert told["interval"] == [0.0, pytest.approx(3.8415 / 11.8415, abs=1e-4)]
    assert held_words(told) == "0 of 8 seeds held, 95 % interval 0 % to 32.4 %: 8 FAIL; 52 of 60 broken off"
    told = summary([*verdicts("PASS", "PASS", "ABORTED"), error(4, 130), error(5, 3)], Asked("1..5", "50 %"))
    assert held_words(told).endswith(": 2 PASS, 1 error; 2 of 5 broken off")
    assert (told["verdict"], told["code"]) == ("ABORTED", 130)
    assert held_words(summary([error(1, 130)], Asked("1"))) == "0 of 0 seeds held; 1 of 1 broken off"


def test_errors_and_their_codes() -> None:
    assert summary([*verdicts("BROKEN"), error(2, 3)], Asked("1..2"))["code"] == 2
    assert summary([error(1, 3)], Asked("1"))["expectations"] == []


@pytest.mark.parametrize(
    ("held", "failed", "code"),
    [(381, 0, 0), (380, 1, 1), (2000, 8, 0), (2000, 20, 1)],
)
def test_a_required_share_is_reached_by_the_lower_end(held: int, failed: int, code: int) -> None:
    """99 %: 380 of 381 is 98.5 % at least, 2000 of 2008 99.2 %, 2000 of 2020 98.5 %."""
    entries = verdicts(*["PASS"] * held, *["FAIL"] * failed)
    told = summary(entries, Asked("1..3000", "99 %"))
    assert told["code"] == code
    assert told["verdict"] == ("UNSTABLE" if failed else "PASS")


@pytest.mark.parametrize(("verdict", "code"), [("BROKEN", 2), ("ABORTED", 130), ("INVALID", 5)])
def test_no_share_counts_beside_a_run_that_says_nothing(verdict: str, code: int) -> None:
    told = summary(verdicts(*["PASS"] * 5000, verdict), Asked("1..5001", "99 %"))
    assert told["code"] == code


def test_what_is_unsure_or_without_data_is_not_held() -> None:
    for other in ("UNSURE", "NO-DATA"):
        told = summary(verdicts(*["PASS"] * 300, *[other] * 100), Asked("1..400", "90 %"))
        assert (told["held"], told["code"]) == (300, 1)


def test_a_shard_alone_shows_no_share() -> None:
    told = summary(verdicts("PASS", "FAIL"), Asked("1..381", "99 %", shard="1/200"))
    assert told["code"] == 0
    assert summary(verdicts("PASS", "BROKEN"), Asked("1..381", "99 %", shard="1/200"))["code"] == 2


def test_strictly_the_code_of_any_seed_counts() -> None:
    """Each entry has the code that it alone would have."""
    unsure = [entry(1, (LIMIT, "PASS", 1.0)), entry(2, (LIMIT, "UNSURE", 1.0), code=1)]
    assert summary(unsure, Asked("1..2", strict=True))["code"] == 1


def test_spread_and_worst_of_each_expectation() -> None:
    """20 seeds measure 1 to 20: by nearest rank p5 is the 1st, the median the 10th, p95 the 19th."""
    entries = [
        entry(
            seed,
            (LIMIT, "FAIL" if seed == 20 else "PASS", float(seed)),
            (SHARE, "PASS", 1 - seed / 100),
            (EXACT, "PASS", 0.0),
        )
        for seed in range(20, 0, -1)
    ]
    limit, share, exact = summary(entries, Asked("1..20"))["expectations"]
    assert [limit[name] for name in ("p5", "median", "p95", "worst", "worst_seed")] == [1, 10, 19, 20, 20]
    assert (limit["held"], limit["seeds"], limit["verdict"]) == (19, 20, "UNSTABLE")
    assert [share[name] for name in ("p5", "median", "p95", "worst", "worst_seed")] == [
        0.8,
        0.89,
        0.98,
        0.8,
        20,
    ]
    assert (exact["worst"], exact["worst_seed"]) == (0, 1)


def test_never_is_worse_than_any_time() -> None:
    entries = [
        entry(1, (LIMIT, "FAIL", None)),
        entry(2, (LIMIT, "FAIL", 9e18)),
        entry(3, (LIMIT, "PASS", 1.0)),
    ]
    (row,) = summary(entries, Asked("1..3"))["expectations"]
    assert (row["never"], row["worst"], row["worst_seed"], row["median"]) == (1, None, 1, 9e18)


def test_no_data_has_no_place_in_the_spread() -> None:
    entries = [entry(1, (LIMIT, "NO-DATA", None)), entry(2, (LIMIT, "PASS", 5.0))]
    (row,) = summary(entries, Asked("1..2"))["expectations"]
    assert (row["p5"], row["worst"], row["worst_seed"], row["never"], row["held"]) == (5, 5, 2, 0, 1)


def test_the_run_to_look_at_first() -> None:
    """Of the worst verdict the one in which most expectations failed."""
    entries = [
        entry(1, (LIMIT, "FAIL", 2.0), (EXACT, "PASS", 0.0)),
        entry(2, (LIMIT, "FAIL", 1.0), (EXACT, "FAIL", 1.0)),
        entry(3, (LIMIT, "NO-DATA", None), (EXACT, "PASS", 0.0)),
    ]
    told = summary(entries, Asked("1..3"))
    assert (told["worst_seed"], told["reproduce"]) == (2, "twinloop run plant.yaml --seed 2")
    assert "worst_seed" not in summary(verdicts("PASS"), Asked("1"))


def test_never_is_worst_where_it_comes_closest_to_what_it_forbids() -> None:
    assert badness("never backlog > 1000", 1500) > badness("never backlog > 1000", 0)
    assert badness("never backlog < 3", 2) > badness("never backlog < 3", 9)
    assert badness("backlog > 1000", 0) > badness("backlog > 1000", 1500)
