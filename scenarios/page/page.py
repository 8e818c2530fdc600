"""The report page: one file of HTML that needs nothing else, now or in ten years.

Belongs here: the frame, what it forbids itself, the line that differs between two runs. Never: what a section
shows (sections.py). The page forbids itself the network (Content-Security-Policy); its only script and its
only style are named there by their hashes, so nothing that somebody's device is called can become either.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
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


def page(data: dict[str, Any], machine: str) -> str:
    """The whole page of these figures. ``machine``: versions and wall time, the one line in which two runs of
    the same thing differ."""
    style, script = _shipped("style.css"), _shipped("script.js")
    policy = (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; base-uri 'none'; "
        f"form-action 'none'"
    )
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in SECTIONS)
    body = "\n".join(
        f'<section aria-labelledby="{name}"><h2 id="{name}">{title}</h2>\n{made(data)}\n</section>'
        for name, title, made in SECTIONS
    )
    return (
        "<!DOCTYPE html>\n"
        '<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(data['verdict'])} {escape(data['scenario'])}</title>\n"
        f"<style>{style}</style>\n</head>\n<body>\n<header>\n{sections.verdict(data)}\n"
        f'<nav aria-label="Sections"><ul>{links}</ul></nav>\n</header>\n<main>\n{body}\n</main>\n'
        f'<footer>\n<p class="faint" id="machine">{escape(machine)}</p>\n</footer>\n'
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
