"""The gallery of incidents: each has an address and a twin that differs in its setting and not in what
happens or must hold."""

from __future__ import annotations

import pytest
import yaml

from tests.scenarios.expected import SHIPPED
from twinloop.scenarios.file.load import LIBRARY, library_names

BAD = [name for name in library_names() if name.startswith("field/") and not name.endswith("-fixed")]


def test_there_are_at_least_twelve() -> None:
    assert len(BAD) >= 12
    assert len([name for name in library_names() if name.startswith("field/")]) == 2 * len(BAD)


@pytest.mark.parametrize("name", BAD)
def test_a_pair_differs_in_a_setting_only(name: str) -> None:
    bad, good = (yaml.safe_load((LIBRARY / f"{one}.yaml").read_text()) for one in (name, f"{name}-fixed"))
    assert bad["incident"] == good["incident"]
    assert bad["incident"].startswith("https://")
    for same in ("seed", "duration", "timeline", "expect", "links"):
        assert bad.get(same) == good.get(same), same
    differing = [key for key in bad if bad[key] != good[key] and key not in ("name", "description")]
    assert len(differing) == 1, differing
    verdicts = [yaml.safe_load((SHIPPED / f"{one}.expect").read_text()) for one in (name, f"{name}-fixed")]
    assert [verdict["verdict"] for verdict in verdicts] == ["FAIL", "PASS"]
    assert verdicts[0]["says"], "the observable that must appear"
