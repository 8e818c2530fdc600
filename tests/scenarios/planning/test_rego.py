"""`rego:` in place of `wasm:`: a policy from what opa made, and what is refused."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.components.test_rego import POLICY, UNFIT
from tests.scenarios.cases import COMPONENTS, scenario
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import load_text
from twinloop.scenarios.runner import Options, run
from twinloop.scenarios.text.errors import ScenarioError


def text(tmp_path: Path, **policy: str) -> str:
    """A scenario whose policy has that source."""
    gateways = {
        "gw": {
            "board": "raspberry-pi-4",
            "transform": "normalize",
            "policy": "rules",
            "uplink": {"link": "cloud"},
        }
    }
    used = {name: COMPONENTS[name] for name in ("modbus-driver", "normalize")}
    return scenario(tmp_path, components={**used, "rules": policy}, gateways=gateways)


def test_what_opa_made_is_a_policy(tmp_path: Path, host: Host) -> None:
    (tmp_path / "policy.wasm").write_bytes(POLICY)
    file = tmp_path / "scenario.yaml"
    result = run(load_text(text(tmp_path, rego="policy.wasm"), file), Options(), host)
    assert result.data["gateways"]["gw"]["faults"] == {}
    assert result.data["gateways"]["gw"]["components"]["rules"]["calls"] > 0
    assert result.data["ledger"]["delivered"] == result.data["ledger"]["due"] > 0


def refused(host: Host, file: Path, source: str) -> str:
    with pytest.raises(ScenarioError) as caught:
        run(load_text(source, file), Options(), host)
    return str(caught.value)


def test_what_is_refused_says_why(tmp_path: Path, host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "scenario.yaml"
    shutil.copy(UNFIT, tmp_path / "bundle.tar.gz")
    (tmp_path / "rules.rego").write_text("package twinloop\n")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert "sprintf" in refused(host, file, text(tmp_path, rego="bundle.tar.gz"))
    assert "$.components.rules.rego: rules.rego: " in refused(host, file, text(tmp_path, rego="rules.rego"))
    assert "needs opa, which is not on the path" in refused(host, file, text(tmp_path, rego="rules.rego"))
    assert "no such file" in refused(host, file, text(tmp_path, rego="nowhere.wasm"))
    assert "one of them" in refused(host, file, text(tmp_path, rego="policy.wasm", wasm="route.wasm"))
    assert 'missing key "wasm"' in refused(host, file, text(tmp_path, version="1.0.0"))


def test_rego_makes_policies_only(tmp_path: Path, host: Host) -> None:
    source = text(tmp_path, wasm="route.wasm").replace("wasm: normalize.wasm", "rego: policy.wasm")
    assert "rego: policy.wasm" in source
    assert "Rego makes policies, and this component is a transform" in refused(
        host, tmp_path / "scenario.yaml", source
    )
