"""What screens say of events, pairs, phases and times, and of what was mistyped."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from textual.widgets import Input, Static

from tests.tui.scene import SCENARIO, S, engine, go, inline, text_of, until, view, with_app
from twinloop.components.host.host import Host
from twinloop.scenarios.file.load import LIBRARY
from twinloop.tui.engine.messages import Do, RunTo
from twinloop.tui.screens import plant, trouble
from twinloop.tui.screens.forms.trouble_form import TroubleForm
from twinloop.tui.terminal.app import Twinloop


def test_an_entry_that_waits_for_an_event_is_coming_until_it_has_happened(host: Host, file: Path) -> None:
    """Cut at 6 s and healed at 9 s: from then on it is due at 10 s, and from 10 s on it has been done."""
    after = "  - {after: heal cloud + 1 s, write: tanks/1, point: pump, value: 1}\n"
    file.write_text(SCENARIO.replace("timeline:\n", f"timeline:\n{after}"), encoding="utf-8")
    one = engine(host, file)

    def coming(at_s: float) -> list[str]:
        one.handle(RunTo(round(at_s * S)))
        go(one)
        return [" ".join(line.plain.split()) for line in trouble.coming(one.plan, view(one), 100, 30)]

    waits = "after write tanks/1 1 s after heal cloud"
    assert coming(5) == ["0:00:06.000 cut cloud", "0:00:12.000 write tanks/1", waits]
    assert coming(9.5) == ["0:00:10.000 write tanks/1", "0:00:12.000 write tanks/1"]
    assert coming(11) == ["0:00:12.000 write tanks/1"]
    assert coming(13) == ["nothing"]
    one.world.close()


def test_of_a_pair_the_gateway_that_leads_is_shown_and_a_failover_has_a_unit(host: Host) -> None:
    """gw is crashed at 40.05 s; 600 ms of silence later its standby leads, which is a takeover of some time."""
    one = engine(host, LIBRARY / "failover-warm.yaml")
    one.handle(RunTo(45 * S))
    go(one)
    seen = view(one)
    states = {gateway.name: (gateway.state, gateway.role) for gateway in seen.snapshot.gateways}
    assert states == {"gw": ("down", "out"), "gw-b": ("up", "active")}
    found = plant.leader(one.plan, {gateway.name: gateway for gateway in seen.snapshot.gateways}, "gw")
    assert found.name == "gw-b"
    takeovers = [line.text for line in seen.log if line.kind == "failover"]
    assert takeovers == ["gw and gw-b takeover 1.2 s"]
    one.world.close()


def test_nothing_is_said_of_a_phase_before_it_begins(host: Host, file: Path) -> None:
    phases = "phases:\n  - {name: early, for: 10 s}\n  - {name: late, for: 10 s}\n"
    expect = "expect:\n  - count(samples.delivered{phase=late}) >= 1\n  - count(samples.delivered{phase=early}) >= 1\n"
    file.write_text(SCENARIO.replace("expect:\n", phases + expect), encoding="utf-8")
    one = engine(host, file)

    def verdicts(at_s: int) -> dict[str, tuple[str, str]]:
        one.handle(RunTo(at_s * S))
        go(one)
        return {
            word: (seen.verdict, seen.measured)
            for seen in view(one).verdicts
            for word in ("late", "early")
            if f"phase={word}" in seen.text
        }

    assert verdicts(8)["late"] == ("OPEN", "not begun")
    assert verdicts(8)["early"][0] == "PASS"
    assert verdicts(18)["late"][0] == "PASS"
    one.world.close()


def test_a_count_that_can_still_grow_is_not_broken(host: Host, file: Path) -> None:
    """1940 points are due in 20 s, 582 of them delivered before the cut; at the end it is missing."""
    expect = "expect:\n  - count(samples.delivered) >= 1000\n  - count(samples.delivered) >= 3000\n"
    file.write_text(SCENARIO.replace("expect:\n", expect), encoding="utf-8")
    one = engine(host, file)

    def verdicts(to_ns: int) -> dict[str, str]:
        one.handle(RunTo(to_ns))
        go(one)
        return {
            seen.text.split()[-1]: seen.verdict for seen in view(one).verdicts if "delivered" in seen.text
        }

    assert verdicts(7 * S) == {"1000": "OPEN", "3000": "OPEN"}
    assert verdicts(18 * S) == {"1000": "PASS", "3000": "OPEN"}
    assert verdicts(1 << 62) == {"1000": "PASS", "3000": "FAIL"}
    one.world.close()


def test_a_mistyped_verb_is_named_and_stands_there_to_be_corrected(host: Host, file: Path) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        field = app.base.query_one("#ask", Input)

        async def typed(text: str) -> None:
            field.value = text
            await pilot.press("enter")

        await pilot.press("colon")
        await typed("crsh: gw")
        assert app.prompt.said[0].startswith('unknown verb "crsh"; did you mean "crash"?')
        assert (field.value, field.has_focus) == ("crsh: gw", True)
        await typed("crash: gww")
        await until(pilot, lambda: 'did you mean "gw"' in app.prompt.said[0])
        assert (field.value, field.has_focus) == ("crash: gww", True)
        await typed("crash: gw, for: 1 s")
        await until(pilot, lambda: app.prompt.said[0].startswith("crash gw at "))
        await pilot.press("colon")
        await typed("crsh: gw")
        await pilot.press("escape")
        assert app.prompt.said[0] == "", "nobody asks any more"
        assert not field.has_focus

    with_app(file, body, start=inline(host))


def test_a_whole_entry_in_the_forms_field_for_targets_is_refused_with_the_verb_that_was_meant(
    host: Host, file: Path
) -> None:
    async def body(app: Twinloop, pilot: Any) -> None:
        await pilot.press("i")
        form = app.screen
        assert isinstance(form, TroubleForm)
        for text, hint in (
            ("crsh: gw", 'did you mean "crash"?'),
            ("crash: gw", 'choose "crash" on the left'),
        ):
            form.query_one("#target", Input).value = text
            await pilot.pause()
            await pilot.press("ctrl+s")
            assert hint in str(form.query_one("#refusal", Static).render())
        assert not any(isinstance(one, Do) for one in app.feed.sent)  # type: ignore[attr-defined]
        await pilot.press("escape")
        assert "paused" in text_of(app)

    with_app(file, body, start=inline(host))
