"""``twinloop migrate``: a scenario file of an older format as one of today's, with its comments and its
layout.

Belongs here: reading, writing, telling. Never: the renames (file/format_1.py).
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer


def migrate(
    files: Annotated[
        list[Path], typer.Argument(help="scenario files; each is rewritten where it lies", metavar="FILE...")
    ],
    stdout: Annotated[
        bool, typer.Option("--stdout", help="print the new text and leave the file as it is")
    ] = False,
) -> int:
    """Rewrite scenario files of format 1 as format 2. A file that would mean something else afterwards is
    left as it is, which is an error."""
    from twinloop.scenarios.file import format_1
    from twinloop.scenarios.file.load import load_text
    from twinloop.scenarios.text.document import parse_document, read_text
    from twinloop.scenarios.text.errors import ScenarioError, shown_path

    for file in files:
        text = read_text(file)
        document = parse_document(text, file)
        if not format_1.is_of_format_1(document.data):
            if stdout:
                print(text, end="")
            else:
                print(f"{shown_path(file)}: nothing to do")
            continue
        before = load_text(text, file)
        today, words = format_1.text_of_today(text)
        if (
            parse_document(today, file).data != format_1.data_of_today(document.data)
            or load_text(today, file).scenario != before.scenario
        ):
            raise ScenarioError(
                shown_path(file),
                None,
                "",
                "it would mean something else in format 2; please report this file",
            )
        if stdout:
            print(today, end="")
            continue
        try:
            _replace(file.resolve(), today.encode())
        except OSError as error:
            raise ScenarioError(shown_path(file), None, "", f"cannot be written: {error.strerror}") from error
        print(f"{shown_path(file)}: format 2{''.join(f', {word}' for word in words)}")
    return 0


def _replace(file: Path, data: bytes) -> None:
    """All of it or nothing: a full disk leaves the old file. Raises OSError."""
    fresh = file.with_name(f".{file.name}.migrated")
    try:
        fresh.write_bytes(data)
        shutil.copymode(file, fresh)
        fresh.replace(file)
    finally:
        fresh.unlink(missing_ok=True)
