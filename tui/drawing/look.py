"""The look: what each state of a thing is called, its sign and its colour, and the two themes.

Belongs here: tokens, and colours. Never: what is shown (screens/), widths and borders (app.tcss). A state is
never told by its colour alone: its sign or its word stands there, too. Styles are the names of the 16
colours that every terminal has; a theme says which shade of them is meant where a terminal has more.
"""

from __future__ import annotations

from dataclasses import dataclass

from rich.terminal_theme import TerminalTheme
from textual.theme import Theme


@dataclass(frozen=True, slots=True)
class Token:
    """A state: its sign (one cell), its word, and its style."""

    sign: str
    word: str
    style: str


GOOD = Token("✓", "good", "green")
LATE = Token("!", "late", "yellow")
"""it works, and not as it should: degraded, retried, waiting"""
BAD = Token("✗", "bad", "red")
UNCERTAIN = Token("~", "uncertain", "magenta")
"""an error band could turn it"""
OFF = Token("○", "off", "dim")
"""nothing can be said yet, or it isn't meant to work now"""
TOKENS = (GOOD, LATE, BAD, UNCERTAIN, OFF)

VERDICTS = {
    "FAIL": BAD,
    "INVALID": BAD,
    "BROKEN": BAD,
    "UNSURE": UNCERTAIN,
    "NO-DATA": OFF,
    "OPEN": OFF,
    "ABORTED": OFF,
    "PASS": GOOD,
}
"""verdict -> token, the worst first"""

_DARK = {
    "background": "#0f141b", "surface": "#151b24", "panel": "#1d2631", "foreground": "#d7dee8",
    "black": "#0f141b", "red": "#ff5c57", "green": "#5ade7e", "yellow": "#f3c74f", "blue": "#6d9cff",
    "magenta": "#e07bea", "cyan": "#5fd3e6", "white": "#d7dee8", "edge": "#3b4b60",
}  # fmt: skip
_LIGHT = {
    "background": "#fbfcfd", "surface": "#f1f4f7", "panel": "#e4e9ef", "foreground": "#1d2733",
    "black": "#1d2733", "red": "#c01f1a", "green": "#0b7a2b", "yellow": "#8a6a00", "blue": "#1546c0",
    "magenta": "#8d1a98", "cyan": "#00707f", "white": "#5c6773", "edge": "#a9b5c2",
}  # fmt: skip
_SHADES = ("black", "red", "green", "yellow", "blue", "magenta", "cyan", "white")


def _theme(name: str, colours: dict[str, str], dark: bool) -> Theme:
    return Theme(
        name=name,
        primary=colours["blue"],
        secondary=colours["cyan"],
        accent=colours["cyan"],
        warning=colours["yellow"],
        error=colours["red"],
        success=colours["green"],
        foreground=colours["foreground"],
        background=colours["background"],
        surface=colours["surface"],
        panel=colours["panel"],
        dark=dark,
        variables={"edge": colours["edge"], "footer-key-foreground": colours["cyan"]},
    )


def _rgb(text: str) -> tuple[int, int, int]:
    return int(text[1:3], 16), int(text[3:5], 16), int(text[5:7], 16)


def _terminal(colours: dict[str, str]) -> TerminalTheme:
    shades = [_rgb(colours[name]) for name in _SHADES]
    return TerminalTheme(_rgb(colours["background"]), _rgb(colours["foreground"]), shades, shades)


DARK, LIGHT = _theme("twinloop-dark", _DARK, True), _theme("twinloop-light", _LIGHT, False)
ON_DARK, ON_LIGHT = _terminal(_DARK), _terminal(_LIGHT)
"""what the names of the 16 colours mean on each"""
