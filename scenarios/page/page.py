"""Report pages: one file of HTML that needs nothing else, now or in ten years.

Belongs here: the frame, what it forbids itself, the line that differs between two runs. Never: what a section
shows (sections.py). The page forbids itself the network (Content-Security-Policy); its only script and its
only style are named there by their hashes, so nothing that somebody's device is called can become either.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from typing import Any

from twinloop.scenarios.page import sections

SECTIONS = (
    ("expectations", "Expectations", sections.expectations),
    ("latency", "Latency", sections.latency),
    ("trouble", "Trouble", sections.trouble),
    ("stages", "Time by stage", sections.stages),
    ("gateways", "Gateways and lines", sections.gateways),
    ("ledger", "What became of each point", sections.ledger),
    ("slowest", "Slowest samples", sections.slowest),
    ("devices", "Devices that stand out", sections.devices),
    ("repeat", "What was run", sections.repeating),
)
"""id, heading and content, in order"""


@dataclass(frozen=True)
class Section:
    """A part of a page. ``name``: its id; ``title``: its heading, as text; ``html``: what stands in it."""

    name: str
    title: str
    html: str


def page(data: dict[str, Any], machine: str) -> str:
    """The whole page of one run's figures. ``machine``: versions and wall time, the one line in which two
    runs of the same thing differ."""
    made = [Section(name, title, section(data)) for name, title, section in SECTIONS]
    return frame(f"{data['verdict']} {data['scenario']}", sections.verdict(data), made, data, machine)


def frame(title: str, head: str, parts: list[Section], data: dict[str, Any], machine: str) -> str:
    """A page of sections. ``title`` as text, ``head`` as HTML; ``data``: what the page carries for programs,
    its script too; ``machine``: the one line in which two pages of the same differ, empty: none."""
    style, script = _shipped("style.css"), _shipped("script.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; "
        f"form-action 'none'"
    )
    last = f'<p class="faint" id="machine">{escape(machine)}</p>\n' if machine else ""
    links = "".join(f'<li><a href="#{one.name}">{escape(one.title)}</a></li>' for one in parts)
    body = "\n".join(
        f'<section aria-labelledby="{one.name}"><h2 id="{one.name}">{escape(one.title)}</h2>\n{one.html}\n'
        f"</section>"
        for one in parts
    )
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n"
        f"<style>{style}</style>\n</head>\n<body>\n<header>\n{head}\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n</header>\n<main>\n{body}\n</main>\n'
        f"<footer>\n{last}</footer>\n"
        f'<script type="application/json" id="data">{embedded(data)}</script>\n'
        f"<script>{script}</script>\n</body>\n</html>\n"
    )


def embedded(data: dict[str, Any]) -> str:
    """Figures as JSON that can stand in a script element: no ``<`` is left that could end it."""
    text = json.dumps(data, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _shipped(name: str) -> str:
    return files("twinloop.scenarios.page").joinpath(name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    digest = b64encode(hashlib.sha256(text.encode()).digest()).decode()
    return f"'sha256-{digest}'"
