"""What check finds: each mistake once, and all that a run would stumble over."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.scenarios.cli.test_cli import TINY
from twinloop.scenarios.cli.main import main

MODEL = """\
format: 1
title: t
source: s
step: 1
points:
  a: {table: inpt, address: 0}
"""


def test_mistakes_of_a_model_file_are_each_told_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "m.yaml").write_text(MODEL)
    file = tmp_path / "x.yaml"
    values = "  - max(value{point=a}) <= 5\n  - min(value{point=a}) >= 0\n"
    file.write_text(TINY.replace("press-sensor", "model/m.yaml") + values)
    assert main(["check", str(file)]) == 3
    lines = capsys.readouterr().err.splitlines()
    assert [line.partition("m.yaml")[2].split(": ")[1] for line in lines] == ["$.step", "$.points.a.table"]
    assert not [line for line in lines if "more)" in line]


@pytest.mark.parametrize(("component", "role"), [("normalize", "transform"), ("route", "policy")])
def test_a_grant_that_a_role_can_not_have_is_a_mistake(
    component: str, role: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "x.yaml"
    file.write_text(
        TINY.replace(f"{component}.wasm, grants: [log]", f"{component}.wasm, grants: [log, fieldbus]")
    )
    for command in ("check", "run"):
        assert main([command, str(file)]) == 3
        err = capsys.readouterr().err
        assert (
            f"$.components.{component}.grants[1]: a {role} can't be granted fieldbus; what it can be granted: clock, log, state"
            in err
        )
        assert len(err.splitlines()) == 1
